"""How the fake model keeps to a form: it writes JSON of a schema, matches of a regex, choices."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from databuild.models.protocol import Sampling

# Python's own reading of regular expressions; it has no other, and no types for this one.
sre: Any = import_module("re._constants")
sre_parser: Any = import_module("re._parser")
_MORE = 4
"""How often `*` and `+` repeat at most, beyond what they must."""
_DEPTH = 12
_CLASSES = {"category_digit": "0123456789", "category_space": " ", "category_word": "abcxyz019_"}
_ANY = "abcdefghij klmnop"


def formed(sampling: Sampling, text: str, draw: np.random.Generator) -> str:
    """An answer of the form that `sampling` asks, with words of `text` where it has room for them.

    Known of JSON schemas: types, properties, items, enum, const, anyOf, oneOf, `$ref` within the
    schema, lengths, ranges. Of regular expressions: all but look-around and references back.
    """
    if sampling.choice:
        drawn = sampling.choice[int(draw.integers(len(sampling.choice)))]
        return text if text in sampling.choice else drawn
    if sampling.regex is not None:
        return "".join(_matching(sre_parser.parse(sampling.regex), draw))
    schema = json.loads(sampling.json_schema or "{}")
    return json.dumps(_instance(schema, schema, text, draw, 0), ensure_ascii=False)


def _instance(schema: Any, root: Any, text: str, draw: np.random.Generator, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH:
        return None
    if "$ref" in schema:
        return _instance(_pointed(root, schema["$ref"]), root, text, draw, depth + 1)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            picked = schema[key][int(draw.integers(len(schema[key])))]
            return _instance(picked, root, text, draw, depth + 1)
    options = [schema["const"]] if "const" in schema else schema.get("enum")
    if options:
        return options[int(draw.integers(len(options)))]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _of_type(kind[0] if isinstance(kind, list) else kind, schema, root, text, draw, depth)


def _of_type(
    kind: str, schema: Any, root: Any, text: str, draw: np.random.Generator, depth: int
) -> Any:
    if kind == "object":
        fields = schema.get("properties", {})
        wanted = [*fields, *(name for name in schema.get("required", ()) if name not in fields)]
        return {n: _instance(fields.get(n, {}), root, text, draw, depth + 1) for n in wanted}
    if kind == "array":
        least, most = int(schema.get("minItems", 1)), schema.get("maxItems")
        n = int(draw.integers(least, min(least + 2, most if most is not None else least + 2) + 1))
        items = schema.get("items", {})
        return [_instance(items, root, text, draw, depth + 1) for _ in range(n)]
    if kind in {"integer", "number"}:
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 11) - 1)
        return int(draw.integers(int(low), max(int(high), int(low)) + 1))
    if kind == "boolean":
        return bool(draw.integers(2))
    return None if kind == "null" else _string(schema, text, draw)


def _string(schema: dict[str, Any], text: str, draw: np.random.Generator) -> str:
    if "pattern" in schema:
        return "".join(_matching(sre_parser.parse(schema["pattern"]), draw))
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    words = text.split() or ["word"]
    start = int(draw.integers(len(words)))
    made = " ".join(words[start : start + 8]) or words[0]
    while len(made) < least:
        made += f" {made}"
    return made[:most]


def _pointed(root: Any, pointer: str) -> Any:
    for name in pointer.removeprefix("#").strip("/").split("/"):
        root = root.get(name, {}) if name else root
    return root


def _matching(parsed: Any, draw: np.random.Generator) -> Iterator[str]:
    """The pieces of a text that a parsed regular expression matches."""
    for operation, argument in parsed:
        if operation is sre.LITERAL:
            yield chr(argument)
        elif operation is sre.ANY:
            yield _ANY[int(draw.integers(len(_ANY)))]
        elif operation is sre.IN:
            yield _one_of(argument, draw)
        elif operation is sre.NOT_LITERAL:
            yield "a" if argument != ord("a") else "b"
        elif operation is sre.BRANCH:
            branches = argument[1]
            yield from _matching(branches[int(draw.integers(len(branches)))], draw)
        elif operation is sre.SUBPATTERN:
            yield from _matching(argument[3], draw)
        elif operation in {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}:
            least, most, inner = argument
            for _ in range(int(draw.integers(least, min(int(most), least + _MORE) + 1))):
                yield from _matching(inner, draw)


def _one_of(members: Any, draw: np.random.Generator) -> str:
    """A character of a class such as `[a-f0-9]`."""
    negated = members[0][0] is sre.NEGATE
    pool = ""
    for operation, argument in members:
        if operation is sre.LITERAL:
            pool += chr(argument)
        elif operation is sre.RANGE:
            pool += "".join(map(chr, range(argument[0], argument[1] + 1)))
        elif operation is sre.CATEGORY:
            pool += _CLASSES.get(str(argument).lower(), _ANY)
    if negated:
        pool = "".join(c for c in "abcdefgh ABC 0123 .,;" if c not in pool) or "é"
    return pool[int(draw.integers(len(pool)))]
