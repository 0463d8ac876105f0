"""Rows as records: what of a table is put before people, and why a row is not."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.annotate.laying_out import RECORD, STRATUM, places
from databuild.annotate.records import Record, record_hash, shown_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databuild.annotate.push import PushConfig

Skipped = list[dict[str, str]]
_SAME = "same record as another row"


def columns_of(config: PushConfig) -> tuple[str, ...]:
    """The columns that the task needs."""
    return {
        "preference": (config.prompt, config.response_a, config.response_b),
        "rating": (config.prompt, config.response),
        "thumbs": (config.prompt, config.response),
        "ranking": (config.prompt, config.responses),
        "verification": (config.question, config.answer, config.passage),
    }[config.task]


def records_of(
    rows: pl.DataFrame, config: PushConfig, seed: int, *, gold: str | None = None
) -> tuple[list[Record], Skipped]:
    """The records of rows in the order in which they are to be answered, and the rows without.

    Args:
        rows: With `row_id` and the columns of `columns_of`.
        config: The options.
        seed: Of the orders in which answers and records are shown.
        gold: The column of expected grades, where these are gold questions.
    """
    skipped: Skipped = []
    found: dict[str, Record] = {}
    given = () if gold else config.margins
    for row in rows.sort("row_id").iter_rows(named=True):
        fields = _fields(row, config)
        reason = _fault(fields, config) or _gold_fault(row, gold, config)
        name = record_hash(config.task, fields) if reason is None else ""
        if name in found:
            reason = _SAME
        if reason is not None:
            skipped.append({"row_id": row["row_id"], "reason": reason})
            continue
        found[name] = Record(
            name, config.task, fields, shown_order(seed, name, len(fields.get("answers", ()))),
            row["row_id"], _text(row.get(config.stratum or "")),
            None if gold is None else int(row[gold]), dict(_hidden(row, config)),
            {name: row[name] for name in given if _is_number(row[name])},
        )  # fmt: skip
    if not found:
        return [], skipped
    at = pl.DataFrame({
        "row_id": [one.row for one in found.values()], RECORD: list(found),
        STRATUM: [one.stratum for one in found.values()],
    })  # fmt: skip
    rows = rows.select("row_id", *given)
    place = places(at.join(rows, on="row_id", how="left", maintain_order="left"), given, seed)
    ordered = sorted(zip(place.to_list(), found.values(), strict=True), key=lambda pair: pair[0])
    records = [record for _, record in ordered]
    if config.limit is not None and gold is None:
        beyond = records[config.limit :]
        skipped += [{"row_id": one.row, "reason": "beyond limit"} for one in beyond]
        records = records[: config.limit]
    return records, skipped


def _fields(row: Mapping[str, Any], config: PushConfig) -> dict[str, Any]:
    if config.task == "verification":
        names = ("question", "answer", "passage")
        return {name: row[getattr(config, name)] for name in names}
    if config.task == "preference":
        answers = [row[config.response_a], row[config.response_b]]
    elif config.task == "ranking":
        answers = row[config.responses] or []
    else:
        answers = [row[config.response]]
    messages = row.get(config.messages) if config.messages else None
    return {"prompt": row[config.prompt], "messages": messages or None, "answers": answers}


def _fault(fields: Mapping[str, Any], config: PushConfig) -> str | None:
    """Why a row cannot be put before people; None where it can."""
    texts = {**fields, **{f"answer {i}": text for i, text in enumerate(fields.get("answers", ()))}}
    texts.pop("answers", None)
    turns = texts.pop("messages", None) or ()
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            return f"its {name.split()[0]} is empty"
    shown = [*texts.values(), *(turn.get("content") or "" for turn in turns)]
    if any("\0" in text for text in shown):
        return "a text has the character U+0000, which no tool shows"
    if max(map(len, shown)) > config.max_chars or sum(map(len, shown)) > 4 * config.max_chars:
        return f"a text is longer than the page shows (max_chars {config.max_chars})"
    answers = fields.get("answers", ())
    if len(answers) > 1 and len(set(answers)) < len(answers):
        return "two of its answers are the same"
    if config.task == "ranking" and len(answers) != config.k:
        return f"it has {len(answers)} answers, not k = {config.k}"
    return None


_GOLD = {
    "preference": range(-4, 5), "rating": range(1, 6), "thumbs": range(2), "ranking": range(0),
    "verification": range(0),
}  # fmt: skip


def _gold_fault(row: Mapping[str, Any], gold: str | None, config: PushConfig) -> str | None:
    if gold is None:
        return None
    value = row[gold]
    allowed = _GOLD[config.task]
    is_right = value in allowed
    return None if is_right else f"its {gold} is no grade that the task {config.task} can have"


def _hidden(row: Mapping[str, Any], config: PushConfig) -> Iterator[tuple[str, Any]]:
    for name in ("model_a", "model_b", *config.scores):
        if row.get(name) is not None:
            yield name, row[name]


def _is_number(value: Any) -> bool:
    return value is not None and isfinite(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
