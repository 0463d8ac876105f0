"""Run a step on one batch of rows and turn what it returns into lawful, accounted frames."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.laws import check_measure, check_produce, check_select
from databuild.engine.parts import Parts
from databuild.engine.step import (
    DROPPED,
    RETRY,
    Produced,
    Reported,
    Step,
    Streamed,
    run_whole,
)
from databuild.engine.store import Counts
from databuild.errors import DatabuildError, LawError, StepError
from databuild.schema.identity import content_ids, occurrences, row_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from databuild.recipe.options import StepConfig

NOT_A_NUMBER = "not a number"


@dataclass(frozen=True)
class Batch:
    """What a step made of one batch: `rows` is new rows, measured columns or kept verdicts.

    `content` names the columns of new rows that `content_id` covers already.
    """

    rows: pl.DataFrame
    dropped: pl.DataFrame
    failed: pl.DataFrame
    counts: Counts
    content: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What a step that sees the whole table reports besides."""


def run_batch(
    step: Step,
    config: StepConfig,
    inputs: Sequence[pl.DataFrame | None],
    resources: Mapping[str, Any],
    others: Sequence[str] = (),
) -> Batch:
    """Call the step's function on its inputs and check its laws.

    Args:
        step: What to run.
        config: Its options.
        inputs: One table per slot of the step, None for an optional one that is not given.
        resources: What it needs besides.
        others: The names of the last `inputs`, where the step takes inputs under any name.

    Raises:
        LawError: The step returned something that its kind forbids.
    """
    own = len(inputs) - len(others)
    named = dict(zip(others, inputs[own:], strict=True))
    out = call(step, inputs[0], config, *inputs[1:own], **named, **resources)
    batch = _batch(step, config, inputs, out)
    meter = getattr(resources.get("generator"), "meter", None)
    batch.counts.usage = meter.take() if meter else {}
    return batch


def _batch(
    step: Step, config: StepConfig, inputs: Sequence[pl.DataFrame | None], out: Any
) -> Batch:
    tables = [table for table in inputs if table is not None]
    if step.kind == "produce" and isinstance(out, Produced):
        return _produced(step, tables, out)
    facts = out.facts if isinstance(out, Reported) else {}
    table = out.table if isinstance(out, Reported) else out
    _check_facts(step, facts)
    if step.kind == "measure" and isinstance(table, pl.DataFrame):
        return replace(_measured(step, config, tables[0], table), facts=facts)
    if step.kind == "select" and isinstance(table, pl.DataFrame):
        return replace(_selected(step, config, tables[0], table), facts=facts)
    raise _strange(step, out)


def run_parts(
    step: Step,
    config: StepConfig,
    inputs: Sequence[Parts | None],
    resources: Mapping[str, Any],
    others: Sequence[str] = (),
) -> tuple[Iterator[Batch], Mapping[str, Any]]:
    """Call the function of a step that sees parts; check its laws part by part.

    Returns:
        A batch for each part of the first input, in order, and the facts, which are complete when
        the last batch was taken.

    Raises:
        LawError: The step returned something that its kind forbids, or not one frame for each part.
    """
    own = len(inputs) - len(others)
    named = dict(zip(others, inputs[own:], strict=True))
    out = call(step, inputs[0], config, *inputs[1:own], **named, **resources)
    frames = out.frames if isinstance(out, Streamed) else out
    first = inputs[0]
    assert first is not None
    if isinstance(frames, pl.DataFrame | str) or not isinstance(frames, Iterable):
        raise _strange(step, out)
    facts = out.facts if isinstance(out, Streamed) else {}
    return _batches(step, config, first, iter(frames)), facts


def _batches(
    step: Step, config: StepConfig, rows: Parts, frames: Iterator[pl.DataFrame]
) -> Iterator[Batch]:
    check = _measured if step.kind == "measure" else _selected
    for index in range(rows.n_parts):
        frame = _next(step, frames)
        if not isinstance(frame, pl.DataFrame):
            what = f"it returns {index} frames for {rows.n_parts} parts"
            raise LawError(step.name, what, fix="return one frame for each part, in order")
        yield check(step, config, rows.part(index, "row_id"), frame)
    if _next(step, frames) is not None:
        what = f"it returns more than {rows.n_parts} frames for {rows.n_parts} parts"
        raise LawError(step.name, what, fix="return one frame for each part, in order")


def run_split(
    step: Step, config: StepConfig, split: Mapping[str, Any], resources: Mapping[str, Any]
) -> Iterator[Callable[[], Batch]]:
    """Call a source's function on a split; yield for each piece the function that makes its batch.

    So a piece that is stored already can be passed over without the cost of its ids.

    Raises:
        LawError: The step returned something else than `Produced`, or than an iterator of them.
    """
    out = call(step, split, config, **resources)
    if not isinstance(out, Produced | Iterator):
        raise _strange(step, out)
    pieces = iter([out]) if isinstance(out, Produced) else out
    del out
    while (piece := _next(step, pieces)) is not None:
        if not isinstance(piece, Produced):
            raise _strange(step, piece)
        make = partial(_produced, step, (), piece)
        del piece
        yield make
        del make


def _check_facts(step: Step, facts: Mapping[str, Any]) -> None:
    if facts and step.sees not in {"table", "parts"}:
        what = f"it reports facts, and sees only one {step.sees} at a time"
        raise LawError(step.name, what, fix='declare sees="table", or return the table alone')


def call(step: Step, *arguments: Any, **resources: Any) -> Any:
    """Call a step's function. What a user's own step raises becomes an error that names the step.

    Raises:
        StepError: A plugin's step raised.
    """
    with _blaming(step):
        if step.sees == "parts" and not any(isinstance(one, Parts) for one in arguments):
            return run_whole(step.run, *arguments, **resources)
        return step.run(*arguments, **resources)


def _next(step: Step, pieces: Iterator[Any]) -> Any:
    with _blaming(step):
        return next(pieces, None)


@contextmanager
def _blaming(step: Step) -> Iterator[None]:
    try:
        yield
    except DatabuildError:
        raise
    except Exception as error:
        if step.plugin is None:
            raise
        frames = traceback.extract_tb(error.__traceback__)
        # The deepest line of the user's own: below it lie the libraries that it called.
        own = [frame for frame in frames if Path(frame.filename).resolve() == step.plugin]
        line = f"{step.plugin}:{own[-1].lineno}" if own else str(step.plugin)
        what = f"your step raised {type(error).__name__}: {error} (at {line})"
        raise StepError(step.name, what, fix=f"mend {step.plugin} and run again") from error


def _strange(step: Step, out: object) -> LawError:
    what = f"a {step.kind} step does not return {type(out).__name__}"
    return LawError(step.name, what, fix="return Produced from a produce step, else a DataFrame")


def _measured(step: Step, config: StepConfig, rows: pl.DataFrame, out: pl.DataFrame) -> Batch:
    added = step.columns_added(config) or tuple(
        c for c in out.columns if c not in {"row_id", "error"}
    )
    check_measure(step, rows, out, added)
    if "error" not in out.columns:
        out = out.with_columns(error=pl.lit(None, dtype=pl.String))
    floats = [c for c in added if out.schema[c].is_float()]
    if floats:
        nan = pl.any_horizontal([pl.col(c).is_nan().fill_null(value=False) for c in floats])
        error = pl.coalesce("error", pl.when(nan).then(pl.lit(NOT_A_NUMBER)))
        out = out.with_columns(error=error).with_columns(pl.col(floats).fill_nan(None))
    again = [RETRY] if RETRY in out.columns and RETRY not in added else []
    failed = out.filter(pl.col("error").is_not_null()).select("row_id", "error", *again)
    counts = Counts(
        rows_in=rows.height, rows_out=out.height, failed=failed.height, retry=_sum(failed, RETRY),
        by_reason=reasons(failed, "error"),
    )  # fmt: skip
    return Batch(out.select("row_id", *added).sort("row_id"), _nothing(), failed, counts)


def _selected(step: Step, config: StepConfig, rows: pl.DataFrame, out: pl.DataFrame) -> Batch:
    check_select(step, rows, out, step.parts_kept(config))
    for column in ("reason", "evidence"):
        if column not in out.columns:
            out = out.with_columns(pl.lit(None, dtype=pl.String).alias(column))
    kept = out.filter(pl.col("part") != DROPPED).select("row_id", "part").sort("row_id")
    dropped = out.filter(pl.col("part") == DROPPED).select("row_id", "reason", "evidence")
    counts = Counts(
        rows_in=rows.height, rows_out=kept.height, dropped=dropped.height,
        by_reason=reasons(dropped, "reason"),
        by_part=dict(kept.group_by("part").len().sort("part").iter_rows()),
    )  # fmt: skip
    return Batch(kept, dropped, _nothing(), counts)


def _produced(step: Step, inputs: Sequence[pl.DataFrame], out: Produced) -> Batch:
    check_produce(step, inputs, out)
    _check_facts(step, out.facts)
    failed = out.failed if out.failed is not None else _nothing()
    dropped = out.dropped if out.dropped is not None else _nothing()
    rows = out.rows
    own = [c for c in rows.columns if c not in {"parent_ids", "key", *step.attributes}]
    if step.carries:
        rows = _carry(step, rows, inputs)
    if "content_id" not in rows.columns:
        rows = rows.with_columns(content_ids(rows, own))
    if not step.keeps_ids:
        rows = rows.with_columns(row_ids(rows, occurrences(rows)))
    order = ["row_id", "content_id", "parent_ids"]
    rows = rows.select(*order, pl.exclude(order))
    # A source's rows stay as they lie in the file: quicker, smaller, and what a reader expects.
    rows = rows.sort("row_id") if inputs else rows
    counts = Counts(
        rows_in=sum(table.height for table in inputs), rows_out=rows.height,
        dropped=dropped.height, failed=failed.height, retry=_sum(failed, RETRY),
        by_reason=reasons(dropped, "reason") | reasons(failed, "error"), notes=dict(out.notes),
    )  # fmt: skip
    if "generator" in step.needs:
        counts.tokens_in = _sum(rows, "prompt_tokens")
        counts.tokens_out = _sum(rows, "completion_tokens")
    return Batch(rows, dropped, failed, counts, tuple(own), out.facts)


def _carry(step: Step, rows: pl.DataFrame, inputs: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Give each child its only parent's other columns; its content too when it adds nothing."""
    if rows.filter(pl.col("parent_ids").list.len() != 1).height:
        what = "it carries its parents' columns, and made rows that have not exactly one parent"
        raise LawError(step.name, what, fix="give each row one parent, or do not carry")
    own = set(rows.columns) - {"parent_ids", *step.attributes}
    parents = pl.concat(inputs, how="diagonal_relaxed").unique("row_id", keep="first")
    not_carried = {"row_id", "parent_ids", *rows.columns}
    if own:
        not_carried.add("content_id")
    keep = [c for c in parents.columns if c not in not_carried]
    return (
        rows.with_columns(_parent=pl.col("parent_ids").list.first())
        .join(parents.select(pl.col("row_id").alias("_parent"), *keep), on="_parent", how="left")
        .drop("_parent")
    )


def _sum(rows: pl.DataFrame, column: str) -> int:
    return int(rows[column].sum() or 0) if column in rows.columns else 0


def reasons(rows: pl.DataFrame, column: str) -> dict[str, int]:
    """How often each reason was given; what follows a colon tells rows apart and is left out."""
    if rows.is_empty():
        return {}
    short = pl.col(column).str.split(":").list.first().str.slice(0, 80)
    return dict(rows.group_by(short).len().sort("len", descending=True).iter_rows())


def _nothing() -> pl.DataFrame:
    return pl.DataFrame()
