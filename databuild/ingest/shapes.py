"""What type a column has, decided once from the heads of all files, and whether a value fits it.

A shape is a JSON value, so that it can lie in a plan: `"bool"`, `"int"` (64 bits), `"float"`,
`"str"`, `"json"` (any value, as JSON text), `{"list": shape}` or `{"struct": {name: shape}}`.

Of the kinds of value that were seen, the most frequent wins: one stray number does not turn a
column of texts into something else, it fails as a record. Whole numbers beside fractions are
floats. Null fits everything; where nothing else was seen the shape is `"str"`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa

Shape = str | dict[str, Any]
# Deeper values, and objects that are maps rather than records, are kept as JSON text.
_MAX_DEPTH = 16
_MAX_KEYS = 200
_ORDER = ("str", "float", "int", "bool", "list", "struct", "json")
_SCALARS = {
    "bool": pl.Boolean,
    "int": pl.Int64,
    "float": pl.Float64,
    "str": pl.String,
    "json": pl.String,
}
_WORDS = {"bool": "true or false", "int": "whole numbers", "float": "numbers", "str": "text"}


class MisfitError(ValueError):
    """A value does not fit the shape of its column."""


class Seen:
    """The kinds of value that were seen at one place."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.items: Seen | None = None
        self.fields: dict[str, Seen] = {}

    def add(self, value: Any, depth: int = 0) -> None:
        """Look at one more value."""
        if value is None:
            return
        if depth > _MAX_DEPTH:
            self.kinds["json"] += 1
        elif isinstance(value, dict):
            self.kinds["struct"] += 1
            for name, held in value.items():
                self.fields.setdefault(name, Seen()).add(held, depth + 1)
        elif isinstance(value, list):
            self.kinds["list"] += 1
            self.items = self.items or Seen()
            for item in value:
                self.items.add(item, depth + 1)
        else:
            self.kinds[_kind(value)] += 1

    def shape(self) -> Shape:
        """Decide.

        Example:
            >>> seen = Seen()
            >>> for value in (1, 2.5, "x", [{"a": 1}], [{"b": None}], [{}], None):
            ...     seen.add(value)
            >>> seen.shape()
            {'list': {'struct': {'a': 'int', 'b': 'str'}}}
        """
        kinds = self.kinds.copy()
        if kinds["float"]:
            kinds["float"] += kinds.pop("int", 0)
        # Equal counts must not depend on which file came first.
        winner = max(_ORDER, key=lambda kind: (kinds[kind], -_ORDER.index(kind)))
        if winner == "list":
            assert self.items is not None
            return {"list": self.items.shape()}
        if winner == "struct" and not 0 < len(self.fields) <= _MAX_KEYS:
            return "json"
        if winner == "struct":
            return {"struct": {name: seen.shape() for name, seen in self.fields.items()}}
        return winner


def parse_shape(text: str) -> Shape:
    """Read a declared type: `str`, `int`, `float`, `bool`, `json` or `list[...]` of one.

    Raises:
        ValueError: It is none of them.

    Example:
        >>> parse_shape("list[list[int]]")
        {'list': {'list': 'int'}}
    """
    inner = re.fullmatch(r"\s*list\[(.+)\]\s*", text)
    if inner:
        return {"list": parse_shape(inner.group(1))}
    if text.strip() not in _SCALARS:
        msg = f"unknown type {text!r}; known: {', '.join(_SCALARS)}, list[...]"
        raise ValueError(msg)
    return text.strip()


def polars_type(shape: Shape) -> pl.DataType:
    """The Polars type of a shape."""
    if isinstance(shape, str):
        return _SCALARS[shape]()
    if "list" in shape:
        return pl.List(polars_type(shape["list"]))
    return pl.Struct({name: polars_type(inner) for name, inner in shape["struct"].items()})


def arrow_type(shape: Shape) -> pa.DataType:
    """The Arrow type of a shape."""
    import pyarrow as pa

    scalars = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}
    if isinstance(shape, str):
        return scalars[shape]
    if "list" in shape:
        return pa.list_(arrow_type(shape["list"]))
    return pa.struct([(name, arrow_type(inner)) for name, inner in shape["struct"].items()])


def holds(shape: Shape, kind: str) -> bool:
    """Say whether a shape has `kind` anywhere inside."""
    if isinstance(shape, str):
        return shape == kind
    inner = [shape["list"]] if "list" in shape else shape["struct"].values()
    return any(holds(part, kind) for part in inner)


def fit(value: Any, shape: Shape, place: str) -> Any:
    """Give the value as its column holds it.

    Raises:
        MisfitError: It does not fit; the message has the place, the value and what was expected.

    Example:
        >>> fit([1, 2.5], {"list": "float"}, "scores"), fit({"a": [1]}, "json", "meta")
        ([1.0, 2.5], '{"a": [1]}')
    """
    if value is None:
        return None
    if isinstance(shape, dict):
        return _fit_nested(value, shape, place)
    if shape == "json":
        return _sound(json.dumps(value, ensure_ascii=False), place)
    kind = _kind(value)
    if shape == "str" and kind == "str":
        return _sound(value, place)
    if shape == "float" and kind in {"int", "float"}:
        return _finite(value, place)
    if shape == "int" and kind == "int" and not -(2**63) <= value < 2**63:
        msg = f"wrong type: {place} is {value}, which does not fit into 64 bits"
        raise MisfitError(msg)
    if kind != shape:
        raise _misfit(value, _WORDS[shape], place)
    return value


def fit_text(text: str | None, shape: Shape, place: str) -> Any:
    """Read a field of a CSV file as its column holds it.

    Raises:
        MisfitError: It cannot be read so.

    Example:
        >>> fit_text("7", "int", "n"), fit_text("True", "bool", "b")
        (7, True)
    """
    if text is None:
        return None
    if not isinstance(shape, dict) and shape in {"str", "json"}:
        return _sound(text, place)
    try:
        value = json.loads(text.strip().lower() if shape == "bool" else text)
    except (ValueError, RecursionError):
        raise _misfit(text, _WORDS.get(str(shape), "JSON"), place) from None
    return fit(value, shape, place)


def _fit_nested(value: Any, shape: dict[str, Any], place: str) -> Any:
    if "list" in shape:
        if not isinstance(value, list):
            raise _misfit(value, "lists", place)
        return [fit(item, shape["list"], f"{place}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, dict):
        raise _misfit(value, "objects", place)
    for name, held in value.items():
        if name not in shape["struct"] and held is not None:
            msg = f"unknown key: {place}.{name} does not occur at the head of any file"
            raise MisfitError(msg)
    return {
        name: fit(value.get(name), inner, f"{place}.{name}")
        for name, inner in shape["struct"].items()
    }


def _kind(value: Any) -> str:
    kinds = {bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "struct"}
    return kinds[type(value)]


def _sound(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = f"invalid Unicode: {place} holds bytes that are not UTF-8, or half a surrogate pair"
        raise MisfitError(msg) from None
    return text


def _finite(value: float, place: str) -> float:
    try:
        if math.isfinite(found := float(value)):
            return found
    except OverflowError:
        pass
    msg = f"wrong type: {place} is {str(value)[:40]}, which is no finite number"
    raise MisfitError(msg)


def _misfit(value: Any, expected: str, place: str) -> MisfitError:
    return MisfitError(
        f"wrong type: {place} is {json.dumps(value, ensure_ascii=False)[:60]}, expected {expected}"
    )
