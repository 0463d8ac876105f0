"""The index finds each key's last whole line, and names every line that it does not know."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.engine.key_index import KeyIndex

# Few halves, so that keys agree in one half, or in both.
_HALVES = ["0" * 16, "f" * 16, "00000000000000ff", "a1b2c3d4e5f60718"]
KEYS = [high + low for high in _HALVES for low in _HALVES]


def indexed(lines: list[bytes]) -> KeyIndex:
    return KeyIndex(np.frombuffer(b"".join(line + b"\n" for line in lines), np.uint8))


def line(key: str, n: int) -> bytes:
    return json.dumps([key, {"n": n, "text": "x" * n}]).encode()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 40)), max_size=30))
def test_it_finds_what_a_mapping_of_the_lines_would_have(entries):
    lines = [line(key, n) for key, n in entries]
    text = b"".join(one + b"\n" for one in lines)
    index = indexed(lines)
    last = {key: one for (key, _), one in zip(entries, lines, strict=True)}
    places = index.places(bytes.fromhex("".join(KEYS)))
    found = {
        key: text[slice(*index.line(place))]
        for key, place in zip(KEYS, places.tolist(), strict=True)
        if place >= 0
    }
    assert found == last
    assert len(index) == len(last)
    assert index.odd == []


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"[]",
        b'["short", {"n": 1}]',
        line(KEYS[1], 3).upper(),
        line(KEYS[1], 3).replace(b", {", b",{", 1),
        line(KEYS[1], 3)[:-1],
        line(KEYS[1], 3)[:-2],
        line(KEYS[1], 3).replace(b"0", b"g", 1),
        b"\x00" * 60,
    ],
)
def test_a_line_of_another_form_is_named_and_not_taken(odd):
    index = indexed([line(KEYS[0], 1), odd, line(KEYS[2], 2)])
    assert len(index) == 2
    start = len(line(KEYS[0], 1)) + 1
    assert index.odd == [(start, start + len(odd))]


def test_no_lines_and_no_keys():
    assert len(indexed([])) == 0
    assert indexed([]).places(bytes(16)).tolist() == [-1]
    assert indexed([line(KEYS[0], 1)]).places(b"").tolist() == []
