"""What is encrypted needs the key, and the key is nowhere but where it was put."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild import api
from databuild.errors import SchemaError, StoreError
from databuild.release.browsing import browse
from databuild.release.encryption import Key, is_encrypted, read_key, read_rows, write_encrypted
from databuild.release.exporting import read_splits
from databuild.release.tracing import trace
from databuild.release.uses import Meant
from databuild.release.verifying import verify
from databuild.release.versions import Versions
from tests.release.conftest import Shop, tickets

if TYPE_CHECKING:
    from pathlib import Path

KEY = Key(bytes(range(32)))
OTHER = Key(bytes(32))
ROWS = pl.DataFrame({
    "row_id": ["a", "b", "c"],
    "prompt": ["where is my parcel", None, "包裹在哪里 📦"],
    "messages": [[{"role": "user", "content": "my hidden words"}], [], None],
    "pii": [["a@b.org"], None, []],
    "score": [0.5, None, 1.0],
})  # fmt: skip


@pytest.mark.parametrize("columns", [("prompt", "messages", "pii"), ("score",), "all"])
def test_what_is_encrypted_comes_back_with_the_key(tmp_path: Path, columns: Any) -> None:
    path = tmp_path / "a.parquet"
    write_encrypted(ROWS, path, KEY, columns)
    assert is_encrypted(path)
    assert read_rows(path, KEY).equals(ROWS)
    with pytest.raises(StoreError, match="is encrypted, and there is no key"):
        read_rows(path)
    with pytest.raises(StoreError, match=f"does not open with the key {OTHER.fingerprint}"):
        read_rows(path, OTHER)


def test_no_plain_word_is_in_the_file_and_other_columns_are_read_by_all(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_encrypted(ROWS, path, KEY, ("prompt", "messages", "pii"))
    raw = path.read_bytes()
    for word in ("parcel", "hidden", "a@b.org", "包裹"):
        assert word.encode() not in raw
    assert pl.read_parquet(path, columns=["row_id", "score"]).equals(ROWS.select("row_id", "score"))
    assert KEY.secret not in raw
    write_encrypted(ROWS, path, KEY, "all")
    assert b"row_id" not in path.read_bytes()


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_encrypted(ROWS, path, KEY, "all")
    raw = bytearray(path.read_bytes())
    raw[40] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="another key, or damaged"):
        read_rows(path, KEY)


def test_a_plain_file_needs_no_key(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_encrypted(ROWS, path, KEY, ("absent",))
    assert not is_encrypted(path)
    assert read_rows(path).equals(ROWS)
    assert read_rows(path, KEY).equals(ROWS)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (bytes(range(200, 232)), 32),
        (b"00" * 32 + b"\n", 32),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 32),
        (b"__________________________________________8=", 32),
        (b"00" * 16, 16),
        (b"", 0),
        (b"a pass phrase that is long enough", 33),
    ],
)
def test_a_key_has_32_bytes(tmp_path: Path, content: bytes, found: int) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    if found == 32:
        assert len(read_key("x", file=path).secret) == 32
    else:
        with pytest.raises(StoreError, match=f"holds {found} bytes; a key has 32"):
            read_key("x", file=path)


def test_a_key_that_is_not_there_is_told(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("SHOP_KEY", raising=False)
    with pytest.raises(StoreError, match="SHOP_KEY is not set"):
        read_key("x", env="SHOP_KEY")
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        read_key("x", file=tmp_path / "none")
    with pytest.raises(StoreError, match="name the key once"):
        read_key("x")
    monkeypatch.setenv("SHOP_KEY", "too short a word")
    with pytest.raises(StoreError, match="16 bytes") as error:
        read_key("x", env="SHOP_KEY")
    assert "too short a word" not in str(error.value)
    assert repr(KEY) == f"Key({KEY.fingerprint})"


@pytest.fixture
def sealed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("SHOP_KEY", KEY.secret.hex())
    return shop


def encrypt(columns: str) -> dict[str, str]:
    section = f"release:\n  encrypt: {{columns: {columns}, key_env: SHOP_KEY}}\n"
    return {"release:\n": section}


def test_a_version_is_encrypted_shared_and_compared(sealed: Shop) -> None:
    sealed.run(tickets(30), **encrypt("[prompt, response]"))
    first = sealed.release("shop@1.0.0")
    sealed.run(tickets(32), **encrypt("[prompt, response]"))
    sealed.release("shop@1.1.0")
    sealed.run(tickets(32), **encrypt("[prompt, response]"))
    sealed.release("shop@1.2.0")
    versions = Versions(sealed.store, "shop")
    a, b, c = (versions.read(name) for name in ("1.0.0", "1.1.0", "1.2.0"))
    told = (first / "manifest.json").read_text()
    assert json.loads(told)["encrypted"] == {
        "columns": ["prompt", "response"], "key": KEY.fingerprint,
        "method": "Parquet modular encryption, AES-GCM, 256 bits",
    }  # fmt: skip
    assert KEY.secret.hex() not in told
    assert b.fingerprint == c.fingerprint != a.fingerprint  # equal rows, one file
    for path in first.rglob("*.parquet"):
        assert b"parcel" not in path.read_bytes()
    assert verify(versions, "1.0.0").faults == {}
    _, tables = read_splits(versions, b, "all", key=KEY)
    assert tables["everything"].height == 32
    with pytest.raises(StoreError, match="prompt, response of it are encrypted with the key"):
        read_splits(versions, b, "all")
    with pytest.raises(StoreError, match=f"the one given is {OTHER.fingerprint}"):
        read_splits(versions, b, "all", key=OTHER)
    changes = api.difference("shop@1.0.0", "shop@1.1.0", store=sealed.store, secret=KEY)
    assert {one.config: one.counts["added"] for one in changes}["all"] == 2
    with pytest.raises(StoreError, match="there is no key"):
        api.difference("shop@1.0.0", "shop@1.1.0", store=sealed.store)
    same = api.difference("shop@1.1.0", "shop@1.2.0", store=sealed.store)  # no file is read
    assert sum(sum(one.counts.values()) for one in same) == 0


def test_a_whole_version_is_encrypted_with_its_lineage(sealed: Shop) -> None:
    sealed.run(tickets(30), **encrypt("all"))
    folder = sealed.release("shop@1.0.0")
    assert all(is_encrypted(path) for path in folder.rglob("*.parquet"))
    versions = Versions(sealed.store, "shop")
    _, tables = read_splits(versions, versions.read("1.0.0"), "sft", key=KEY)
    assert sum(table.height for table in tables.values()) == 30


def test_a_column_that_is_nowhere_is_refused(sealed: Shop) -> None:
    sealed.run(tickets(30), **encrypt("[promt]"))
    with pytest.raises(SchemaError, match="no table of the version has the column 'promt'"):
        sealed.release("shop@1.0.0")
    sealed.run(tickets(30), **encrypt("[row_id]"))
    with pytest.raises(SchemaError, match="row_id cannot be encrypted by itself"):
        sealed.release("shop@1.0.0")
    assert not (sealed.store / "shop" / "1.0.0").exists()


def test_nothing_of_an_encrypted_column_stands_anywhere_in_the_store(sealed: Shop) -> None:
    sealed.run(tickets(30), **encrypt("[prompt, response]"))
    folder = sealed.release("shop@1.0.0")
    for path in sealed.store.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"parcel" not in content, path
            assert b"On way" not in content, path
    assert "languages" not in (folder / "README.md").read_text()
    row_id = pl.read_parquet(folder / "data/all/*.parquet", columns=["row_id"])["row_id"][0]
    (life,) = trace(sealed.store, row_id)  # the lineage is open, and tells what it can
    assert life.step == "raw"
    assert not {"prompt", "response"} & set(life.row)


@pytest.mark.parametrize("columns", ["[prompt, response]", "all"])
def test_what_takes_no_key_says_so(sealed: Shop, columns: str) -> None:
    sealed.run(tickets(30), **encrypt(columns))
    sealed.release("shop@1.0.0")
    meant = [Meant("source", "raw")]
    for purge in (False, True):
        with pytest.raises(StoreError, match=r"is encrypted .*this takes no key"):
            api.withdraw("shop@1.0.0", meant, purge=purge, store=sealed.store, runs="none")
    (sealed.folder / "again.yaml").write_text(
        "name: again\nsteps:\n  rows: {use: ingest.release, version: shop@1.0.0, config: sft}\n"
    )
    with pytest.raises(StoreError, match=r"is encrypted .*this takes no key"):
        api.run(sealed.folder / "again.yaml", runs=sealed.folder / "runs", workers=1)
    versions = Versions(sealed.store, "shop")
    with pytest.raises(StoreError, match="encrypted, and there is no key"):
        browse(versions, versions.read("1.0.0"), sealed.folder / "page.html", 10)
    if columns == "all":
        with pytest.raises(SchemaError, match=r"for want of a key: shop@1\.0\.0"):
            trace(sealed.store, "abc")
