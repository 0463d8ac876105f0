"""A chained log: whole or refused, and its head says all of it."""

from __future__ import annotations

from threading import Thread
from time import sleep
from typing import TYPE_CHECKING

import pytest

from databuild.engine.chain import Chain, digest_of_line
from databuild.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_appended_is_read_and_the_head_follows(tmp_path: Path) -> None:
    log = Chain(tmp_path / "a.jsonl")
    assert log.head() == ""
    with log.appending() as appender:
        digests = appender.append([{"n": 1}, {"n": 2, "text": "好\ud800 🐢" * 50_000}])
    assert log.head() == digests[-1]
    with log.appending() as appender:
        digests += appender.append([{"n": 3}])
    assert [line["n"] for line in log.read()] == [1, 2, 3]
    assert [line["digest"] for line in log.read()] == digests
    assert Chain(tmp_path / "a.jsonl").head() == digests[-1]


def test_a_torn_line_is_passed_over_and_cut_off(tmp_path: Path) -> None:
    log = Chain(tmp_path / "a.jsonl")
    with log.appending() as appender:
        (head,) = appender.append([{"n": 1}])
    with log.path.open("ab") as handle:
        handle.write(b'{"n":2,"bef')
    assert log.head() == head
    assert len(list(log.read())) == 1
    with log.appending() as appender:
        appender.append([{"n": 3}])
    assert [line["n"] for line in log.read()] == [1, 3]


@pytest.mark.parametrize("cut", [lambda x: x[1:], lambda x: [x[0], x[2]], lambda x: x[::-1]])
def test_a_line_taken_out_or_moved_by_hand_is_refused(tmp_path: Path, cut: object) -> None:
    log = Chain(tmp_path / "a.jsonl")
    with log.appending() as appender:
        appender.append([{"n": n} for n in range(3)])
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(cut(lines)))  # type: ignore[operator]
    with pytest.raises(StoreError, match="does not follow"):
        list(log.read())


def erased(path: Path) -> Chain:
    log = Chain(path)
    with log.appending() as appender:
        appender.append([{"n": n, "kind": "x", "said": f"secret {n}"} for n in range(5)])
    assert log.erase(lambda line: line["n"] in {1, 4}, {"why": "asked to"}) == 2
    return log


def test_what_is_erased_is_gone_and_named_and_the_chain_holds(tmp_path: Path) -> None:
    log = erased(tmp_path / "a.jsonl")
    before = [line["digest"] for line in log.read() if line["kind"] == "x"]
    assert b"secret 1" not in log.path.read_bytes()
    *kept, purge = log.read()
    assert [line["n"] for line in kept] == [0, 2, 3]
    assert (purge["kind"], purge["why"], len(purge["erased"])) == ("purge", "asked to", 2)
    with log.appending() as appender:
        appender.append([{"n": 5, "kind": "x"}])
    assert log.erase(lambda line: line["n"] == 0, {"why": "again"}) == 1
    assert [line["n"] for line in log.read() if line["kind"] == "x"] == [2, 3, 5]
    assert [line["digest"] for line in log.read()][:2] == before[1:]
    assert log.head() == list(log.read())[-1]["digest"]
    assert log.erase(lambda line: line["n"] == 0, {}) == 0


def test_a_line_that_was_taken_out_by_hand_is_refused(tmp_path: Path) -> None:
    log = erased(tmp_path / "a.jsonl")
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:-1]))  # the purge is gone
    with pytest.raises(StoreError, match="2 lines were taken out, and no purge names them"):
        list(log.read())
    stone = (
        b'{"kind":"withdrawn","was":"%b","before":""}\n' % digest_of_line(lines[0][:-1]).encode()
    )
    log.path.write_bytes(b"".join([stone, *lines[1:]]))
    with pytest.raises(StoreError, match="1 lines were taken out"):
        list(log.read())


def test_who_waits_while_the_file_is_replaced_appends_to_the_new_one(tmp_path: Path) -> None:
    log = erased(tmp_path / "a.jsonl")
    with log.appending():
        waiting = Thread(target=_append_one, args=(log,))
        waiting.start()
        sleep(0.05)
        other = log.path.with_name("b")
        other.write_bytes(log.path.read_bytes())
        other.replace(log.path)
    waiting.join()
    assert list(log.read())[-1]["n"] == 9


def _append_one(log: Chain) -> None:
    with log.appending() as appender:
        appender.append([{"n": 9, "kind": "x"}])
