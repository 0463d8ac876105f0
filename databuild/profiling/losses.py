"""What the steps on the way to a table dropped and could not use, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.profiling.facts import Example, Loss
from databuild.profiling.gather import SHOWN_CHARS, message_fields, readable
from databuild.profiling.survey import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from databuild.engine.lineage import Runs

_MOST_REASONS = 50
_REASON_CHARS = 80


def losses_of(runs: Runs, step: str, limit: int) -> tuple[Loss, ...]:
    """Every reason for which a step, or one that it depends on, lost rows.

    Args:
        runs: The finished steps of a run.
        step: The step whose table is looked at.
        limit: Examples for each reason.

    Returns:
        In the order of the steps; of a step, the most frequent reason first.
    """
    found: list[Loss] = []
    for name in runs.behind(step):
        for fate in ("dropped", "failed"):
            scan = runs.scan(name, fate)
            if scan is not None:
                found += _of_step(runs, name, fate, scan, limit)
    return tuple(found)


def shortfalls_of(runs: Runs, step: str) -> tuple[dict[str, Any], ...]:
    """What the steps on the way reported as missing: metrics that are named `shortfall...`."""
    return tuple(
        {"step": name, **line}
        for name in runs.behind(step)
        for key, lines in runs.manifests[name].metrics.items()
        if key.startswith("shortfall") and isinstance(lines, list)
        for line in lines
        if isinstance(line, dict)
    )


def failed_records(failed: Sequence[pl.DataFrame], limit: int = 3) -> tuple[Loss, ...]:
    """The records of files that could not be read, by reason."""
    if not failed:
        return ()
    records = pl.concat(failed, how="diagonal_relaxed").with_columns(reason=_short("error"))
    losses = []
    for (reason,), rows in records.group_by("reason", maintain_order=True):
        examples = tuple(_of_record(row) for row in rows.head(limit).iter_rows(named=True))
        losses.append(Loss("file", "ingest.files", "failed", str(reason), rows.height, examples))
    return tuple(sorted(losses, key=lambda one: (-one.n, one.reason)))


def _of_step(runs: Runs, name: str, fate: str, scan: pl.LazyFrame, limit: int) -> Iterator[Loss]:
    said = "reason" if fate == "dropped" else "error"
    columns = scan.collect_schema()
    if said not in columns:
        return
    use = runs.manifests[name].use
    grouped = scan.with_columns(_reason=_short(said))
    counts = grouped.group_by("_reason").len().collect().sort(
        ["len", "_reason"], descending=[True, False]
    )  # fmt: skip
    order = [c for c in ("row_id", "source_file", "source_record") if c in columns]
    for number, (reason, n) in enumerate(counts.iter_rows()):
        examples: tuple[Example, ...] = ()
        if limit and number < _MOST_REASONS:
            some = grouped.filter(pl.col("_reason") == reason)
            some = some.sort(order).head(limit) if order else some.head(limit)
            examples = tuple(_examples(runs, name, some.collect(), said))
        yield Loss(name, use, fate, str(reason), int(n), examples)


def _short(column: str) -> pl.Expr:
    """A reason without what tells rows apart, as the step's own account has it."""
    return pl.col(column).str.split(":").list.first().str.slice(0, _REASON_CHARS).fill_null("?")


def _examples(runs: Runs, name: str, rows: pl.DataFrame, said: str) -> Iterator[Example]:
    for row in rows.iter_rows(named=True):
        if row.get("raw") is not None or "source_record" in row:
            yield _of_record(row)
            continue
        row_id = row.get("row_id") or next(iter(row.get("parent_ids") or ()), "")
        column, text = _text_of(runs, name, row_id)
        evidence = str(row.get("evidence") or (row[said] if ":" in (row[said] or "") else ""))
        yield Example(row_id, column, text[:SHOWN_CHARS], len(text), evidence[:SHOWN_CHARS])


def _of_record(row: dict[str, Any]) -> Example:
    """A record that never became a row: where it lies, and its first characters."""
    place = row.get("source_line")
    where = f"line {place}" if place is not None else f"record {row.get('source_record')}"
    raw = str(row.get("raw") or "")
    said = str(row.get("error") or row.get("reason") or "")
    where = f"{row.get('source_file')}, {where}"
    return Example(where, "raw", raw[:SHOWN_CHARS], len(raw), said[:SHOWN_CHARS])


def _text_of(runs: Runs, name: str, row_id: str) -> tuple[str, str]:
    """The text of a row that a step was given: the column that tells most of it."""
    for ref in runs.manifests[name].inputs.values():
        source = runs.base(ref.partition(".")[0])
        scan = runs.scan(source)
        if scan is None:
            continue
        schema = scan.collect_schema()
        texts = [c for c, t in schema.items() if t == pl.String or message_fields(t)]
        known = [c for c in (*TEXTS, *texts) if c in texts and c not in ("row_id", "content_id")]
        if not known:
            continue
        found = scan.filter(pl.col("row_id") == row_id).select(
            readable(known[0], schema[known[0]]).alias("text")
        )
        row = found.head(1).collect()
        if row.height:
            return known[0], str(row.item() or "")
    return "", ""
