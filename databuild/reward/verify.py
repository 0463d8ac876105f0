"""reward.verify: check every answer against the constraints of its prompt."""

from __future__ import annotations

from typing import Any

import polars as pl

from databuild.engine.step import step
from databuild.recipe.options import Column, StepConfig
from databuild.text.constraints import Verdict, judge

_SCHEMA: dict[str, Any] = {
    "row_id": pl.String,
    "strict_pass": pl.Boolean,
    "constraint_pass": pl.Boolean,
    "verify_score": pl.Float64,
    "floor_on_topic": pl.Boolean,
    "floor_long_enough": pl.Boolean,
    "floor_finished": pl.Boolean,
    "floor_fresh": pl.Boolean,
    "error": pl.String,
}


class VerifyConfig(StepConfig):
    """Options of `reward.verify`."""

    response: Column = "response"
    """The answer to check."""
    constraints: Column = "constraints"
    """What it must meet: a list of `{kind, value}`; see `text.constraints`."""
    about: Column = "about"
    """Stems of words of which one must occur in the answer."""
    finish_reason: Column = "finish_reason"
    """Why the answer ended; anything but "stop" is unfinished."""


@step("reward.verify", kind="measure", sees="row", version=1, adds=tuple(_SCHEMA)[1:-1])
def measure_obedience(rows: pl.DataFrame, config: VerifyConfig) -> pl.DataFrame:
    """Measure whether an answer meets its constraints and the floors that give a pass its worth.

    Definitions are `text.constraints.judge`'s: `constraint_pass` every constraint holds exactly;
    `strict_pass` and every floor as well; `verify_score` 0 to 1, 1 exactly for a strict pass, with
    credit for near misses; `floor_...` the floors one by one. No constraints: only floors count.

    Args:
        rows: n rows with `row_id` and the four columns that `config` names.
        config: See `VerifyConfig`.

    Returns:
        n rows, in order. An answer that is null, or a constraint that nobody knows, has nulls and
        an `error`.

    Cost:
        About 160 microseconds of one core per answer of 50 words with two constraints.

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a"], "response": ["tomatoes like a lot of warm sun."],
        ...     "constraints": [[{"kind": "lowercase", "value": ""}]], "finish_reason": ["stop"],
        ...     "about": [["tomato"]],
        ... })
        >>> measure_obedience(rows, VerifyConfig()).select("strict_pass", "verify_score").rows()
        [(True, 1.0)]
    """
    columns = (config.response, config.constraints, config.about, config.finish_reason)
    facts = [
        (row_id, *_facts(*values))
        for row_id, *values in rows.select("row_id", *columns).iter_rows()
    ]
    return pl.DataFrame(facts, schema=_SCHEMA, orient="row")


def _facts(
    response: str | None,
    constraints: list[dict[str, str | None]] | None,
    about: list[str] | None,
    finish_reason: str | None,
) -> tuple[bool | float | str | None, ...]:
    if response is None:
        return (*[None] * 7, "there is no answer")
    asked = [
        {key: held or "" for key, held in (rule or {"kind": ""}).items()}
        for rule in constraints or ()
    ]
    try:
        found: Verdict = judge(response, asked, about or (), finished=finish_reason == "stop")
    except (KeyError, ValueError) as error:
        return (*[None] * 7, str(error))
    floors = (found.is_on_topic, found.is_long_enough, found.is_finished, found.is_fresh)
    return (found.passed, found.is_obedient, found.score, *floors, None)
