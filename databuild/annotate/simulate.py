"""annotate.simulate: simulated annotators answer what was put before people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.annotate.files import file_name
from databuild.annotate.log import SIMULATED, VoteLog
from databuild.annotate.options import DatasetConfig
from databuild.annotate.simulation import Simulated, simulated_answers
from databuild.engine.step import step
from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from databuild.annotate.records import Record

_MOST = 4.0
_ABLE = ("preference", "rating", "thumbs")


class _Truth(NamedTuple):
    """What is right of a row: a grade or rating, and what a rewriter writes."""

    value: float | None
    rewrite: str | None
    first: str | None
    """Of a pair: the answer that a grade above 0 speaks for."""

    def of(self, record: Record) -> float | None:
        """The value in the record's own order of answers, which an earlier row may have given."""
        if self.value is None or self.first is None or record.answers[0] == self.first:
            return self.value
        return -self.value


class SimulateConfig(DatasetConfig):
    """Options of `annotate.simulate`."""

    annotators: dict[str, Simulated] = Field(min_length=1)
    """What each is like, by name; the name in the tool is `simulated-<name>`."""
    truth: str = "truth"
    """The column that the right answer follows from. Of `preference`: a number, above 0 where
    `response_a` is better; with the input `answers`, a score of single answers, and the truth is
    the difference of the two. Of `rating`: the right rating; of `thumbs`: above 0.5 is up."""
    full: float = Field(default=1.0, gt=0)
    """Of `preference`: the truth that is "much better"; smaller ones are in proportion."""
    rewrite: str | None = None
    """A column with the text that they write who rewrite; with the input `answers`, null takes the
    best answer to the prompt, where it is none of the two."""
    prompt: str = "prompt"
    """What was asked; with the input `answers`, there too."""
    response_a: str = "response_a"
    """Of `preference`: one answer."""
    response_b: str = "response_b"
    """Of `preference`: the other answer."""
    response: str = "response"
    """The answer of the input `answers`."""

    @model_validator(mode="after")
    def _must_fit(self) -> Self:
        if self.task not in _ABLE:
            msg = f"simulated annotators do {', '.join(_ABLE)}, not {self.task}"
            raise ValueError(msg)
        if self.tool == "label_studio":
            msg = "simulated annotators answer in argilla or files"
            raise ValueError(msg)
        return self


@step("annotate.simulate", kind="deliver", sees="table", version=1, reads=("*",))
def answer_as_people(
    rows: pl.DataFrame,
    config: SimulateConfig,
    answers: pl.DataFrame | None = None,
    *,
    out: Path,
    journals: Path,
    seed: int,
) -> dict[str, Any]:
    """Let simulated annotators answer what `annotate.push` put before people, in the same tool.

    For trying a recipe, a server or a threshold before people's time is spent: with known skill it
    can be seen what agreement and aggregation make of it. These are nobody's opinions: every name
    begins with `simulated`, the vote log and all tables say so, and `annotate.gate` with
    `human_only: true` drops them.

    In Argilla each is a user of its own (made where missing, an annotator with a random password),
    whose votes go through the server's REST API with their own key. With files each writes
    `answers/simulated-<name>.jsonl`. Records that are assigned to others are left to them. Of gold
    questions the expected grade is the truth.

    Args:
        rows: The rows that `annotate.push` took, with `truth`.
        config: See `SimulateConfig`.
        answers: Scored answers to the same prompts, where `rows` has no truth of its own.
        out: An empty folder; gets `votes.jsonl`.
        journals: The folder of the journals.
        seed: Of all draws.

    Returns:
        `votes` by annotator, `right` (of preferences the share on the side of the truth), and
        `rows_skipped`: "not put before people", "no truth".

    Raises:
        StepError: There are no rows, or none was put before people.
        ServiceError: The server cannot be reached, or refuses.
    """
    if rows.is_empty():
        what = "there are no rows to write votes on"
        raise StepError("annotate.simulate", what, fix="look at the steps before")
    log = VoteLog(journals, config.dataset)
    known = log.read()
    truths = _truths(rows, answers, config)
    asked, skipped = _asked(known.records, known.rows, truths)
    if not asked:
        what = f"none of the {rows.height} rows was put before people as {config.dataset!r}"
        fix = "put annotate.push before it, with the same `dataset` and rows"
        raise StepError("annotate.simulate", what, fix=fix)
    said = {
        f"{SIMULATED}-{name}": _votes(asked, f"{SIMULATED}-{name}", like, seed)
        for name, like in sorted(config.annotators.items())
    }
    _send(said, log, config)
    _write(out / "votes.jsonl", said)
    facts: dict[str, Any] = {
        "dataset": config.dataset, "tool": config.tool,
        "votes": {name: len(votes) for name, votes in said.items()},
        "in_short": f"{sum(map(len, said.values())):,} simulated votes",
    }  # fmt: skip
    return {**facts, "rows_skipped": skipped} if skipped else facts


def _write(path: Path, said: Mapping[str, list[dict[str, Any]]]) -> None:
    text = "".join(
        json.dumps({"annotator": name, **vote}, ensure_ascii=False) + "\n"
        for name, votes in said.items()
        for vote in votes
    )
    path.write_text(text, encoding="utf-8")


def _truths(
    rows: pl.DataFrame, answers: pl.DataFrame | None, config: SimulateConfig
) -> dict[str, _Truth]:
    """What is right of each row."""
    if answers is not None and config.task == "preference":
        rows = _looked_up(rows, answers, config)
        truth, rewrite = "_truth", config.rewrite or "_best"
    else:
        truth, rewrite = config.truth, config.rewrite or ""
    if truth not in rows.columns:
        what = f"no column {truth!r}; the table has {rows.columns}"
        fix = "set `truth`, or give scored answers as the input `answers`"
        raise StepError("annotate.simulate", what, fix=fix)
    value = pl.col(truth).cast(pl.Float64, strict=False).fill_nan(None)
    if config.task == "preference":
        value = (value * _MOST / config.full).clip(-_MOST, _MOST)
    text = pl.col(rewrite).cast(pl.String) if rewrite in rows.columns else pl.lit(None)
    first = pl.col(config.response_a) if config.task == "preference" else pl.lit(None)
    told = rows.select("row_id", value.alias("truth"), text.alias("rewrite"), first.alias("first"))
    return {row_id: _Truth(*rest) for row_id, *rest in told.iter_rows()}


def _looked_up(rows: pl.DataFrame, answers: pl.DataFrame, config: SimulateConfig) -> pl.DataFrame:
    """The difference of the scores of both answers, and the best answer to the prompt."""
    score = pl.col(config.truth).cast(pl.Float64, strict=False).fill_nan(None)
    scored = answers.select(
        _p=pl.col(config.prompt), _r=pl.col(config.response), _s=score
    ).drop_nulls().sort("_s", "_r", descending=[True, False])  # fmt: skip
    one = scored.unique(["_p", "_r"], keep="first", maintain_order=True)
    best = scored.group_by("_p", maintain_order=True).agg(pl.col("_r").first().alias("_best"))
    for side, column in (("_a", config.response_a), ("_b", config.response_b)):
        of_side = one.rename({"_s": side})
        rows = rows.join(
            of_side, left_on=[config.prompt, column], right_on=["_p", "_r"], how="left",
            maintain_order="left",
        )  # fmt: skip
    rows = rows.join(best, left_on=config.prompt, right_on="_p", how="left", maintain_order="left")
    best_one = pl.col("_best")
    is_other = (best_one != pl.col(config.response_a)) & (best_one != pl.col(config.response_b))
    return rows.with_columns(
        _truth=pl.col("_a") - pl.col("_b"), _best=pl.when(is_other).then("_best")
    )


def _asked(
    records: Mapping[str, Record],
    rows: Mapping[str, list[str]],
    truths: Mapping[str, _Truth],
) -> tuple[list[tuple[Record, float, str | None]], list[dict[str, str]]]:
    """Records of these rows with their truth, in the planned order; gold ones with their own."""
    asked: list[tuple[Record, float, str | None]] = []
    met = set()
    for name, record in sorted(records.items(), key=lambda item: (item[1].place, item[0])):
        mine = [row for row in rows[name] if row in truths]
        met.update(mine)
        if record.gold is not None:
            asked.append((record, float(record.gold), None))
        elif mine and (truth := truths[mine[0]].of(record)) is not None:
            asked.append((record, truth, truths[mine[0]].rewrite))
    skipped = [
        {
            "row_id": row,
            "reason": "no truth" if row in met else "not put before people",
        }
        for row, truth in sorted(truths.items())
        if row not in met or truth.value is None
    ]
    return asked, skipped


def _votes(
    asked: list[tuple[Record, float, str | None]], person: str, like: Simulated, seed: int
) -> list[dict[str, Any]]:
    mine = [one for one in asked if not one[0].assigned or person in one[0].assigned]
    votes = []
    for record, truth, rewrite in mine[: round(len(mine) * like.answers)]:
        said, seconds = simulated_answers(record, truth, person, like, seed, rewrite)
        votes.append({"record": record.record, **said, "seconds": seconds})
    return votes


def _send(said: Mapping[str, list[dict[str, Any]]], log: VoteLog, config: SimulateConfig) -> None:
    if config.tool == "argilla":
        from databuild.annotate.simulated_users import answer_in_argilla

        answer_in_argilla(said, config.dataset, config.server)
        return
    folder = log.folder / "answers"
    folder.mkdir(parents=True, exist_ok=True)
    for name, votes in said.items():
        lines = [json.dumps({**vote, "annotator": name}, ensure_ascii=False) for vote in votes]
        path = folder / f"{file_name(name)}.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
