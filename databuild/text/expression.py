"""A small safe language for conditions on columns, compiled to Polars.

    language in ["en", "zh"] and prompt_words <= 200 and not prompt_is_blank
    score / max_score >= 0.5 or len(messages) > 2 or note is null or "urgent" in tags

Python's grammar, of which only this is allowed: `and or not`, `== != < <= > >=` (chained as well),
`in`, `not in`, `is null`, `is not null`, `+ - * /`, `len(x)`, `col("any name")`, names of columns,
numbers, texts, lists, `true false null`. Nothing is ever evaluated by Python.

Null and NaN are unknown, as in SQL: a comparison with one is neither true nor false.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_CONSTANTS: Mapping[str, bool | None] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None,
}  # fmt: skip
Value = pl.Expr | str | int | float | bool | list[Any] | None


@dataclass(frozen=True)
class Clause:
    """One of the conditions that a top-level `and` joins."""

    text: str
    tree: ast.expr

    def build(self, schema: Mapping[str, pl.DataType]) -> pl.Expr:
        """A Boolean Polars expression over a table with this schema."""
        return _as_expression(_build(self.tree, schema))


def clauses(text: str) -> list[Clause]:
    """Parse a condition into the clauses that its top-level `and` joins.

    Raises:
        ValueError: The text is no condition of this language; the message shows the place.

    Example:
        >>> [clause.text for clause in clauses("a > 1 and (b or c)")]
        ['a > 1', 'b or c']
        >>> clauses("open('x')")
        Traceback (most recent call last):
        ValueError: unknown function 'open' in "open('x')"; there are len(x) and col("name")
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = getattr(error, "offset", None)
        near = f" near {text.strip()[max(place - 2, 0) : place + 12]!r}" if place else ""
        msg = f"not a condition: {getattr(error, 'msg', error)}{near}"
        raise ValueError(msg) from error
    joined = (
        tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    )
    for part in joined:
        _check(part)
        if isinstance(part, ast.Constant | ast.List | ast.Tuple | ast.BinOp):
            msg = f"{ast.unparse(part)!r} is not a condition: it is neither true nor false"
            raise ValueError(msg)
    return [Clause(ast.unparse(part), part) for part in joined]


def columns(text: str) -> tuple[str, ...]:
    """List the columns that a condition reads, in order of appearance.

    Raises:
        ValueError: See `clauses`.

    Example:
        >>> columns("a + b > 1 and a < 2 and col('max length') is not null")
        ('a', 'b', 'max length')
    """
    return tuple(dict.fromkeys(name for clause in clauses(text) for name in _read(clause.tree)))


def _read(tree: ast.expr) -> Iterator[str]:
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "col":
        yield _text_of(tree.args[0])
        return
    if isinstance(tree, ast.Name) and tree.id not in _CONSTANTS:
        yield tree.id
    skipped = tree.func if isinstance(tree, ast.Call) else None
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.expr) and child is not skipped:
            yield from _read(child)


def _text_of(tree: ast.expr) -> str:
    assert isinstance(tree, ast.Constant)
    return str(tree.value)


def _refuse(tree: ast.AST, why: str) -> None:
    msg = f"{why} in {ast.unparse(tree)!r}"
    raise ValueError(msg)


def _check(tree: ast.expr) -> None:
    match tree:
        case ast.Name():
            return
        case ast.Constant(value=value):
            if not isinstance(value, str | int | float | bool | None):
                _refuse(tree, f"a value of type {type(value).__name__}")
        case ast.Call():
            _check_call(tree)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            if not all(isinstance(_literal(item), ast.Constant) for item in items):
                _refuse(tree, "a list may hold only numbers and texts, not what stands")
        case ast.BinOp(op=op) if type(op) not in _ARITHMETIC:
            _refuse(tree, "only + - * / are known, not the operator")
        case ast.UnaryOp(op=op) if not isinstance(op, ast.Not | ast.USub | ast.UAdd):
            _refuse(tree, "unknown operator")
        case ast.Compare(ops=ops, comparators=right):
            for op, other in zip(ops, right, strict=True):
                is_null = isinstance(other, ast.Name) and _CONSTANTS.get(other.id, "") is None
                is_none = isinstance(other, ast.Constant) and other.value is None
                if isinstance(op, ast.Is | ast.IsNot) != (is_null or is_none):
                    _refuse(
                        tree, "`is` and `null` go together (`x is null`, `x is not null`), as not"
                    )
        case ast.BoolOp() | ast.BinOp() | ast.UnaryOp():
            pass
        case _:
            _refuse(tree, f"{type(tree).__name__} is not part of this language; seen")
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.expr) and not isinstance(tree, ast.Call):
            _check(child)


def _literal(tree: ast.expr) -> ast.expr:
    is_signed = isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub)
    return tree.operand if is_signed and isinstance(tree, ast.UnaryOp) else tree


def _check_call(tree: ast.Call) -> None:
    name = tree.func.id if isinstance(tree.func, ast.Name) else ast.unparse(tree.func)
    if name not in {"len", "col"}:
        msg = (
            f'unknown function {name!r} in "{ast.unparse(tree)}"; there are len(x) and col("name")'
        )
        raise ValueError(msg)
    if len(tree.args) != 1 or tree.keywords:
        _refuse(tree, f"{name} takes one value")
    argument = tree.args[0]
    if name == "col" and not (
        isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ):
        _refuse(tree, "col takes a text")
    if name == "len" and not isinstance(argument, ast.Name | ast.Call):
        _refuse(tree, "len takes a column")
    _check(argument)


def _build(tree: ast.expr, schema: Mapping[str, pl.DataType]) -> Value:  # noqa: C901, PLR0911 -- one case per form of the language
    match tree:
        case ast.Constant(value=value):
            assert not isinstance(value, bytes | complex) and value is not ...  # noqa: PT018
            return value
        case ast.Name(id=name):
            return _CONSTANTS[name] if name in _CONSTANTS else _column(name, schema)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_build(item, schema) for item in items]
        case ast.Call(func=ast.Name(id="col"), args=[name_tree]):
            return _column(_text_of(name_tree), schema)
        case ast.Call(args=[argument]):
            column = _build(argument, schema)
            assert isinstance(column, pl.Expr)
            is_list = isinstance(_dtype(argument, schema), pl.List)
            length = column.list.len() if is_list else column.str.len_chars()
            return length.cast(pl.Int64)
        case ast.BoolOp(op=op, values=parts):
            built = [_as_expression(_build(part, schema)) for part in parts]
            return pl.all_horizontal(built) if isinstance(op, ast.And) else pl.any_horizontal(built)
        case ast.UnaryOp(op=op, operand=operand):
            value = _build(operand, schema)
            if isinstance(op, ast.Not):
                return ~_as_expression(value)
            return -value if isinstance(op, ast.USub) else value  # type: ignore[operator]
        case ast.BinOp(left=left, op=op, right=right):
            made = _ARITHMETIC[type(op)](
                _as_expression(_build(left, schema)), _build(right, schema)
            )
            # 0 / 0 makes a NaN, which Polars orders above every number: it must not pass.
            return pl.when(made.cast(pl.Float64, strict=False).is_not_nan()).then(made)
        case ast.Compare(left=left, ops=ops, comparators=right):
            sides = [left, *right]
            pairs = zip(sides[:-1], ops, sides[1:], strict=True)
            return pl.all_horizontal([_compare(a, op, b, schema) for a, op, b in pairs])
    raise AssertionError(ast.dump(tree))


def _column(name: str, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    found = pl.col(name)
    return found.fill_nan(None) if name in schema and schema[name].is_float() else found


def _dtype(tree: ast.expr, schema: Mapping[str, pl.DataType]) -> pl.DataType | None:
    names = list(_read(tree))
    is_column = isinstance(tree, ast.Name | ast.Call) and len(names) == 1
    return schema.get(names[0]) if is_column else None


def _compare(
    left: ast.expr, op: ast.cmpop, right: ast.expr, schema: Mapping[str, pl.DataType]
) -> pl.Expr:
    a, b = _build(left, schema), _build(right, schema)
    if isinstance(op, ast.Is | ast.IsNot):
        expression = _as_expression(a)
        return expression.is_null() if isinstance(op, ast.Is) else expression.is_not_null()
    if not isinstance(op, ast.In | ast.NotIn):
        return _as_expression(_COMPARE[type(op)](_as_expression(a), b))
    if isinstance(b, list):
        found = _as_expression(a).is_in(b)
    elif isinstance(_dtype(right, schema), pl.List):
        found = _as_expression(b).list.contains(_as_expression(a))
    else:
        found = _as_expression(b).str.contains(_as_expression(a), literal=True)
    return found if isinstance(op, ast.In) else ~found


def _as_expression(value: Value) -> pl.Expr:
    return value if isinstance(value, pl.Expr) else pl.lit(value)
