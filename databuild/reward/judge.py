"""reward.judge: a model says how good each answer is, by a rubric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import step
from databuild.models.prompting import asked_in
from databuild.models.templates import Prompts
from databuild.recipe.options import Column
from databuild.reward.asking import Fault, JudgingConfig, Panel, Question, Weighing
from databuild.reward.replies import Said, read_level
from databuild.text.conversations import with_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databuild.models.prompting import Ask
    from databuild.models.protocol import Answer

_SHOWN = ("prompt", "response", "reference", "criteria", "rubric", "low", "high")
PROMPTS = Prompts(
    Path(__file__).parent / "prompts" / "judge",
    {"score": _SHOWN, "reasons": (*_SHOWN, "structured")},
)


class JudgeConfig(JudgingConfig):
    """Options of `reward.judge`."""

    prompt: Column = "prompt"
    """What was asked."""
    response: Column = "response"
    """The answer that is judged."""
    reference: Column | None = None
    """A column with a right answer, which the judge is shown."""
    name: str = Field(default="judge", pattern=r"^[A-Za-z]\w*$")
    """What the new columns begin with."""
    low: int = 1
    """The score of the worst answer."""
    high: int = 10
    """The score of the best answer."""
    rubric: dict[int, str] = Field(default_factory=dict)
    """What single scores mean, such as `{1: wrong, 5: right and well explained}` (Prometheus)."""

    @model_validator(mode="after")
    def _scale(self) -> Self:
        if self.low >= self.high or self.high - self.low > 100:
            msg = f"the scale from {self.low} to {self.high} has to rise, by at most 100"
            raise ValueError(msg)
        strange = sorted(level for level in self.rubric if not self.low <= level <= self.high)
        if strange:
            msg = f"rubric: {strange[0]} is not on the scale from {self.low} to {self.high}"
            raise ValueError(msg)
        return self

    @property
    def levels(self) -> range:
        """The scores that can be given."""
        return range(self.low, self.high + 1)


def _adds(config: JudgeConfig) -> tuple[str, ...]:
    reason = (f"{config.name}_reason",) if config.reasons else ()
    return (f"{config.name}_score", f"{config.name}_level", *reason)


@step(
    "reward.judge",
    kind="measure",
    sees="row",
    version=1,
    also=lambda config: () if config.messages is None else (config.messages,),
    adds=_adds,
    brings=lambda config: PROMPTS.shipped(config.prompts),
    checks=lambda _config, files: PROMPTS.check(files),
)
def judge_answers(
    rows: pl.DataFrame,
    config: JudgeConfig,
    *,
    generator: Ask,
    seed: int,
    files: tuple[Path, ...],
) -> pl.DataFrame:
    """Let a model give each answer a score, alone (pointwise).

    Single answer grading of Zheng et al. 2023 (arXiv:2306.05685, section 3.1), with a rubric as in
    Prometheus (Kim et al. 2023, arXiv:2310.08491, section 3.1), with `reasons` a generative reward,
    with `expectation` the weighted score of G-Eval (Liu et al. 2023, arXiv:2303.16634, section
    3.3): the sum over the scale of score times probability. Judges prefer long answers and their
    own; a small model judges no better than chance. Look at `reward.calibrate` before you trust
    one.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `JudgeConfig`.
        generator: Answers requests; what the journal holds is not asked again.
        seed: The step's seed.
        files: The user's own prompts.

    Returns:
        n rows with `row_id`, `<name>_level: f64` (as it was given, on the scale),
        `<name>_score: f64` (0 to 1: (level - low) / (high - low)) and with `reasons` also
        `<name>_reason: str`. All are null, with an error, where the prompt or the answer is null or
        blank, the request failed (a passing trouble is tried again on the next run), or no try
        could be read: no number on the scale, or a reply that was cut before it.

    Example:
        >>> from databuild.models.protocol import Answer
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["2+2?"], "response": ["5"]})
        >>> def ask(requests):
        ...     return {r.id: Answer(r.id, "2", "stop") for r in requests}
        >>> config = JudgeConfig(model="start", low=1, high=5)
        >>> judge_answers(rows, config, generator=ask, seed=7, files=()).rows()
        [('a', 0.25, 2.0, None, False)]
    """
    questions, faults = _questions(rows, config, files)
    found: dict[str, Said | Fault] = dict(faults)
    if config.expectation:
        shares = Weighing(generator, seed).shares(questions, [str(one) for one in config.levels])
        for (row_id, _), share in shares.items():
            found[row_id] = share if isinstance(share, Fault) else Said(_mean(share), None)
    else:

        def read(_question: Question, answer: Answer) -> Said | None:
            text = answer.text or ""
            if answer.finish_reason == "length" and text.rstrip()[-1:].isdigit():
                return None  # "1" may be the beginning of "10"
            return read_level(text, config.low, config.high)

        tries = config.tries if config.temperature else 1
        replies = Panel(generator, seed, tries, read).replies(questions)
        found |= {row_id: said for (row_id, _), said in replies.items()}
    return _table(rows["row_id"].to_list(), found, config)


def _questions(
    rows: pl.DataFrame, config: JudgeConfig, files: Sequence[Path]
) -> tuple[list[Question], dict[str, Fault]]:
    """What is asked of each row, and the rows that nothing can be asked about."""
    name = "reasons" if config.reasons else "score"
    templates = PROMPTS.read(files)
    sampling = config.held_to("score", config.levels)
    reference = pl.lit(None, pl.String) if config.reference is None else pl.col(config.reference)
    told = rows.select(
        "row_id",
        with_context(rows, config.prompt, config.messages).alias("asked"),
        pl.col(config.response).alias("answer"),
        reference.cast(pl.String).alias("reference"),
        asked_in(config.language, [config.prompt, config.response]),
    )
    questions, faults = [], {}
    same: dict[str, Any] = {
        "criteria": config.criteria,
        "rubric": sorted(config.rubric.items()),
        "low": config.low,
        "high": config.high,
        **({"structured": config.structured} if config.reasons else {}),
    }
    for row_id, prompt, response, right, language in told.iter_rows():
        if not (prompt or "").strip():
            faults[row_id] = Fault("the prompt is empty", retry=False)
        elif not (response or "").strip():
            faults[row_id] = Fault("there is no answer", retry=False)
        else:
            messages = templates[name, language].messages(
                prompt=prompt, response=response, reference=(right or "").strip(), **same
            )
            questions.append(Question(row_id, config.name, messages, sampling))
    return questions, faults


def _mean(shares: dict[str, float]) -> float:
    return sum(int(level) * share for level, share in shares.items())


def _table(ids: Sequence[str], found: dict[str, Said | Fault], config: JudgeConfig) -> pl.DataFrame:
    said = [found[row_id] for row_id in ids]
    level = pl.Series([None if isinstance(s, Fault) else s.value for s in said], dtype=pl.Float64)
    reason = pl.Series([None if isinstance(s, Fault) else s.reasons for s in said], dtype=pl.String)
    columns = {
        "row_id": pl.Series(ids, dtype=pl.String),
        f"{config.name}_score": (level - config.low) / (config.high - config.low),
        f"{config.name}_level": level,
        **({f"{config.name}_reason": reason} if config.reasons else {}),
        "error": pl.Series(
            [s.error if isinstance(s, Fault) else None for s in said], dtype=pl.String
        ),
        "retry": pl.Series([isinstance(s, Fault) and s.retry for s in said], dtype=pl.Boolean),
    }
    return pl.DataFrame(columns)
