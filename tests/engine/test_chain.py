"""A chained log: whole or refused, and its head says all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from databuild.engine.chain import Chain
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
