"""Read a recipe's YAML (1.2, through ruamel.yaml) and remember the line of everything in it.

`on`, `no` and `1e-5` mean what they say, a repeated key is an error, and `${name}` stands for a
variable. Overrides (`key=value`) are put in before anything is checked, so they are checked too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from databuild.errors import RecipeError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Keys = tuple[str | int, ...]
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_SECTIONS = ("vars", "steps", "models")
_TOP = {*_SECTIONS, "seed", "name", "flywheel", "plugins", "budget"}


@dataclass(frozen=True)
class Document:
    """A recipe as plain Python values, with the line of every key."""

    path: Path
    data: dict[str, Any]
    text: str
    lines: dict[Keys, int] = field(default_factory=dict)

    def where(self, *keys: str | int) -> str:
        """`file:line` of the innermost of `keys` that the file has."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.lines:
                return f"{self.path}:{self.lines[keys[:end]]}"
        return str(self.path)


def load_document(path: Path, overrides: Iterable[str] = ()) -> Document:
    """Read `path` and apply `overrides`, each `key=value` with a dotted key.

    Raises:
        RecipeError: The file is missing, empty or no YAML mapping, or an override names nothing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fix = "give the path of a recipe, or make one with `databuild init`"
        raise RecipeError(str(path), f"the recipe cannot be read: {error}", fix=fix) from error
    tree = _parse(path, text)
    lines: dict[Keys, int] = {}
    data = _plain(tree, (), lines)
    document = Document(path, data, text, lines)
    asked = list(overrides)
    for override in asked:
        others = (other for other in asked if other is not override)
        _override(document, override, mentions="\n".join([text, *others]))
    return document


def fill(value: Any, variables: Mapping[str, Any], where: str) -> Any:
    """Put variables in for `${name}`. A text that is one variable takes the variable's type.

    Raises:
        RecipeError: `value` names a variable that is not there.
    """
    if isinstance(value, dict):
        return {key: fill(inner, variables, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, variables, where) for inner in value]
    if not isinstance(value, str):
        return value
    for name in _VARIABLE.findall(value):
        if name not in variables:
            what = f"${{{name}}} is no variable; {nearest(name, variables)}"
            raise RecipeError(where, what, fix="add it under `vars:` or correct the name")
    whole = _VARIABLE.fullmatch(value)
    if whole:
        return variables[whole[1]]
    return _VARIABLE.sub(lambda match: str(variables[match[1]]), value)


def _parse(path: Path, text: str) -> CommentedMap:
    try:
        tree = YAML().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        raise RecipeError(where, f"not valid YAML: {problem}", fix="correct this line") from error
    except YAMLError as error:
        raise RecipeError(str(path), f"not valid YAML: {error}", fix="correct the file") from error
    if not isinstance(tree, CommentedMap):
        held = "nothing" if tree is None else "a list" if isinstance(tree, list) else "one value"
        what = f"a recipe is a mapping, this file holds {held}"
        raise RecipeError(str(path), what, fix="start with `name:` and `steps:`")
    return tree


def _plain(node: Any, keys: Keys, lines: dict[Keys, int]) -> Any:
    """Turn ruamel's node types into plain ones; note the line of every key on the way.

    Keys that came in with `<<` have no line of their own.
    """
    if isinstance(node, CommentedMap | CommentedSeq):
        is_map = isinstance(node, CommentedMap)
        for key, place in (node.lc.data or {}).items():
            lines[(*keys, str(key) if is_map else key)] = place[0] + 1
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value, (*keys, str(key)), lines) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value, (*keys, index), lines) for index, value in enumerate(node)]
    if isinstance(node, TaggedScalar):
        return str(node.value)
    for plain in (bool, int, float, str):
        if isinstance(node, plain):
            return plain(node)
    return node


def _override(document: Document, override: str, mentions: str) -> None:
    dotted, equals, text = override.partition("=")
    keys = dotted.split(".")
    if not equals or not all(keys):
        what = f"the override {override!r} is not key=value"
        raise RecipeError("command line", what, fix="write for example `answers.k=4`")
    keys = _full(document.data, keys, override, mentions)
    target = document.data
    for key in keys[:-1]:
        if target.get(key) is None:
            target[key] = {}
        target = target[key]
        if not isinstance(target, dict):
            what = f"the override {override!r} goes below {key!r}, which is {target!r}"
            raise RecipeError("command line", what, fix="shorten the key")
    try:
        target[keys[-1]] = _plain(YAML().load(text), (), {}) if text else ""
    except YAMLError as error:
        what = f"the value of the override {override!r} is not valid YAML"
        raise RecipeError(
            "command line", what, fix="quote the value, as in `key='\"a: b\"'`"
        ) from error


def _full(data: dict[str, Any], keys: list[str], override: str, mentions: str) -> list[str]:
    """The keys of an override from the top, where it may begin with a variable or a step.

    A new variable, step or model must be mentioned somewhere, or it would be a typo without effect.
    """
    names = {top: list(data[top]) if isinstance(data.get(top), dict) else [] for top in _SECTIONS}
    if keys[0] not in data:
        home = next((top for top in ("vars", "steps") if keys[0] in names[top]), None)
        keys = [home, *keys] if home else keys
    top = keys[0]
    if top not in data and top not in _TOP:
        wrong, known, fix = top, [*data, *names["vars"], *names["steps"]], "name before the dot"
    elif top in names and len(keys) > 1 and keys[1] not in names[top]:
        mention = re.escape(f"${{{keys[1]}}}") if top == "vars" else rf"\b{re.escape(keys[1])}\b"
        if re.search(mention, mentions) or (top == "steps" and len(keys) == 2):
            return keys
        wrong, known, fix = keys[1], names[top], f"name after `{top}.`"
    else:
        return keys
    what = f"the override {override!r} names nothing in the recipe; {nearest(wrong, known)}"
    raise RecipeError("command line", what, fix=f"correct the {fix}")
