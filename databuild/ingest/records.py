"""Records of a file one by one, each a value or an error; and how the text of one is read.

The error comes first, as the short name of a fault, then a colon and the detail.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

BOM = b"\xef\xbb\xbf"
REPAIRED = "lone surrogates repaired"
MISSING = "NaN read as missing"


@dataclass(frozen=True)
class Record:
    """One physical record: an object, or an error and no object."""

    place: int
    """Byte offset (JSON lines, in the unpacked file) or number from 0 (all others)."""
    line: int | None
    """Its first line, from 1, where that is known."""
    value: dict[str, Any] | None
    error: str | None
    raw: str
    """The beginning of its text, up to 200 characters; only of a record with an error."""
    repaired: int = 0
    """How many lone surrogates became U+FFFD."""
    n_nan: int = 0
    """How many values were NaN, which Python's own writer leaves, and are missing (null)."""

    @property
    def notes(self) -> dict[str, int]:
        """What was done to the record's values, and how often."""
        counts = {REPAIRED: self.repaired, MISSING: self.n_nan}
        return {note: n for note, n in counts.items() if n}


def read_line(line: bytes, place: int, number: int | None) -> Record:
    """Read the text of one record of JSON."""
    try:
        value, n_nan = load(line.decode())
    except UnicodeDecodeError as error:
        return bad_record(place, number, f"invalid UTF-8: byte {error.start} of the record", line)
    except ValueError as error:
        return bad_record(place, number, str(error), line)
    if not isinstance(value, dict):
        return bad_record(
            place, number, f"not an object: a record must be {{...}}, not {name_of(value)}", line
        )
    try:
        # Only an escape can make a surrogate of valid UTF-8.
        value, repaired = repair(value) if _ESCAPED.search(line) else (value, 0)
    except RecursionError:
        return bad_record(place, number, "broken JSON: nested too deeply", line)
    return Record(place, number, value, None, "", repaired, n_nan)


def load(text: str) -> tuple[Any, int]:
    """Read JSON strictly: no duplicate keys, no Infinity; NaN is null, and counted.

    Raises:
        ValueError: "broken JSON: ...", or "duplicate key: ...".

    Example:
        >>> load('{"score": NaN}')
        ({'score': None}, 1)
        >>> load('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ValueError: duplicate key: 'a' stands twice in one object
    """
    n_nan = 0

    def constant(name: str) -> None:
        nonlocal n_nan
        if name != "NaN":
            _no_constant(name)
        n_nan += 1

    decoder = _DECODER
    if "NaN" in text:
        decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=constant)
    try:
        return decoder.decode(text), n_nan
    except json.JSONDecodeError as error:
        msg = f"broken JSON: {error.msg} at character {error.pos + 1}"
        raise ValueError(msg) from None
    except RecursionError:
        msg = "broken JSON: nested too deeply"
        raise ValueError(msg) from None


def repair(value: Any) -> tuple[Any, int]:
    r"""Replace lone surrogates, which no encoding of text can hold, by U+FFFD, and count them.

    Example:
        >>> repair({"a": ["x\ud800", "y"]})
        ({'a': ['x\ufffd', 'y']}, 1)
    """
    if isinstance(value, str):
        return _SURROGATE.subn("\ufffd", value)
    if isinstance(value, list):
        items = [repair(item) for item in value]
        return [item for item, _ in items], sum(n for _, n in items)
    if isinstance(value, dict):
        pairs = [(*repair(name), *repair(held)) for name, held in value.items()]
        return {name: held for name, _, held, _ in pairs}, sum(n + m for _, n, _, m in pairs)
    return value, 0


def _no_constant(name: str) -> Any:
    msg = f"broken JSON: {name} is not JSON"
    raise ValueError(msg)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"duplicate key: {twice!r} stands twice in one object"
        raise ValueError(msg)
    return made


_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def name_of(value: Any) -> str:
    """What kind of JSON value it is, in words."""
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def bad_record(place: int, line: int | None, error: str, raw: bytes) -> Record:
    """A record that could not be read."""
    return Record(place, line, None, error, raw[:1000].decode(errors="replace").strip()[:200])
