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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Schema = Mapping[str, pl.DataType]

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
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.invert,
    ast.USub: operator.neg,
    ast.UAdd: lambda value: value,
}
Value = pl.Expr | str | int | float | bool | list[Any] | None


@dataclass(frozen=True)
class Clause:
    """One of the conditions that a top-level `and` joins."""

    text: str
    tree: ast.expr

    def build(self, schema: Schema) -> pl.Expr:
        """A Boolean Polars expression over a table with this schema."""
        return _expression(self.tree, schema)


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
            _refuse(part, "not a condition: neither true nor false,")
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
    return str(cast("ast.Constant", tree).value)


def _refuse(tree: ast.AST, why: str) -> None:
    msg = f"{why} in {ast.unparse(tree)!r}"
    raise ValueError(msg)


def _check(tree: ast.expr) -> None:
    """Refuse what is not of the language, here and inside."""
    if type(tree) not in _CHECKS:
        _refuse(tree, f"{type(tree).__name__} is not part of this language; seen")
    _CHECKS[type(tree)](tree)
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.expr) and not isinstance(tree, ast.Call):
            _check(child)


def _check_constant(tree: ast.Constant) -> None:
    if not isinstance(tree.value, str | int | float | bool | None):
        _refuse(tree, f"a value of type {type(tree.value).__name__}")


def _check_list(tree: ast.List | ast.Tuple) -> None:
    if not all(isinstance(_literal(item), ast.Constant) for item in tree.elts):
        _refuse(tree, "a list may hold only numbers and texts, not what stands")


def _check_binary(tree: ast.BinOp) -> None:
    if type(tree.op) not in _ARITHMETIC:
        _refuse(tree, "only + - * / are known, not the operator")


def _check_unary(tree: ast.UnaryOp) -> None:
    if not isinstance(tree.op, ast.Not | ast.USub | ast.UAdd):
        _refuse(tree, "unknown operator")


def _check_compare(tree: ast.Compare) -> None:
    for op, other in zip(tree.ops, tree.comparators, strict=True):
        is_null = isinstance(other, ast.Name) and _CONSTANTS.get(other.id, "") is None
        is_none = isinstance(other, ast.Constant) and other.value is None
        if isinstance(op, ast.Is | ast.IsNot) != (is_null or is_none):
            _refuse(tree, "`is` and `null` go together (`x is null`, `x is not null`), as not")


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
}


def _build(tree: ast.expr, schema: Schema) -> Value:
    """Turn a checked tree into a Polars expression or a literal."""
    match tree:
        case ast.Constant():
            return cast("str | int | float | bool | None", tree.value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Name(id=name):
            return _CONSTANTS[name] if name in _CONSTANTS else _column(name, schema)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_build(item, schema) for item in items]
    return _build_operation(tree, schema)


def _build_operation(tree: ast.expr, schema: Schema) -> pl.Expr:
    match tree:
        case ast.Call(func=ast.Name(id="len"), args=[argument]):
            return _length(argument, schema)
        case ast.Call(args=[name]):
            return _column(_text_of(name), schema)
        case ast.BoolOp(op=op, values=parts):
            join = pl.all_horizontal if isinstance(op, ast.And) else pl.any_horizontal
            return join([_expression(part, schema) for part in parts])
        case ast.UnaryOp(op=op, operand=operand):
            return cast("pl.Expr", _UNARY[type(op)](_expression(operand, schema)))
        case ast.BinOp(left=left, op=op, right=right):
            made = _ARITHMETIC[type(op)](_expression(left, schema), _expression(right, schema))
            # 0 / 0 makes a NaN, which Polars orders above every number: it must not pass.
            return pl.when(made.cast(pl.Float64, strict=False).is_not_nan()).then(made)
        case ast.Compare(left=left, ops=ops, comparators=right):
            sides = [left, *right]
            pairs = zip(sides[:-1], ops, sides[1:], strict=True)
            return pl.all_horizontal([_compare(a, op, b, schema) for a, op, b in pairs])
    raise AssertionError(ast.dump(tree))


def _expression(tree: ast.expr, schema: Schema) -> pl.Expr:
    value = _build(tree, schema)
    return value if isinstance(value, pl.Expr) else pl.lit(value)


def _length(argument: ast.expr, schema: Schema) -> pl.Expr:
    column = _expression(argument, schema)
    is_list = isinstance(_dtype(argument, schema), pl.List)
    return (column.list.len() if is_list else column.str.len_chars()).cast(pl.Int64)


def _column(name: str, schema: Schema) -> pl.Expr:
    found = pl.col(name)
    return found.fill_nan(None) if name in schema and schema[name].is_float() else found


def _dtype(tree: ast.expr, schema: Schema) -> pl.DataType | None:
    names = list(_read(tree))
    is_column = isinstance(tree, ast.Name | ast.Call) and len(names) == 1
    return schema.get(names[0]) if is_column else None


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr, schema: Schema) -> pl.Expr:
    one = _expression(left, schema)
    if isinstance(op, ast.Is | ast.IsNot):
        return one.is_null() if isinstance(op, ast.Is) else one.is_not_null()
    if isinstance(op, ast.In | ast.NotIn):
        found = _contains(one, right, schema)
        return found if isinstance(op, ast.In) else ~found
    return cast("pl.Expr", _COMPARE[type(op)](one, _expression(right, schema)))


def _contains(one: pl.Expr, right: ast.expr, schema: Schema) -> pl.Expr:
    many = _build(right, schema)
    if isinstance(many, list):
        return one.is_in(many)
    column = _expression(right, schema)
    if isinstance(_dtype(right, schema), pl.List):
        return column.list.contains(one)
    return column.str.contains(one, literal=True)
