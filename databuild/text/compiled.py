"""Checked conditions (`text.expression`) as Polars expressions."""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = pl.Expr | str | int | float | bool | date | list[Any] | None

_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
CONSTANTS: Mapping[str, bool | None] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None,
}  # fmt: skip
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.invert,
    ast.USub: operator.neg,
    ast.UAdd: lambda value: value,
}


class MisfitError(ValueError):
    """A condition asks for a field or an item of what has none."""


@dataclass(frozen=True)
class Scope:
    """What names mean: the columns of a table, or, inside `any` and `all`, the item of a list."""

    schema: Mapping[str, pl.DataType]
    is_item: bool = False

    def leaf(self, name: str) -> pl.Expr:
        """The values of a name."""
        return pl.element() if self.is_item else pl.col(name)

    def type_of(self, tree: ast.expr) -> pl.DataType | None:
        """The type of what is checked, None where the table does not have it."""
        built = as_expression(tree, replace(self, is_item=False)).alias("v")
        try:
            return pl.LazyFrame(schema=dict(self.schema)).select(built).collect_schema()["v"]
        except pl.exceptions.PolarsError:
            return None


def as_expression(tree: ast.expr, scope: Scope) -> pl.Expr:
    """A checked tree as a Polars expression.

    Raises:
        MisfitError: A field or an item is asked of what has none.
    """
    value = _build(tree, scope)
    return value if isinstance(value, pl.Expr) else pl.lit(value)


def pattern_of(call: ast.Call) -> str | None:
    """Say what is wrong with the text that `matches` or `date` is given; None when nothing is."""
    text = str(cast("ast.Constant", call.args[-1]).value)
    if cast("ast.Name", call.func).id == "date":
        try:
            date.fromisoformat(text)
        except ValueError:
            return f"takes a date as 2026-01-31, not {text!r},"
        return None
    try:
        pl.select(pl.lit("").str.contains(text))
    except pl.exceptions.PolarsError as error:
        lines = [line for line in str(error).splitlines() if line.startswith("error: ")]
        return f"takes a regular expression: {(lines or ['error: not one'])[0][7:]}"
    return None


def _build(tree: ast.expr, scope: Scope) -> Value:
    match tree:
        case ast.Constant():
            return cast("str | int | float | bool | None", tree.value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_build(item, scope) for item in items]
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return _build_place(tree, scope)
    return _build_operation(tree, scope)


def _build_place(tree: ast.Name | ast.Attribute | ast.Subscript, scope: Scope) -> pl.Expr:
    """A column, a field of a struct, or an item of a list."""
    match tree:
        case ast.Attribute(value=of, attr=name):
            return _field(tree, of, name, scope)
        case ast.Subscript(value=of, slice=index):
            return _item(tree, of, index, scope)
    return _known(scope.leaf(tree.id), tree, scope)


def _build_operation(tree: ast.expr, scope: Scope) -> Value:
    match tree:
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, arguments, scope)
        case ast.BoolOp(op=op, values=parts):
            join = pl.all_horizontal if isinstance(op, ast.And) else pl.any_horizontal
            return join([as_expression(part, scope) for part in parts])
        case ast.UnaryOp(op=op, operand=operand):
            return cast("pl.Expr", _UNARY[type(op)](as_expression(operand, scope)))
        case ast.BinOp(left=left, op=op, right=right):
            made = ARITHMETIC[type(op)](as_expression(left, scope), as_expression(right, scope))
            # 0 / 0 makes a NaN, which Polars orders above every number: it must not pass.
            return pl.when(made.cast(pl.Float64, strict=False).is_not_nan()).then(made)
        case ast.Compare(left=left, ops=ops, comparators=right):
            sides = [left, *right]
            pairs = zip(sides[:-1], ops, sides[1:], strict=True)
            return pl.all_horizontal([_compare(a, op, b, scope) for a, op, b in pairs])
    raise AssertionError(ast.dump(tree))


def _known(value: pl.Expr, tree: ast.expr, scope: Scope) -> pl.Expr:
    """A value in which NaN is null."""
    if isinstance(tree, ast.Name):
        dtype = scope.schema.get(tree.id)
    else:
        schema = pl.LazyFrame(schema=dict(scope.schema))
        typed = value if not scope.is_item else _build(tree, replace(scope, is_item=False))
        try:
            dtype = schema.select(cast("pl.Expr", typed).alias("v")).collect_schema()["v"]
        except pl.exceptions.PolarsError:
            dtype = None
    return value.fill_nan(None) if dtype is not None and dtype.is_float() else value


def _field(tree: ast.expr, of: ast.expr, name: str, scope: Scope) -> pl.Expr:
    struct = scope.type_of(of)
    fields = [field.name for field in struct.fields] if isinstance(struct, pl.Struct) else []
    if name not in fields:
        msg = f"{ast.unparse(of)!r} ({struct}) has no field {name!r}"
        raise MisfitError(msg)
    return _known(as_expression(of, scope).struct.field(name), tree, scope)


def _item(tree: ast.expr, of: ast.expr, index: ast.expr, scope: Scope) -> pl.Expr:
    if not isinstance(scope.type_of(of), pl.List):
        msg = f"{ast.unparse(of)!r} ({scope.type_of(of)}) is no list and has no items"
        raise MisfitError(msg)
    place = cast("int", _build(index, scope))
    return _known(as_expression(of, scope).list.get(place, null_on_oob=True), tree, scope)


def _call(name: str, arguments: list[ast.expr], scope: Scope) -> Value:
    match name:
        case "col":
            column = str(cast("ast.Constant", arguments[0]).value)
            return _known(scope.leaf(column), ast.Name(id=column), scope)
        case "date":
            return date.fromisoformat(str(cast("ast.Constant", arguments[0]).value))
        case "any" | "all":
            return _each(name, cast("ast.GeneratorExp", arguments[0]), scope)
        case "contains":
            return _contains(as_expression(arguments[1], scope), arguments[0], scope)
        case "len":
            value = as_expression(arguments[0], scope)
            is_list = isinstance(scope.type_of(arguments[0]), pl.List)
            return (value.list.len() if is_list else value.str.len_chars()).cast(pl.Int64)
    return _function(name, [as_expression(argument, scope) for argument in arguments])


def _function(name: str, values: list[pl.Expr]) -> pl.Expr:
    first = values[0]
    if name in {"min", "max"}:
        joined = (pl.min_horizontal if name == "min" else pl.max_horizontal)(values)
        is_unknown = pl.any_horizontal([value.is_null() for value in values])
        return pl.when(~is_unknown).then(joined)
    if name in {"abs", "lower"}:
        return first.abs() if name == "abs" else first.str.to_lowercase()
    text = first.str
    found = {"startswith": text.starts_with, "endswith": text.ends_with, "matches": text.contains}
    return found[name](values[1])


def _each(name: str, each: ast.GeneratorExp, scope: Scope) -> pl.Expr:
    """Whether one item of a list, or every item, meets a condition; unknown counts as false."""
    (loop,) = each.generators
    kind = scope.type_of(loop.iter)
    if not isinstance(kind, pl.List):
        msg = f"{ast.unparse(loop.iter)!r} ({kind}) is no list and has no items"
        raise MisfitError(msg)
    item = Scope({cast("ast.Name", loop.target).id: cast("pl.DataType", kind.inner)}, is_item=True)
    met = as_expression(each.elt, item).fill_null(value=False)
    found = as_expression(loop.iter, scope).list.eval(met)
    return found.list.any() if name == "any" else found.list.all()


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr, scope: Scope) -> pl.Expr:
    one = as_expression(left, scope)
    if isinstance(op, ast.Is | ast.IsNot):
        return one.is_null() if isinstance(op, ast.Is) else one.is_not_null()
    if isinstance(op, ast.In | ast.NotIn):
        found = _contains(one, right, scope)
        return found if isinstance(op, ast.In) else ~found
    return cast("pl.Expr", _COMPARE[type(op)](one, as_expression(right, scope)))


def _contains(one: pl.Expr, right: ast.expr, scope: Scope) -> pl.Expr:
    many = _build(right, scope)
    if isinstance(many, list):
        return one.is_in(many)
    column = as_expression(right, scope)
    if isinstance(scope.type_of(right), pl.List):
        return column.list.contains(one)
    return column.str.contains(one, literal=True)
