"""The laws of the three kinds on tables, checked on everything that a step returns.

1. measure: exactly one result per row; new columns only.
2. select: exactly one part per row; a dropped row has a reason.
3. produce: every row has parents (a source's none), and they exist in the inputs; every input row
   is a parent, failed with an error, or dropped with a reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from databuild.engine.step import DROPPED, RESERVED, RETRY, Produced
from databuild.errors import LawError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from databuild.engine.step import Step

_SHOWN = 3


def check_measure(step: Step, rows: pl.DataFrame, out: pl.DataFrame, added: Sequence[str]) -> None:
    """Raise LawError unless `out` has each row of `rows` once, with the columns declared."""
    _check_same_rows(step, rows, out)
    extra = [c for c in out.columns if c not in {"row_id", "error", RETRY, *added}]
    missing = [c for c in added if c not in out.columns]
    if extra or missing:
        what = f"it declares the columns {list(added)}, returns also {extra} and lacks {missing}"
        raise LawError(step.name, what, fix="make `adds` say what the function returns")
    says = out.schema.get(RETRY, pl.Null())  # an empty or null one says no of every row
    if RETRY not in added and says not in {pl.Boolean(), pl.Null()}:
        what = f"its column {RETRY!r} is {says}, and says which errors to try again"
        raise LawError(step.name, what, fix="make it Boolean, or declare it in `adds`")


def check_select(step: Step, rows: pl.DataFrame, out: pl.DataFrame, parts: Sequence[str]) -> None:
    """Raise LawError unless `out` puts each row of `rows` into one known part, with reasons."""
    if not {"row_id", "part"} <= set(out.columns):
        raise LawError(step.name, f"it returns {out.columns}", fix="return row_id, part and reason")
    _check_same_rows(step, rows, out)
    unknown = set(out["part"].unique().to_list()) - {*parts, DROPPED}
    if unknown:
        what = f"it gives the parts {sorted(map(str, unknown))}, and declares {list(parts)}"
        raise LawError(step.name, what, fix="declare every part in `parts`")
    dropped = out.filter(pl.col("part") == DROPPED)
    if dropped.height and ("reason" not in out.columns or dropped["reason"].null_count()):
        raise LawError(step.name, "it drops rows without a reason", fix="return `reason` for each")


def check_produce(step: Step, inputs: Iterable[pl.DataFrame], out: Produced) -> None:
    """Raise LawError unless parents exist and no input row vanished."""
    _check_frames(step, out)
    given = pl.concat([_no_ids(), *(table.select("row_id") for table in inputs)])
    own = {"parent_ids", "row_id", "content_id"} if step.keeps_ids else {"parent_ids"}
    reserved = sorted((RESERVED - own) & set(out.rows.columns) - {"part"})
    if reserved:
        raise LawError(step.name, f"it makes {reserved}", fix="leave these columns to the engine")
    used = [_parents(out.rows), _parents(out.failed), _ids(out.dropped)]
    strangers = pl.concat(used).join(given, on="row_id", how="anti")
    if strangers.height and not step.keeps_ids:
        what = f"{strangers.height} parents are no rows of its input, as {_some(strangers)}"
        raise LawError(step.name, what, fix="take `parent_ids` from the input's row_id")
    lost = given.join(pl.concat(used), on="row_id", how="anti")
    if lost.height:
        what = f"{lost.height} input rows became nothing and have no reason, as {_some(lost)}"
        raise LawError(step.name, what, fix="return them in `failed` or `dropped`")
    twice = _ids(out.dropped).join(_parents(out.rows), on="row_id", how="semi")
    if twice.height:
        what = f"{twice.height} rows are dropped and have children, as {_some(twice)}"
        raise LawError(step.name, what, fix="drop only rows that became nothing")


def _check_frames(step: Step, out: Produced) -> None:
    """Raise LawError unless rows name parents (a source's none), and losses a reason."""
    wanted = {
        "rows": (out.rows, {"parent_ids"}),
        "failed": (out.failed, {"parent_ids", "error"}),
        "dropped": (out.dropped, {"row_id", "reason"}),
    }
    for name, (frame, columns) in wanted.items():
        if frame is None or (frame.is_empty() and name != "rows"):
            continue
        if not columns <= set(frame.columns):
            what = f"`{name}` lacks {sorted(columns - set(frame.columns))}, it has {frame.columns}"
            raise LawError(step.name, what, fix=f"return {sorted(columns)} in `{name}`")
        nulls = [column for column in sorted(columns) if frame[column].null_count()]
        if nulls:
            what = f"`{name}` has rows whose {nulls[0]!r} is null"
            raise LawError(step.name, what, fix="say it of every row")
    orphans = out.rows.filter(pl.col("parent_ids").list.len() == 0).height if step.inputs else 0
    if orphans:
        what = f"{orphans} rows have no parents"
        raise LawError(step.name, what, fix="name in `parent_ids` the rows that they come from")
    dropped = _ids(out.dropped)
    if dropped.height != dropped["row_id"].n_unique():
        raise LawError(step.name, "it drops a row twice", fix="drop each row once")


def _check_same_rows(step: Step, rows: pl.DataFrame, out: pl.DataFrame) -> None:
    if "row_id" not in out.columns:
        raise LawError(step.name, f"it returns {out.columns} without row_id", fix="return row_id")
    lost = rows.select("row_id").join(out, on="row_id", how="anti")
    strange = out.select("row_id").join(rows, on="row_id", how="anti")
    repeated = out.height - out["row_id"].n_unique()
    if lost.height or strange.height or repeated:
        what = (
            f"of {rows.height} rows {lost.height} have no result, as {_some(lost)}; "
            f"{strange.height} "
            f"results belong to no row and {repeated} are repeated"
        )
        raise LawError(step.name, what, fix="return exactly one result per row_id")


def _some(rows: pl.DataFrame) -> list[str]:
    return sorted(rows["row_id"].head(_SHOWN).to_list())


def _no_ids() -> pl.DataFrame:
    return pl.DataFrame(schema={"row_id": pl.String})


def _ids(rows: pl.DataFrame | None) -> pl.DataFrame:
    return _no_ids() if rows is None or rows.is_empty() else rows.select("row_id")


def _parents(rows: pl.DataFrame | None) -> pl.DataFrame:
    if rows is None or rows.is_empty():
        return _no_ids()
    return rows.select(row_id=pl.col("parent_ids").explode()).drop_nulls().unique()
