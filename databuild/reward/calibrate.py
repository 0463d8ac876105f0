"""reward.calibrate: how far scorers agree with people, as a page and as numbers.

A scorer's margin is its score of a less that of b. Beside the scorers stands `length`, which
finds the longer answer better (margin: ln of the ratio of 1 + characters): a scorer that is not
above it has shown nothing.

- `accuracy`: over pairs of which people prefer one: 1 where the margin has the right sign,
  0.5 where it is 0, else 0. `above_length`: its paired difference to `length`.
- `temperature` T: P(a is preferred) = 1 / (1 + exp(-margin / T)), Bradley-Terry without an
  intercept, fitted by maximum likelihood (`calibration_numbers.fit_slope`) on all pairs with a
  preference. Null, like `margin_at`, for a scorer whose margins point the wrong way.
  `margin_at`: the margin that a probability needs.
- `ece`: expected calibration error (Guo et al. 2017, arXiv:1706.04599, section 2) of the
  likelier side's probability, in `bins` of equal mass. The groups are split in two halves by
  their ids, and each half's probabilities come from a fit on the other. An error of 0 is not to
  be had: `by_chance` is what would be left on the mean if every probability were right, and
  `by_chance_high` its 97.5 % quantile, over 200 draws of the outcomes. A bootstrap interval would
  mislead, since resampling itself adds to the error.
- `kappa`: Cohen's, of three verdicts (a, b, tie). A scorer sees a tie where its margin is at
  most `tie_up_to`, which is chosen so that it sees as many ties as people do.
- By length: accuracy where people prefer the shorter, and the longer, answer, in buckets of the
  ratio of lengths, and how often the scorer picks the longer one.
- By position: how often it picks a, and its accuracy where a, and where b, is preferred.

Intervals are 95 % percentile bootstrap intervals over pairs (with `grade`: over prompts).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.pages.writing import write_page
from databuild.recipe.options import Columns, StepConfig
from databuild.reward.calibration_numbers import LENGTH, Calibrator, length_margin
from databuild.reward.calibration_page import render
from databuild.reward.calibration_pairs import Judged, pair_answers, read_pairs

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def _as_columns(value: object) -> object:
    """One column, a list of two, or a mapping of names to such, as tuples."""
    if isinstance(value, list | tuple):
        return {name: (name,) for name in value}
    if isinstance(value, dict):
        return {k: (v,) if isinstance(v, str) else v for k, v in value.items()}
    return value


_COLUMN = {"type": "string"}
_SCORES = WithJsonSchema(
    {
        "anyOf": [
            {"type": "array", "items": _COLUMN},
            {
                "type": "object",
                "additionalProperties": {
                    "anyOf": [
                        _COLUMN,
                        {"type": "array", "items": _COLUMN, "minItems": 2, "maxItems": 2},
                    ]
                },
            },
        ]
    }
)
Scores = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_as_columns), _SCORES]


class CalibrateConfig(StepConfig):
    """Options of `reward.calibrate`."""

    scores: Scores = Field(min_length=1)
    """The scorers, by a name of your choice. Where rows are pairs: the columns of both sides'
    scores, `{judge: [judge_a_score, judge_b_score]}`, or one column that is above 0 where `a` is
    better, `{compare: compare_preference}`. With `grade`: the column of an answer's score. A list
    of columns takes their names."""
    label: str | None = None
    """Where rows are pairs: the column that says which side people prefer: "a", "b", "tie" or
    "both_bad" (counted as a tie), or a number: above 0 a is better, below 0 b, 0 is a tie. Null
    (`~`): people prefer `a` in every row, as with `a: chosen` and `b: rejected`."""
    a: str = "response_a"
    """Where rows are pairs: one answer."""
    b: str = "response_b"
    """Where rows are pairs: the other answer."""
    grade: str | None = None
    """Where rows are single answers: the column of people's grades, a number or a truth value,
    higher is better. All answers to the same prompt are paired; equal grades are a tie."""
    response: str = "response"
    """With `grade`: the answer."""
    prompt: str = "prompt"
    """With `grade`: answers with the same text here are compared."""
    messages: str | None = "messages"
    """With `grade`: the column of conversations, where the rows have one; null (`~`) leaves it
    out."""
    by: Columns = ()
    """Columns whose values the accuracy is told for, such as a language or a source."""
    bins: int = Field(default=15, ge=2, le=100)
    """Bins of the reliability diagram and of the calibration error, with as many pairs in each."""
    probabilities: tuple[float, float, float] = (0.9, 0.75, 0.6)
    """For each, the margin of the scorer from which its preference is that likely right: what
    `thresholds` of `pairs.graded` may be."""
    resamples: int = Field(default=1_000, ge=100)
    """Bootstrap resamples, over pairs; with `grade` over prompts."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.label is not None and self.grade is not None:
            msg = "rows are pairs (label) or single answers (grade), not both"
            raise ValueError(msg)
        for name, columns in self.scores.items():
            if len(columns) not in ({1} if self.grade else {1, 2}):
                msg = f"scores: {name} has {len(columns)} columns; see what `scores` takes"
                raise ValueError(msg)
        if LENGTH in self.scores:
            msg = f"scores: {LENGTH!r} is the name of the scorer that prefers the longer answer"
            raise ValueError(msg)
        falling = sorted(set(self.probabilities), reverse=True)
        if list(self.probabilities) != falling or not 0.5 < falling[-1] <= falling[0] < 1:
            msg = f"probabilities fall between 1 and 0.5, not {list(self.probabilities)}"
            raise ValueError(msg)
        return self


def _reads(config: CalibrateConfig) -> tuple[str, ...]:
    columns = [column for columns in config.scores.values() for column in columns]
    if config.grade is not None:
        return (*columns, config.grade, config.response, config.prompt)
    return (*columns, *([config.label] if config.label else []), config.a, config.b)


def _also(config: CalibrateConfig) -> tuple[str, ...]:
    is_used = config.grade is not None and config.messages is not None
    return (config.messages,) if is_used and config.messages else ()


@step("reward.calibrate", kind="deliver", sees="table", version=1, reads=_reads, also=_also)
def calibrate_scorers(
    rows: pl.DataFrame, config: CalibrateConfig, *, out: Path, seed: int
) -> dict[str, Any]:
    """Compare scorers with people, and write `calibration.html` and `calibration.json`.

    It adds nothing to any row (a measure would), sorts none out (a select would) and makes none:
    what it finds is about scorers, and leaves as a page. So it delivers.

    What is told of a scorer is defined in this module's text.

    Args:
        rows: Pairs, or graded answers, with `row_id` and the columns that `config` names.
        config: See `CalibrateConfig`.
        out: An empty folder; gets `calibration.html` and `calibration.json`.
        seed: Seed of the bootstrap.

    Returns:
        `people` (pairs, ties, how often they prefer the longer answer and a), `scorers` by name
        (everything above; the curves are in `calibration.json` only), and `rows_skipped`: rows
        without a label, a grade, an answer, or another answer to the same prompt. A score that is
        null, NaN or infinite is `missing` for its scorer alone.

    Raises:
        StepError: There is no pair that people judged.
        SchemaError: The label or the grade has a type that says nothing.
        ServiceError: jinja2 is not installed.
    """
    judged = _judged(rows, config)
    if not len(judged.labels_N):
        what = "there are no rows to write a page about: people judged no pair of answers"
        fix = "check `label` or `grade`, and the step before with `databuild show`"
        raise StepError("reward.calibrate", what, fix=fix)
    calibrator = Calibrator(judged, config.bins, config.probabilities, seed, config.resamples)
    found: dict[str, Any] = {
        "people": calibrator.people(),
        "scorers": {name: calibrator.scorer(name) for name in judged.margins_SN},
        "bins": config.bins,
        "is_graded": config.grade is not None,
    }
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (out / "calibration.json").write_text(text + "\n", "utf-8")
    write_page(out / "calibration.html", render(found))
    curves = {"reliability", "by_length", "strata"}
    told = {
        name: {key: value for key, value in one.items() if key not in curves}
        for name, one in found["scorers"].items()
    }
    facts = {"people": found["people"], "scorers": told, "files": ["calibration.html"]}
    return {**facts, "rows_skipped": judged.skipped} if judged.skipped else facts


def _judged(rows: pl.DataFrame, config: CalibrateConfig) -> Judged:
    if config.grade is None:
        sides = (config.a, config.b)
        judged = read_pairs(rows, config.label, sides, config.scores, config.by)
    else:
        groups = (config.prompt, config.messages)
        judged = pair_answers(rows, config.grade, config.response, groups, config.scores, config.by)
    margins_SN = {**judged.margins_SN, LENGTH: length_margin(judged.chars_N2)}
    return Judged(
        judged.labels_N, margins_SN, judged.chars_N2, judged.groups_N, judged.group_ids,
        judged.strata, judged.skipped,
    )  # fmt: skip
