"""What is typed into the search box finds what it should, on a real FTS5 table kept by triggers."""

from __future__ import annotations

import importlib
import json
import sqlite3
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.annotate.installation import package_folder

TEXTS = {
    "cat": "A cat sat on the well-known mat.",
    "dog": "The dog doesn't sit on the mat, the cat does.",
    "zh": "机器学习需要大量的数据，数据质量很重要。",
    "zh2": "学习机器翻译",
    "ja": "東京タワーへ行きました",
    "th": "ฉันรักภาษาไทย",
    "full": "ＡＩ　ｍｏｄｅｌ",
    "cafe": "Ein Café in Köln",
    "empty": "",
}


@pytest.fixture(scope="module")
def server() -> Any:
    """The modules of the server's package that need nothing but the standard library."""
    sys.path.insert(0, str(package_folder()))
    try:
        names = ("query", "index", "text")
        yield {name: importlib.import_module(f"databuild_argilla_server.{name}") for name in names}
    finally:
        sys.path.remove(str(package_folder()))


@pytest.fixture
def database(server, tmp_path) -> Any:
    path = tmp_path / "argilla.db"
    connection = sqlite3.connect(path, isolation_level=None)
    server["index"].add_functions(connection)
    connection.executescript("""
        CREATE TABLE fields (id TEXT, name TEXT, dataset_id TEXT, inserted_at TEXT);
        CREATE TABLE records (id CHAR(32) PRIMARY KEY, fields JSON, metadata JSON, status TEXT,
            external_id TEXT, dataset_id TEXT, inserted_at TEXT, updated_at TEXT);
        CREATE TABLE vectors (record_id TEXT, vector_settings_id TEXT, updated_at TEXT);
        INSERT INTO fields VALUES ('1', 'text', 'ds', '1'), ('2', 'chat', 'ds', '2');""")
    server["index"].prepare(path)
    for name, text in TEXTS.items():
        add(
            connection, name, {"text": text, "chat": [{"role": "user", "content": f"hello {name}"}]}
        )
    yield connection, path
    connection.close()


def add(connection: sqlite3.Connection, name: str, fields: dict[str, Any]) -> None:
    sql = "INSERT INTO records(id, fields, dataset_id, inserted_at) VALUES (?, ?, 'ds', ?)"
    connection.execute(sql, (name, json.dumps(fields), name))


def found(server, connection, typed: str, columns: str | None = None) -> set[str]:
    node = server["query"].parse(typed)
    if node is None:
        return set()
    every = '{dataset} : "ds"'
    inner = server["query"].as_fts5(node, columns or server["index"].COLUMN_FILTER, every)
    sql = """SELECT d.record_id FROM dbx_fts JOIN dbx_doc d ON d.id = dbx_fts.rowid
        WHERE dbx_fts MATCH ?"""
    return {row[0] for row in connection.execute(sql, [f"{every} AND ({inner})"])}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("cat", {"cat", "dog"}),
        ("CAT sat", {"cat"}),
        ("cat -sat", {"dog"}),
        ("mat -(dog | sat)", set()),
        ("-(cat | hello)", set()),
        ("-(cat | dog | zh | zh2 | ja | th)", {"full", "cafe", "empty"}),
        ('"the mat"', {"dog"}),
        ("well-known", {"cat"}),
        ("doesn't", {"dog"}),
        ("sat | 数据", {"cat", "zh"}),
        ("wel*", {"cat"}),
        ("机器", {"zh", "zh2"}),
        ("机器学习", {"zh"}),
        ("学习", {"zh", "zh2"}),
        ("习学", set()),
        ("数据质量 -翻译", {"zh"}),
        ("质*", {"zh"}),
        ("タワー", {"ja"}),
        ("ภาษา", {"th"}),
        ("AI model", {"full"}),
        ("Café", {"cafe"}),
        ("cafe", {"cafe"}),  # the chat says its name
        ("user", set()),  # a chat's roles are no words of it
        ("ds", set()),  # nor is the data set's id
        ("???", set()),
        ("", set()),
        ('"open', set()),
        ('a" OR dataset:"ds', set()),
    ],
)
def test_what_is_typed_finds(server, database, typed, expected):
    assert found(server, database[0], typed) == expected


def test_a_field_is_searched_by_itself(server, database):
    assert found(server, database[0], "hello", "{c0}") == set()
    assert found(server, database[0], "hello cat", "{c1}") == {"cat"}


@given(st.text(alphabet='ab ()|+-"*~\\你NOTANDOR:{}^', max_size=30))
def test_nothing_that_is_typed_is_an_error(server, typed):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(dataset, c0)")
    node = server["query"].parse(typed)
    if node is not None:
        expression = server["query"].as_fts5(node, "{c0}", '{dataset} : "x"')
        connection.execute("SELECT * FROM t WHERE t MATCH ?", [expression]).fetchall()


def test_a_long_and_a_deep_query_are_no_error(server, database):
    assert found(server, database[0], "cat " * 2000 + "sat") == {"cat"}
    assert found(server, database[0], "(" * 5000 + "cat sat") == {"cat"}


def test_the_index_follows_every_change(server, database):
    connection, _ = database
    connection.execute("UPDATE records SET fields = ? WHERE id = 'cat'", ['{"text": "一只狐狸"}'])
    assert found(server, connection, "cat") == {"dog"}
    assert found(server, connection, "狐狸") == {"cat"}
    connection.execute("BEGIN")
    add(connection, "new", {"text": "badger"})
    assert found(server, connection, "badger") == {"new"}
    connection.execute("ROLLBACK")
    assert found(server, connection, "badger") == set()
    connection.execute("DELETE FROM records WHERE id = 'dog'")
    assert found(server, connection, "dog") == set()
    assert connection.execute("SELECT count(*) FROM dbx_doc").fetchone() == (len(TEXTS) - 1,)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE dbx_meta SET version = 'of an earlier databuild'",
        "DROP TRIGGER dbx_records_update",  # as a migration that re-creates the table does
        "DROP TABLE dbx_fts",
        "DELETE FROM dbx_doc WHERE record_id = 'zh'",
    ],
)
def test_an_index_of_another_version_or_with_damage_is_made_anew(server, database, damage):
    connection, path = database
    assert not server["index"].prepare(path)
    connection.execute(damage)
    assert server["index"].prepare(path)
    assert found(server, connection, "机器") == {"zh", "zh2"}
    assert not server["index"].prepare(path)
