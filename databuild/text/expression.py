r"""A small safe language for conditions on columns, compiled to Polars.

    language in ["en", "zh"] and prompt_words <= 200 and not prompt_is_blank
    score / max_score >= 0.5 or len(messages) > 2 or note is null or "urgent" in tags
    matches(prompt, r"\d{4}") and any(m.role == "tool" for m in messages) and scores[0] > 0.5

Python's grammar, of which only this is allowed:

- `and or not`, `== != < <= > >=` (chained as well), `in`, `not in`, `is null`, `is not null`;
- `+ - * / // %`, `abs(x)`, `min(a, b, ...)`, `max(a, b, ...)`;
- names of columns, `col("any name")`, `a.b` (a field of a struct), `a[0]`, `a[-1]` (an item of a
  list, null where there is none);
- numbers, texts, lists of them, `true false null`, `date("2026-01-31")`;
- `len(x)` (of a text in characters, of a list in items), `lower(x)`, `contains(x, y)` (a piece of a
  text, an item of a list: `y in x`), `startswith(x, y)`, `endswith(x, y)`, `matches(x, "...")`: a
  regular expression somewhere in the text, in Rust's syntax, which needs time in proportion to the
  text; its backslashes are taken as they are written;
- `any(... for x in xs)` and `all(... for x in xs)`: whether a condition on `x` alone is true for
  one item, or for every item, of a list.

Nothing is ever evaluated by Python. Null and NaN are unknown, as in SQL: a comparison with one is
neither true nor false. Inside `any` and `all`, an item for which it is unknown counts as false.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

from databuild.errors import nearest
from databuild.text.compiled import ARITHMETIC, CONSTANTS, Scope, as_expression, pattern_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import polars as pl

_SHOWN = 24
_ANY = 99
_ARGUMENTS: Mapping[str, tuple[int, int]] = {
    "len": (1, 1), "col": (1, 1), "lower": (1, 1), "abs": (1, 1), "date": (1, 1),
    "min": (2, _ANY), "max": (2, _ANY), "contains": (2, 2), "startswith": (2, 2),
    "endswith": (2, 2), "matches": (2, 2), "any": (1, 1), "all": (1, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Clause:
    """One of the conditions that a top-level `and` joins."""

    text: str
    tree: ast.expr

    def build(self, schema: Mapping[str, pl.DataType]) -> pl.Expr:
        """A Boolean Polars expression over a table with this schema.

        Raises:
            MisfitError: A field or an item is asked of what has none.
        """
        return as_expression(self.tree, Scope(schema))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, in order of appearance."""
        return tuple(dict.fromkeys(_read(self.tree)))


class _RefusedError(Exception):
    """What is not of the language, and where."""

    def __init__(self, tree: ast.AST, why: str) -> None:
        self.tree, self.why = tree, why


def clauses(text: str) -> list[Clause]:
    """Parse a condition into the clauses that its top-level `and` joins.

    Raises:
        ValueError: The text is no condition of this language; the message shows the place.

    Example:
        >>> [clause.text for clause in clauses("a > 1 and (b or c)")]
        ['a > 1', 'b or c']
        >>> clauses("a > 1 and b ** 2")
        Traceback (most recent call last):
        ValueError: only + - * / // % are known, not the operator in 'b ** 2' (character 11)
    """
    line = " ".join(text.strip().splitlines())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a pattern is what was meant
            tree = ast.parse(line, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = getattr(error, "offset", None)
        near = f" at character {place}, near {line[place - 1 :][:_SHOWN]!r}" if place else ""
        msg = f"not a condition: {getattr(error, 'msg', error)}{near}"
        raise ValueError(msg) from error
    joined = (
        tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    )
    try:
        return [_clause(part, line) for part in joined]
    except _RefusedError as refused:
        place = len(line.encode()[: getattr(refused.tree, "col_offset", 0)].decode()) + 1
        what, _, more = refused.why.partition(";")
        more = f";{more}" if more else ""
        msg = f"{what} in {ast.unparse(refused.tree)!r} (character {place}){more}"
        raise ValueError(msg) from refused


def _clause(part: ast.expr, line: str) -> Clause:
    if isinstance(part, ast.Constant | ast.List | ast.Tuple | ast.BinOp):
        _check(part, may_be_list=True)
        _refuse(part, "not a condition: neither true nor false,")
    for node in ast.walk(part):
        if _is_call_of(node, "matches"):
            _keep_backslashes(cast("ast.Call", node), line)
    _check(part)
    return Clause(ast.get_source_segment(line, part) or ast.unparse(part), part)


def columns(text: str) -> tuple[str, ...]:
    """List the columns that a condition reads, in order of appearance.

    Raises:
        ValueError: See `clauses`.

    Example:
        >>> columns("a + b.c > 1 and any(x > 2 for x in d) and col('max length') is not null")
        ('a', 'b', 'd', 'max length')
    """
    return tuple(dict.fromkeys(name for clause in clauses(text) for name in clause.columns))


def _read(tree: ast.expr) -> Iterator[str]:
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "col":
        yield str(cast("ast.Constant", tree.args[0]).value)
        return
    if isinstance(tree, ast.GeneratorExp):
        yield from _read(tree.generators[0].iter)
        return
    if isinstance(tree, ast.Name) and tree.id not in CONSTANTS:
        yield tree.id
    skipped = tree.func if isinstance(tree, ast.Call) else None
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.expr) and child is not skipped:
            yield from _read(child)


def _refuse(tree: ast.AST, why: str) -> NoReturn:
    raise _RefusedError(tree, why)


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _keep_backslashes(call: ast.Call, line: str) -> None:
    r"""Read a pattern as it is written: Python would make a backspace of the word border `\\b`."""
    pattern = call.args[1] if len(call.args) > 1 else None
    source = ast.get_source_segment(line, pattern) if pattern else None
    if isinstance(pattern, ast.Constant) and source and source[0] in "'\"":
        try:
            pattern.value = ast.literal_eval(f"r{source}")
        except SyntaxError:
            _refuse(call, "a pattern is one text that does not end in a backslash, not what stands")


def _check(tree: ast.expr, *, may_be_list: bool = False) -> None:
    """Refuse what is not of the language, here and inside."""
    if type(tree) not in _CHECKS:
        _refuse(tree, f"{type(tree).__name__} is not part of this language; seen")
    if isinstance(tree, ast.List | ast.Tuple) and not may_be_list:
        _refuse(tree, "a list stands only after `in`, not as")
    _CHECKS[type(tree)](tree)
    if isinstance(tree, ast.Call | ast.Subscript | ast.List | ast.Tuple):
        return
    compare = tree if isinstance(tree, ast.Compare) else None
    is_in = compare is not None and isinstance(compare.ops[-1], ast.In | ast.NotIn)
    last = compare.comparators[-1] if compare and is_in else None
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.expr):
            _check(child, may_be_list=child is last)


def _check_constant(tree: ast.Constant) -> None:
    if not isinstance(tree.value, str | int | float | bool | None):
        _refuse(tree, f"a value of type {type(tree.value).__name__}")


def _check_list(tree: ast.List | ast.Tuple) -> None:
    items = [_literal(item) for item in tree.elts]
    if not all(isinstance(item, ast.Constant) for item in items):
        _refuse(tree, "a list may hold only numbers and texts, not what stands")
    are_texts = {isinstance(cast("ast.Constant", item).value, str) for item in items}
    if len(are_texts) > 1 or any(cast("ast.Constant", item).value is None for item in items):
        _refuse(tree, "a list holds either numbers or texts, not what stands")
    for item in items:
        _check(item)


def _check_binary(tree: ast.BinOp) -> None:
    if type(tree.op) not in ARITHMETIC:
        _refuse(tree, "only + - * / // % are known, not the operator")


def _check_unary(tree: ast.UnaryOp) -> None:
    if not isinstance(tree.op, ast.Not | ast.USub | ast.UAdd):
        _refuse(tree, "unknown operator")


def _check_subscript(tree: ast.Subscript) -> None:
    index = _literal(tree.slice)
    if not (isinstance(index, ast.Constant) and type(index.value) is int):
        _refuse(tree, "in brackets stands a whole number, not what stands")
    _check(tree.value)


def _check_attribute(tree: ast.Attribute) -> None:
    if isinstance(tree.value, ast.Constant):
        _refuse(tree, "a field belongs to a column, not to what stands")


def _check_compare(tree: ast.Compare) -> None:
    for op, other in zip(tree.ops, tree.comparators, strict=True):
        is_null = isinstance(other, ast.Name) and CONSTANTS.get(other.id, "") is None
        is_none = isinstance(other, ast.Constant) and other.value is None
        if isinstance(op, ast.Is | ast.IsNot) != (is_null or is_none):
            _refuse(tree, "`is` and `null` go together (`x is null`, `x is not null`), as not")


def _literal(tree: ast.expr) -> ast.expr:
    is_sign = isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub | ast.UAdd)
    return cast("ast.UnaryOp", tree).operand if is_sign else tree


def _check_call(tree: ast.Call) -> None:
    name = tree.func.id if isinstance(tree.func, ast.Name) else ast.unparse(tree.func)
    if name not in _ARGUMENTS:
        _refuse(tree, f"unknown function {name!r}; {nearest(name, _ARGUMENTS)}")
    least, most = _ARGUMENTS[name]
    if not least <= len(tree.args) <= most or tree.keywords:
        wanted = {1: "one value", 2: "two values"}[least]
        _refuse(tree, f"{name} takes {wanted}{' or more' if most == _ANY else ''}")
    if name in {"any", "all"}:
        _check_each(tree, name)
        return
    is_text = [isinstance(a, ast.Constant) and isinstance(a.value, str) for a in tree.args]
    if name in {"col", "date"} and not is_text[0]:
        _refuse(tree, f"{name} takes a text")
    if name == "len" and isinstance(tree.args[0], ast.Constant):
        _refuse(tree, "len takes a column")
    if name in {"matches", "date"}:
        why = pattern_of(tree) if is_text[-1] else "takes a text as its pattern"
        if why:
            _refuse(tree, f"{name} {why}")
    for argument in tree.args:
        _check(argument, may_be_list=name == "contains" and argument is tree.args[0])


def _check_each(tree: ast.Call, name: str) -> None:
    each = tree.args[0]
    if not isinstance(each, ast.GeneratorExp):
        _refuse(tree, f"{name} takes a condition on each item, as {name}(x > 1 for x in xs),")
    (loop, *more) = each.generators
    if more or loop.ifs or loop.is_async or not isinstance(loop.target, ast.Name):
        _refuse(tree, f"{name} takes one `for x in xs`, without `if`,")
    _check(loop.iter)
    _check(each.elt)
    strange = set(_read(each.elt)) - {loop.target.id}
    if strange:
        _refuse(tree, f"inside {name} only {loop.target.id!r} is known, not {min(strange)!r},")


_CHECKS: Mapping[type[ast.expr], Callable[[Any], None]] = {
    ast.Name: lambda _: None,
    ast.BoolOp: lambda _: None,
    ast.Constant: _check_constant,
    ast.Call: _check_call,
    ast.List: _check_list,
    ast.Tuple: _check_list,
    ast.BinOp: _check_binary,
    ast.UnaryOp: _check_unary,
    ast.Compare: _check_compare,
    ast.Subscript: _check_subscript,
    ast.Attribute: _check_attribute,
}
