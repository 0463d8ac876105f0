"""Single values of a record: blank or not, numbers, JSON inside of text, halves of characters."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

MAX_DEPTH = 64
"""A record whose values nest deeper is refused."""
# White space (Unicode) and characters without width: a text of these alone says nothing. The same
# class is used by Python's and by Polars' (Rust's) engine, which differ in what `\s` is.
BLANKS = (
    r"\t-\r\x1c-\x20\x85\u00a0\u00ad\u115f\u1160\u1680\u180e\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u2800\u3000\u3164\ufeff\uffa0"
)
_VISIBLE = re.compile(f"[^{BLANKS}]")
_HALF = re.compile("[\ud800-\udfff]")
_PLAIN = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode
_SORTED = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str, sort_keys=True).encode
_NO_NUMBER = {"", "n/a", "na", "nan", "none", "null", "-"}


class FaultError(ValueError):
    """A record cannot be read as a row, or a row cannot be written: `<fault>: <detail>`."""


def fault(name: str, detail: str) -> FaultError:
    """Name what is wrong."""
    return FaultError(f"{name}: {detail}")


def is_missing(value: Any) -> bool:
    """Say whether a value is null, or NaN: pandas writes a missing text so.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing("")
        (True, True, False)
    """
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_blank(text: str) -> bool:
    r"""Say whether a text has nothing visible: no character, white space, zero width.

    Example:
        >>> is_blank(" \u200b\n"), is_blank("."), is_blank("")
        (True, False, True)
    """
    return _VISIBLE.search(text) is None


def sound(value: Any, depth: int = 0) -> tuple[Any, int]:
    r"""Replace lone surrogates by U+FFFD, everywhere inside, and count them.

    Raises:
        FaultError: The value nests deeper than `MAX_DEPTH`.

    Example:
        >>> sound({"a": ["x\ud83d", 1]})
        ({'a': ['x�', 1]}, 1)
    """
    if isinstance(value, str):
        return (value, 0) if value.isascii() else _HALF.subn("\ufffd", value)
    if not isinstance(value, dict | list):
        return value, 0
    if depth >= MAX_DEPTH:
        msg = f"values nest deeper than {MAX_DEPTH}"
        raise fault("too deep", msg)
    if isinstance(value, list):
        pairs = [sound(item, depth + 1) for item in value]
        return [item for item, _ in pairs], sum(n for _, n in pairs)
    made, count = {}, 0
    for name, held in value.items():
        (key, of_key), (item, of_item) = sound(name), sound(held, depth + 1)
        made[key] = item
        count += of_key + of_item
    return made, count


def is_sound(record: Any) -> bool:
    r"""Say whether a record surely has no lone surrogate and is not deep; without looking closely.

    Example:
        >>> is_sound({"a": "b"}), is_sound({"a": "\ud800"})
        (True, False)
    """
    try:
        text = json.dumps(record, ensure_ascii=False, default=str)
        text.encode()
    except (ValueError, TypeError, RecursionError):  # also: what is no UTF-8
        return False
    return text.count("{") + text.count("[") <= MAX_DEPTH


def short(value: Any) -> str:
    """The beginning of a value, to be shown."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def text_of(value: Any, place: str) -> str:
    """A text that says something.

    Raises:
        FaultError: It is no text, or blank.
    """
    if not isinstance(value, str):
        raise fault("wrong type", f"{place} is {short(value)}, expected text")
    if is_blank(value):
        raise fault("empty", f"{place} is blank")
    return value


def number_of(value: Any, place: str) -> float | None:
    """A finite number; NaN, infinities, null and "N/A" are none.

    Raises:
        FaultError: It is anything else.

    Example:
        >>> number_of("4", "x"), number_of(float("nan"), "x"), number_of("N/A", "x")
        (4.0, None, None)
    """
    if isinstance(value, str):
        if value.strip().lower() in _NO_NUMBER:
            return None
        try:
            value = float(value)
        except ValueError:
            raise fault("invalid value", f"{place} is {short(value)}, no number") from None
    if value is None:
        return None
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fault("wrong type", f"{place} is {short(value)}, expected a number")
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def json_text(value: Any, *, is_sorted: bool = False) -> str:
    """A value as JSON text; NaN and infinities, which JSON lacks, are null, dates are text.

    Example:
        >>> json_text({"b": [float("nan"), "é"], "a": 1}, is_sorted=True)
        '{"a": 1, "b": [null, "é"]}'
    """
    encode = _SORTED if is_sorted else _PLAIN
    try:
        return encode(value)
    except ValueError:
        return encode(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_finite(held) for held in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load_json(text: str) -> Any:
    """Read a text as JSON; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def opened(value: Any) -> Any:
    """A list or object that a column holds as JSON text, or the value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        found = load_json(value)
        if isinstance(found, dict | list):
            return found
    return value
