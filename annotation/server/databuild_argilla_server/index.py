"""The full-text index: an FTS5 table in Argilla's own database, kept by triggers on `records`.

The triggers run inside the server's own transactions, so the index can neither lag nor survive a
rolled-back change. All else (status, responses, suggestions, metadata) is read from Argilla's
tables when it is asked for.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from databuild_argilla_server.text import column_text

N_COLUMNS = 12
"""Fields of a data set that are searched each by itself; the last column holds all further ones."""
_COLUMNS = [f"c{i}" for i in range(N_COLUMNS)]
COLUMN_FILTER = "{" + " ".join(_COLUMNS) + "}"

_TABLES = f"""
CREATE TABLE dbx_doc (id INTEGER PRIMARY KEY, record_id CHAR(32) NOT NULL UNIQUE);
CREATE VIRTUAL TABLE dbx_fts USING fts5(
    dataset, {", ".join(_COLUMNS)},
    tokenize="unicode61 remove_diacritics 0 categories 'L* M* N* Co'");
CREATE INDEX IF NOT EXISTS dbx_records_small
    ON records(dataset_id, status, inserted_at, updated_at, external_id, id, metadata);
CREATE INDEX IF NOT EXISTS dbx_vectors_small ON vectors(vector_settings_id, updated_at, record_id);
"""
_NAMES = """(SELECT json_group_array(name) FROM (
    SELECT name FROM fields WHERE dataset_id = {r}.dataset_id ORDER BY inserted_at, id))"""
_TEXTS = ", ".join(
    f"dbx_text({{r}}.fields, {_NAMES}, {i}, {N_COLUMNS - 1})" for i in range(N_COLUMNS)
)
_INSERT = f"""INSERT INTO dbx_fts(rowid, dataset, {", ".join(_COLUMNS)})
    SELECT id, {{r}}.dataset_id, {_TEXTS} FROM dbx_doc WHERE record_id = {{r}}.id;"""
_DELETE = "DELETE FROM dbx_fts WHERE rowid = (SELECT id FROM dbx_doc WHERE record_id = old.id);"
_TRIGGERS = {
    "dbx_records_insert": f"""CREATE TRIGGER dbx_records_insert AFTER INSERT ON records BEGIN
    INSERT INTO dbx_doc(record_id) VALUES (new.id);
    {_INSERT.format(r="new")} END""",
    "dbx_records_update": f"""CREATE TRIGGER dbx_records_update AFTER UPDATE OF fields ON records
    WHEN old.fields IS NOT new.fields BEGIN
    {_DELETE} {_INSERT.format(r="new")} END""",
    "dbx_records_delete": f"""CREATE TRIGGER dbx_records_delete AFTER DELETE ON records BEGIN
    {_DELETE} DELETE FROM dbx_doc WHERE record_id = old.id; END""",
}
_FILL = [
    "INSERT INTO dbx_doc(record_id) SELECT id FROM records ORDER BY inserted_at, id",
    f"""INSERT INTO dbx_fts(rowid, dataset, {", ".join(_COLUMNS)})
    SELECT d.id, r.dataset_id, {_TEXTS.format(r="r")}
    FROM dbx_doc d JOIN records r ON r.id = d.record_id""",
    "INSERT INTO dbx_fts(dbx_fts) VALUES ('optimize')",
]
_DROP = [
    *(f"DROP TRIGGER IF EXISTS {name}" for name in _TRIGGERS),
    *("DROP TABLE IF EXISTS dbx_fts", "DROP TABLE IF EXISTS dbx_doc"),
    *("DROP INDEX IF EXISTS dbx_records_small", "DROP INDEX IF EXISTS dbx_vectors_small"),
]

Execute = Callable[[str], Any]


def version() -> str:
    """What the index was made with: its tables, its triggers and how text is read."""
    source = Path(__file__).with_name("text.py").read_bytes()
    made = "\n".join([_TABLES, *_TRIGGERS.values(), sqlite3.sqlite_version.split(".")[0]])
    return hashlib.sha256(made.encode() + source).hexdigest()[:16]


def add_functions(connection: Any) -> None:
    """Give a connection the function that the triggers call; each one that writes needs it."""
    connection.create_function("dbx_text", 4, column_text, deterministic=True)


def build(execute: Execute) -> None:
    """Make the index anew from `records`, in the caller's transaction."""
    for statement in [*_DROP, *_TABLES.split(";"), *_FILL, *_TRIGGERS.values()]:
        if statement.strip():
            execute(statement)


def prepare(database: Path, tell: Callable[[str], None] = lambda _: None) -> bool:
    """Bring the index of a migrated database up to date; at every start, before the first request.

    It is made anew when its version differs, when a trigger is missing (a migration that re-creates
    `records` drops them), or when it does not hold as many documents as there are records.

    Returns:
        Whether it was made anew. The work is one transaction: a kill leaves the former index.
    """
    connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")  # readers never wait for the writer
        add_functions(connection)
        connection.execute("CREATE TABLE IF NOT EXISTS dbx_meta (version TEXT)")
        if _is_current(connection):
            return False
        (n_records,) = connection.execute("SELECT count(*) FROM records").fetchone()
        tell(f"making the search index of {n_records} records")
        connection.execute("BEGIN IMMEDIATE")
        build(connection.execute)
        connection.execute("DELETE FROM dbx_meta")
        connection.execute("INSERT INTO dbx_meta VALUES (?)", (version(),))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return True


def _is_current(connection: sqlite3.Connection) -> bool:
    if connection.execute("SELECT version FROM dbx_meta").fetchone() != (version(),):
        return False
    present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOTNULL"))
    if any(present.get(name) != statement for name, statement in _TRIGGERS.items()):
        return False
    if not {"dbx_fts", "dbx_doc", "dbx_records_small", "dbx_vectors_small"} <= present.keys():
        return False
    counts = "SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM dbx_doc)"
    n_records, n_documents = connection.execute(counts).fetchone()
    return bool(n_records == n_documents)
