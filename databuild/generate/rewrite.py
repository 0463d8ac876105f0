"""generate.rewrite: the same thing in other words, or a deeper, broader or harder thing to ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from databuild.engine.step import Produced, step
from databuild.generate import rewriting
from databuild.generate.answering import (
    ATTRIBUTES,
    Ask,
    Failures,
    PromptedConfig,
    Wanted,
    answers_to,
    asked_in,
    drawn,
    want,
)
from databuild.models.templates import Prompts
from databuild.recipe.options import Column
from databuild.text.conversations import (
    has_conversations,
    with_last_answer,
    with_last_user,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.models.protocol import Answer
    from databuild.models.templates import Template

Way = Literal["paraphrase", "synonyms", "back_translation", "deeper", "broader", "harder"]
EVOLVING: frozenset[str] = frozenset({"deeper", "broader", "harder"})
"""The ways that change what is asked: an answer to the original is none to the rewrite."""
PROMPTS = Prompts(
    Path(__file__).parent / "prompts" / "rewrite",
    {
        "paraphrase": ("text", "k"),
        "synonyms": ("text", "k"),
        "translate": ("text", "k", "into"),
        "translate_back": ("text", "k", "into"),
        "deeper": ("text", "k"),
        "broader": ("text", "k"),
        "harder": ("text", "k"),
    },
)
_ANSWERS = ("response", "reasoning", "chosen", "rejected", "edited")
_ANSWER_TALKS = ("chosen_messages", "rejected_messages")
_MADE: Mapping[str, Any] = {
    "how": pl.String,
    "prompt_name": pl.String,
    "prompt_digest": pl.String,
    **ATTRIBUTES,
}
_SLACK = {True: 100, False: 20}
_NAMES = {
    ("en", "en"): "English",
    ("en", "zh"): "Chinese",
    ("zh", "en"): "英文",
    ("zh", "zh"): "中文",
}


def _as_ways(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class RewriteConfig(PromptedConfig):
    """Options of `generate.rewrite`."""

    how: Annotated[
        tuple[Way, ...],
        BeforeValidator(_as_ways, json_schema_input_type=Way | tuple[Way, ...]),
    ] = ("paraphrase",)
    """One or several ways. They keep the meaning: `paraphrase`, `synonyms` and `back_translation`
    (through another language and back). They change what is asked, as Evol-Instruct does: `deeper`,
    `harder` and `broader` (another task of the same domain)."""
    column: Column = "prompt"
    """The text that is rewritten. `response` is not asked for in ways that change what is asked."""
    k: int = Field(default=1, ge=1)
    """Rewrites of a row in each way."""
    through: str | None = None
    """The language between in `back_translation`, by the name that the model is to read; null is
    Chinese for what is asked in English, and English for what is asked in Chinese."""
    back_into: str | None = None
    """The language of the rows in `back_translation`; null is English or Chinese, as `language`."""
    tries: int = Field(default=2, ge=1)
    """How often a rewrite is asked for, until one passes the checks; at temperature 0 once."""
    max_similarity: float = Field(default=0.95, ge=0, le=1)
    """A rewrite that is more similar to its original is not new: Dice similarity of the character
    3-grams of their letters and digits."""
    length_ratio: tuple[float, float] = (0.4, 2.5)
    """Shortest and longest rewrite that keeps the meaning, over the original's length in
    characters; 20 characters more or less are always allowed."""
    evolved_length_ratio: tuple[float, float] = (0.3, 5.0)
    """The same where what is asked changes; there 100 characters more or less are allowed."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. With `prompt`
    its last user turn is rewritten, with `response` its last answer."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if not self.how or len(set(self.how)) < len(self.how):
            msg = f"how must name ways, each once; there are {', '.join(get_args(Way))}"
            raise ValueError(msg)
        if self.temperature == 0 and self.k > 1 and not set(self.how) <= EVOLVING - {"broader"}:
            msg = f"temperature 0 gives the same text {self.k} times: raise it, or set k to 1"
            raise ValueError(msg)
        changing = [way for way in self.how if way in EVOLVING]
        if self.column in _ANSWERS and changing:
            msg = f"{changing[0]} changes what is asked, and {self.column} is an answer"
            raise ValueError(msg)
        for low, high in (self.length_ratio, self.evolved_length_ratio):
            if not 0 <= low <= 1 <= high:
                msg = f"a ratio of lengths must be [low, high] with low <= 1 <= high: {low}, {high}"
                raise ValueError(msg)
        return self


def _also(config: RewriteConfig) -> tuple[str, ...]:
    """The columns that must not go on saying what belongs to the original."""
    talk = () if config.messages is None else (config.messages,)
    stale = (*_ANSWERS, *_ANSWER_TALKS) if set(config.how) & EVOLVING else ()
    return tuple(name for name in (*talk, *stale) if name != config.column)


@step(
    "generate.rewrite",
    kind="produce",
    sees="row",
    version=2,
    also=_also,
    adds=lambda config: (config.column, *_MADE),
    attributes=tuple(_MADE),
    carries=True,
    brings=lambda config: PROMPTS.shipped(config.prompts),
    checks=lambda _config, files: PROMPTS.check(files),
)
def rewrite_rows(
    rows: pl.DataFrame,
    config: RewriteConfig,
    *,
    generator: Ask,
    seed: int,
    models: Mapping[str, str],
    files: tuple[Path, ...],
) -> Produced:
    """Ask a model to say a text anew, or to ask for something deeper, broader or harder.

    The last three are the in-depth and in-breadth evolving of Evol-Instruct (Xu et al. 2023,
    arXiv:2304.12244, section 3.1). A rewrite is checked, and asked for again up to `tries` times:
    it must be a text (no refusal, no leftover of the prompt, not cut off, no loop), differ from the
    original and the row's other rewrites, stay within the ratio of lengths and in its language
    (English and the like, Chinese, Japanese). Where the meaning is kept, links, code, quoted texts
    and numbers must be kept, too.

    Args:
        rows: Rows with `row_id` and `config.column`.
        config: See `RewriteConfig`.
        generator: Answers requests.
        seed: The step's seed.
        models: The identity of the model, under "model".
        files: The user's own prompts.

    Returns:
        One row per rewrite, with its row as the parent and what that carries. Where what is asked
        changed, every answer in it is null, and `messages` ends with the new question. `how`,
        `prompt_name`, `prompt_digest` and the attributes of a draw say how it was made; tokens are
        summed over all requests for it; `origin` is "rewritten". What passed no check in any try is
        in `failed`, named after the last one's fault, and is not tried again.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Why is the sky blue?"]})
        >>> from databuild.models.protocol import Answer
        >>> def ask(requests):
        ...     return {r.id: Answer(r.id, "What makes the sky blue?", "stop") for r in requests}
        >>> config = RewriteConfig(model="start")
        >>> made = rewrite_rows(
        ...     rows, config, generator=ask, seed=7, models={"model": "tiny@1"}, files=()
        ... )
        >>> made.rows.select("prompt", "how", "origin").rows()
        [('What makes the sky blue?', 'paraphrase', 'rewritten')]
    """
    failures = Failures()
    jobs = _jobs(rows, config, failures)
    asking = _Asking(config, PROMPTS.read(files), generator, seed, failures)
    accepted = _accepted(jobs, asking, failures, config)
    made = [_row(*one, config, models["model"]) for one in accepted]
    schema = {"parent_ids": pl.List(pl.String), config.column: pl.String, **_MADE}
    children = pl.DataFrame(made, schema=schema)
    return Produced(rows=_with_rest(children, rows, config), failed=failures.frame())


@dataclass
class _Job:
    """One rewrite that is wanted, and what has become of it so far."""

    place: int
    row_id: str
    how: str
    k: int
    text: str
    language: Literal["en", "zh"]
    between: str = ""
    """The text in the other language."""
    made: str = ""
    fault: str | None = None
    template: Template | None = None
    tokens: tuple[int, int] = (0, 0)

    def pay(self, answer: Answer) -> None:
        self.tokens = (
            self.tokens[0] + (answer.prompt_tokens or 0),
            self.tokens[1] + (answer.completion_tokens or 0),
        )


@dataclass(frozen=True)
class _Asking:
    """Asks for rewrites, in one stage or two."""

    config: RewriteConfig
    templates: Mapping[tuple[str, str], Template]
    generator: Ask
    seed: int
    failures: Failures

    def rewrites(self, jobs: Sequence[_Job], attempt: int) -> list[tuple[_Job, Wanted, Answer]]:
        """The jobs that were answered, in their order; `fault` is set where a first stage failed.

        All first requests go out at once, so that a batch is as large as can be.
        """
        done = []
        back: list[Wanted] = []
        first = [self._wanted(job, attempt) for job in jobs]
        for wanted, answer in answers_to(first, self.generator, self.failures):
            job: _Job = wanted.about
            job.pay(answer)
            job.fault, is_cut = None, answer.finish_reason == "length"
            text = rewriting.without_frame(answer.text or "")
            if job.how != "back_translation":
                job.made = text
                done.append((job, wanted, answer))
                continue
            job.between = text
            job.fault = rewriting.unusable(text, job.text, is_cut=is_cut) or (
                rewriting.changed_too_little(text, job.text, self.config.max_similarity)
            )
            if job.fault:
                job.fault = f"the translation is {job.fault}".replace("is cut", "was cut")
                done.append((job, wanted, answer))
            else:
                back.append(self._wanted(job, attempt, is_back=True))
        for wanted, answer in answers_to(back, self.generator, self.failures) if back else []:
            job = wanted.about
            job.pay(answer)
            job.made = rewriting.without_frame(answer.text or "")
            done.append((job, wanted, answer))
        return sorted(done, key=lambda one: one[0].place)

    def _wanted(self, job: _Job, attempt: int, *, is_back: bool = False) -> Wanted:
        name, stage, into, text = job.how, job.how, "", job.text
        if job.how == "back_translation":
            name = "translate_back" if is_back else "translate"
            own: Literal["en", "zh"] = job.language
            other: Literal["en", "zh"] = "zh" if own == "en" else "en"
            there = self.config.through or _NAMES[own, other]
            home = self.config.back_into or _NAMES[own, own]
            into, text, stage = (home, job.between, name) if is_back else (there, job.text, name)
        job.template = self.templates[name, job.language]
        messages = job.template.messages(text=text, k=job.k, into=into)
        stage = f"{stage}-try{attempt}" if attempt else stage
        sampling = self.config.sampling()
        return want(job.row_id, job.k, messages, sampling, self.seed, stage=stage, about=job)


def _jobs(rows: pl.DataFrame, config: RewriteConfig, failures: Failures) -> list[_Job]:
    """What is wanted of every row; a text without a word fails once."""
    jobs: list[_Job] = []
    told = rows.select("row_id", pl.col(config.column), asked_in(config.language, [config.column]))
    for row_id, text, language in told.iter_rows():
        if not isinstance(text, str) or not any(c.isalnum() for c in text):
            failures.add(row_id, None, f"{config.column} has no words", retry=False)
            continue
        for how in config.how:
            jobs += (_Job(len(jobs) + k, row_id, how, k, text, language) for k in range(config.k))
    return jobs


def _accepted(
    jobs: list[_Job], asking: _Asking, failures: Failures, config: RewriteConfig
) -> list[tuple[_Job, Wanted, Answer]]:
    """The rewrites that pass the checks, in the order of the input, whichever try it took."""
    accepted: list[tuple[_Job, Wanted, Answer]] = []
    seen: dict[str, list[str]] = {}
    tries = config.tries if config.temperature else 1
    for attempt in range(tries):
        again: list[_Job] = []
        for job, wanted, answer in asking.rewrites(jobs, attempt):
            fault = job.fault or _fault(job, answer, seen.get(job.row_id, []), config)
            if fault is None:
                seen.setdefault(job.row_id, []).append(job.made)
                accepted.append((job, wanted, answer))
            elif attempt + 1 < tries:
                again.append(job)
            else:
                failures.add(job.row_id, job.k, _named(fault, job.how), retry=False)
        jobs = again
    accepted.sort(key=lambda one: one[0].place)
    return accepted


def _fault(job: _Job, answer: Answer, others: Sequence[str], config: RewriteConfig) -> str | None:
    """The first thing that is wrong with a rewrite, or None."""
    text, original = job.made, job.text
    is_evolved = job.how in EVOLVING
    ratios = config.evolved_length_ratio if is_evolved else config.length_ratio
    again = [rewriting.changed_too_little(text, other, config.max_similarity) for other in others]
    is_cut = answer.finish_reason == "length"
    return (
        rewriting.unusable(text, original, is_cut=is_cut)
        or rewriting.changed_too_little(text, original, config.max_similarity)
        or rewriting.wrong_length(text, original, ratios, _SLACK[is_evolved])
        or rewriting.other_script(text, original)
        or (None if is_evolved else rewriting.lost(text, original))
        or ("nearly equal to another rewrite of the row" if any(again) else None)
    )


def _named(fault: str, how: str) -> str:
    """The fault with its way, before the colon behind which details stand."""
    what, colon, detail = fault.partition(":")
    return f"{how}, {what}{colon}{detail}"


def _row(
    job: _Job, wanted: Wanted, answer: Answer, config: RewriteConfig, model: str
) -> dict[str, Any]:
    assert job.template is not None
    return {
        "parent_ids": [job.row_id],
        config.column: job.made,
        **drawn(wanted, answer, model, "rewritten"),
        "how": job.how,
        "prompt_name": job.template.name,
        "prompt_digest": job.template.digest,
        "prompt_tokens": job.tokens[0],
        "completion_tokens": job.tokens[1],
    }


def _with_rest(children: pl.DataFrame, rows: pl.DataFrame, config: RewriteConfig) -> pl.DataFrame:
    """Let conversations say what was rewritten, and drop answers to what is no longer asked."""
    also = [name for name in _also(config) if name in rows.columns]
    if not also:
        return children
    parents = rows.select(pl.concat_list("row_id").alias("parent_ids"), *also)
    made = children.join(parents, on="parent_ids", how="left", maintain_order="left")
    is_evolved = pl.col("how").is_in(sorted(EVOLVING))
    talk = config.messages if has_conversations(rows, config.messages) else None
    if talk is not None and config.column == "prompt":
        cut, kept = (
            with_last_user(talk, pl.col("prompt"), keep_rest=keep) for keep in (False, True)
        )
        made = made.with_columns(pl.when(is_evolved).then(cut).otherwise(kept).alias(talk))
    elif talk is not None and config.column == "response":
        made = made.with_columns(with_last_answer(talk, pl.col("response")))
    stale = [name for name in also if name != config.messages]
    return made.with_columns(pl.when(~is_evolved).then(pl.col(name)).alias(name) for name in stale)
