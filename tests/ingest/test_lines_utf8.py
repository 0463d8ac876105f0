"""Bytes that are no text are told, in short blocks and in long ones."""

from __future__ import annotations

import pyarrow as pa
import pytest

from databuild.ingest.lines import is_utf8


@pytest.mark.parametrize("before", [0, 9, 1020, 4000])
@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xe4\xb8", b"\xc0\x80"])
def test_invalid_bytes_are_found_wherever_they_lie(before: int, bad: bytes) -> None:
    good = "é天😀 \0".encode() * 200
    is_utf8(memoryview(good[: len("é天😀 \0".encode()) * (before // 11)]))
    for block in (b"a" * before + bad, b"a" * before + bad + good, good + b"a" * before + bad):
        with pytest.raises(pa.ArrowInvalid):
            is_utf8(memoryview(block))
    is_utf8(memoryview(good))
