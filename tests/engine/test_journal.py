"""What was journalled is there again, whatever happened to the file in between."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.engine.journal import Journal
from databuild.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OPEN: list[Journal] = []


def opened(folder: Path) -> Journal:
    """Open a journal as a process of its own would: the one before has ended."""
    while _OPEN:
        _OPEN.pop().close()
    _OPEN.append(Journal(folder))
    return _OPEN[-1]


def lines(folder: Path) -> list[bytes]:
    return (folder / "requests.jsonl").read_bytes().splitlines(keepends=True)


@contextmanager
def files_no_longer_than(n_bytes: int) -> Iterator[None]:
    """The kernel itself refuses to let a file grow further: a write is cut short, the next fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_what_was_put_is_there_and_there_again(tmp_path: Path) -> None:
    journal = opened(tmp_path / "j")
    assert journal.get("a") is None
    journal.put("a", {"text": "é 🙂\n\u2028", "n": 1})
    journal.put("b", {"text": None})
    journal.put("a", {"text": "again"})
    assert (len(journal), journal.get("a")) == (2, {"text": "again"})
    again = opened(tmp_path / "j")
    assert (len(again), again.damaged) == (2, 0)
    assert again.get("a") == {"text": "again"}
    assert again.get("b") == {"text": None}


def test_lone_surrogates_survive(tmp_path: Path) -> None:
    opened(tmp_path).put("a", {"text": "cut \ud83d"})
    assert opened(tmp_path).get("a") == {"text": "cut \ud83d"}


def test_an_entry_is_on_disk_when_put_returns(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from databuild.engine.journal import Journal
journal = Journal(Path({str(tmp_path)!r}))
for n in range(5):
    journal.put(f"k{{n}}", {{"n": n}})
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    journal = opened(tmp_path)
    assert [journal.get(f"k{n}") for n in range(5)] == [{"n": n} for n in range(5)]


@pytest.mark.parametrize("cut", [1, 2, 7, 12])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    journal = opened(tmp_path)
    journal.put("a", {"n": 1})
    journal.put("b", {"n": 2})
    path = tmp_path / "requests.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    torn = opened(tmp_path)
    assert (torn.get("a"), torn.get("b"), torn.damaged) == ({"n": 1}, None, 0)
    torn.put("b", {"n": 3})
    assert lines(tmp_path) == [b'["a", {"n": 1}]\n', b'["b", {"n": 3}]\n']


@pytest.mark.parametrize(
    "line",
    [b"{broken", b"\xff\xfe", b"[]", b'["a"]', b"3", b'["k", 3]', b'["k", null]', b'"ab"', b""],
)
def test_a_damaged_line_is_skipped_and_counted(tmp_path: Path, line: bytes) -> None:
    good = json.dumps(["a", {"n": 1}]).encode()
    (tmp_path / "requests.jsonl").write_bytes(
        b"\n".join([good, line, good.replace(b"a", b"z"), b""])
    )
    journal = opened(tmp_path)
    assert (len(journal), journal.damaged) == (2, 1)
    assert journal.get("z") == {"n": 1}
    journal.put("k", {"n": 5})
    assert opened(tmp_path).get("k") == {"n": 5}


def test_a_journal_that_another_run_holds_is_refused(tmp_path: Path) -> None:
    one = Journal(tmp_path)
    with pytest.raises(StoreError, match="another run asks the same model"):
        Journal(tmp_path)
    one.put("a", {"n": 1})
    one.close()
    again = Journal(tmp_path)
    assert (len(again), again.damaged) == (1, 0)
    again.close()


def test_journals_of_two_folders_know_nothing_of_each_other(tmp_path: Path) -> None:
    one, two = Journal(tmp_path / "one"), Journal(tmp_path / "two")
    one.put("a", {"n": 1})
    assert two.get("a") is None


@pytest.mark.parametrize("room", [50, 0])  # the write is cut short, or refused at once
def test_a_full_disk_is_a_store_error_and_leaves_whole_lines(tmp_path: Path, room: int) -> None:
    journal = opened(tmp_path)
    journal.put("a", {"text": "x" * 100})
    size = (tmp_path / "requests.jsonl").stat().st_size
    message = r"requests\.jsonl: cannot write: .*Fix: make room"
    with files_no_longer_than(size + room), pytest.raises(StoreError, match=message) as caught:
        journal.put("b", {"text": "y" * 100})
    assert caught.value.exit_code == 6
    assert journal.get("b") is None
    assert len(lines(tmp_path)) == 1
    journal.put("b", {"text": "y" * 100})
    again = opened(tmp_path)
    assert (len(again), again.damaged) == (2, 0)


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Journal(tmp_path / "file" / "j")


def keyed(n: int) -> str:
    """A key as the models make them."""
    return f"{n:032x}"


SCHEMA = {"text": pl.String, "n": pl.Int64, "by": pl.String}


@pytest.mark.parametrize("cut", [1, 2, 30, 46])
def test_a_torn_last_line_of_a_real_key_is_cut_off(tmp_path: Path, cut: int) -> None:
    journal = opened(tmp_path)
    journal.put(keyed(1), {"n": 1})
    journal.put(keyed(2), {"n": 2})
    path = tmp_path / "requests.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    torn = opened(tmp_path)
    assert (len(torn), torn.damaged) == (1, 0)
    assert torn.find([keyed(1), keyed(2)]) == [({"n": 1}, {}), None]
    torn.put(keyed(2), {"n": 3})
    assert [json.loads(line)[1]["n"] for line in lines(tmp_path)] == [1, 3]


def test_a_torn_line_longer_than_a_page_is_cut_off(tmp_path: Path) -> None:
    opened(tmp_path).put(keyed(1), {"n": 1})
    path = tmp_path / "requests.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 100_000)
    assert len(opened(tmp_path)) == 1
    assert path.read_bytes() == whole
    path.write_bytes(b"y" * 100_000)
    assert len(opened(tmp_path)) == 0
    assert path.read_bytes() == b""


def test_a_line_that_is_damaged_inside_is_found_when_it_is_asked_for(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for n in range(3):
        journal.put(keyed(n), {"text": f"text {n}", "n": n}, {"by": "r/a"})
    path = tmp_path / "requests.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"text 1"', b'"text" 1'))
    journal = opened(tmp_path)
    found = journal.find([keyed(n) for n in range(4)])
    assert [entry and entry[0]["n"] for entry in found] == [0, None, 2, None]
    assert journal.damaged == 1
    frame = journal.frame(bytes.fromhex("".join(keyed(n) for n in range(4))), SCHEMA)
    assert frame.rows() == [(0, "text 0", 0, "r/a"), (2, "text 2", 2, "r/a")]
    assert journal.damaged == 1
    journal.put(keyed(1), {"text": "again", "n": 1})
    assert journal.get(keyed(1)) == {"text": "again", "n": 1}
    assert opened(tmp_path).get(keyed(1)) == {"text": "again", "n": 1}


TEXTS = ['quo"te', "back\\slash", '"}, {"by": "x"', "zh 中文 🙂", "\u2028\n\r\x00", "", " ", "null"]


def test_columns_hold_what_the_entries_hold(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for n, text in enumerate(TEXTS):
        journal.put(keyed(n), {"id": "x", "text": text, "n": n}, {"by": text} if n % 2 else None)
    old = opened(tmp_path)
    old.put(keyed(0), {"text": "newer", "n": 7})  # what was put since stands before the file
    keys = [keyed(n) for n in (5, 99, 0, 1, 2, 3, 4, 6, 7)]
    frame = old.frame(bytes.fromhex("".join(keys)), SCHEMA)
    entries = dict(enumerate(old.find(keys)))
    assert frame.rows() == [
        (i, entry[0]["text"], entry[0]["n"], entry[1].get("by"))
        for i, entry in entries.items()
        if entry is not None
    ]
    assert frame["at"].to_list() == [0, 2, 3, 4, 5, 6, 7, 8]
    assert frame["text"].to_list() == [TEXTS[5], "newer", *TEXTS[1:5], *TEXTS[6:]]


def test_an_entry_without_its_first_field_is_no_row(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.put(keyed(0), {"text": None, "n": 0})
    journal.put(keyed(1), {"text": "a", "n": 1})
    frame = opened(tmp_path).frame(bytes.fromhex(keyed(0) + keyed(1)), SCHEMA)
    assert frame.rows() == [(1, "a", 1, None)]
