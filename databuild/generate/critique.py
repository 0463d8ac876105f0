"""generate.critique: a critic reads an answer, and the answer is written again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field

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
from databuild.generate.verdicts import critic_is_content, without_verdict
from databuild.models.templates import Prompts
from databuild.recipe.options import Column, Names
from databuild.text.conversations import has_conversations, with_context, with_last_answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.models.protocol import Answer
    from databuild.models.templates import Template

PROMPTS = Prompts(
    Path(__file__).parent / "prompts" / "critique",
    {
        "critique": ("prompt", "response", "principles"),
        "revise": ("prompt", "response", "critique", "principles"),
    },
)
_MADE: Mapping[str, Any] = {
    "critique": pl.String,
    "critique_rounds": pl.Int64,
    "prompt_name": pl.String,
    "prompt_digest": pl.String,
    **ATTRIBUTES,
}


class CritiqueConfig(PromptedConfig):
    """Options of `generate.critique`."""

    prompt: Column = "prompt"
    """What was asked."""
    response: Column = "response"
    """The answer that is read and revised."""
    principles: Names = ()
    """Sentences that an answer is held to, as "Do not claim what you cannot know." """
    rounds: int = Field(default=1, ge=1)
    """Most rounds of critique and revision; the critic may be content before."""
    tries: int = Field(default=2, ge=1)
    """How often a critique or a revision is asked for, until it can be used; at temperature 0
    once."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. The critic
    sees the turns before the answer, and the last answer is revised."""


def _also(config: CritiqueConfig) -> tuple[str, ...]:
    return ("reasoning",) if config.messages is None else (config.messages, "reasoning")


@step(
    "generate.critique",
    kind="produce",
    sees="row",
    version=2,
    also=_also,
    adds=lambda config: (config.response, *_MADE),
    attributes=tuple(_MADE),
    carries=True,
    brings=lambda config: PROMPTS.shipped(config.prompts),
    checks=lambda _config, files: PROMPTS.check(files),
)
def revise_answers(
    rows: pl.DataFrame,
    config: CritiqueConfig,
    *,
    generator: Ask,
    seed: int,
    models: Mapping[str, str],
    files: tuple[Path, ...],
) -> Produced:
    """Let the model say what is wrong with each answer, then write the answer again.

    Self-Refine (Madaan et al. 2023, arXiv:2303.17651, section 2); with `principles` the critique
    and revision of Constitutional AI (Bai et al. 2022, arXiv:2212.08073, section 3). A critic that
    ends with "VERDICT: FINE" (or says so in other known words) ends a row's rounds. What comes out
    is no better for having been revised: score both, and pair or filter them.

    Args:
        rows: Answers, with `row_id`, `config.prompt` and `config.response`.
        config: See `CritiqueConfig`.
        generator: Answers requests.
        seed: The step's seed.
        models: The identity of the model, under "model".
        files: The user's own prompts.

    Returns:
        The revised answers, each with the row of the original as its parent and what that carries;
        `messages` ends with the new answer, and `reasoning` is null. `critique` holds what the
        critic said in all rounds that led to a revision, `critique_rounds` their number; `origin`
        is "revised"; the attributes of the draw are those of the last revision, with the tokens of
        all rounds. In `dropped`: "the critic finds nothing to change", "the revision changes
        nothing". In `failed`: a critique or revision that is no text (refusal, loop, cut off ...)
        in any try of the first round; in a later round what the round before made is kept.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["2+2?"], "response": ["5"]})
        >>> from databuild.models.protocol import Answer
        >>> def ask(requests):
        ...     new = {"critique": "5 is wrong. VERDICT: REVISE", "revise": "4"}
        ...     return {r.id: Answer(r.id, new[r.id.split("-")[1]], "stop") for r in requests}
        >>> config = CritiqueConfig(model="start")
        >>> made = revise_answers(
        ...     rows, config, generator=ask, seed=7, models={"model": "tiny@1"}, files=()
        ... )
        >>> made.rows.select("response", "critique", "origin").rows()
        [('4', '5 is wrong.', 'revised')]
    """
    failures = Failures()
    asking = _Asking(config, PROMPTS.read(files), generator, seed, failures)
    talks = _talks(rows, config, failures)
    open_now = talks
    for n in range(config.rounds):
        open_now = asking.revised(asking.criticised(open_now, n), n)
    made = [_row(one, config, models["model"]) for one in talks if one.last is not None]
    schema = {"parent_ids": pl.List(pl.String), config.response: pl.String, **_MADE}
    children = _with_rest(pl.DataFrame(made, schema=schema), rows, config)
    return Produced(rows=children, failed=failures.frame(), dropped=_dropped(talks))


@dataclass
class _Talk:
    """One answer on its way through the rounds."""

    row_id: str
    prompt: str
    response: str
    """As it stands now."""
    language: str
    critique: str = ""
    critiques: list[str] = field(default_factory=list)
    last: tuple[Wanted, Answer] | None = None
    """The last revision that can be used."""
    dropped: str | None = None
    tokens: tuple[int, int] = (0, 0)
    template: Template | None = None


@dataclass(frozen=True)
class _Asking:
    """Asks for critiques and revisions, each up to `tries` times."""

    config: CritiqueConfig
    templates: Mapping[tuple[str, str], Template]
    generator: Ask
    seed: int
    failures: Failures

    def criticised(self, talks: Sequence[_Talk], n: int) -> list[_Talk]:
        """Those that the critic wants changed."""
        found = []
        for talk, _, answer in self._usable("critique", talks, n):
            text = rewriting.without_thoughts(answer.text or "").strip()
            if critic_is_content(text):
                talk.dropped = "the critic finds nothing to change"
            else:
                talk.critique = without_verdict(text)
                found.append(talk)
        return found

    def revised(self, talks: Sequence[_Talk], n: int) -> list[_Talk]:
        """Those that were changed."""
        found = []
        for talk, wanted, answer in self._usable("revise", talks, n):
            text = rewriting.without_frame(answer.text or "")
            if text == talk.response.strip():
                talk.dropped = "the revision changes nothing"
                continue
            talk.critiques.append(talk.critique)
            talk.response, talk.last = text, (wanted, answer)
            talk.template = self.templates["revise", talk.language]
            found.append(talk)
        return found

    def _usable(
        self, name: str, talks: Sequence[_Talk], n: int
    ) -> list[tuple[_Talk, Wanted, Answer]]:
        """Answers that are texts, in the order of `talks`; the others are failures."""
        found: dict[str, tuple[_Talk, Wanted, Answer]] = {}
        pending = list(talks)
        tries = self.config.tries if self.config.temperature else 1
        for attempt in range(tries) if talks else ():
            again = []
            # A later round that goes wrong leaves what the round before made.
            failures = self.failures if n == 0 else Failures()
            wanted = [self._wanted(name, talk, n, attempt) for talk in pending]
            for one, answer in answers_to(wanted, self.generator, failures):
                talk: _Talk = one.about
                talk.tokens = (
                    talk.tokens[0] + answer.prompt_tokens,
                    talk.tokens[1] + answer.completion_tokens,
                )
                fault = _fault(name, talk, answer)
                if fault is None:
                    found[talk.row_id] = (talk, one, answer)
                elif attempt + 1 < tries:
                    again.append(talk)
                else:
                    failures.add(talk.row_id, one.k, fault, retry=False)
            pending = again
        return [found[talk.row_id] for talk in talks if talk.row_id in found]

    def _wanted(self, name: str, talk: _Talk, n: int, attempt: int) -> Wanted:
        messages = self.templates[name, talk.language].messages(
            prompt=talk.prompt, response=talk.response, principles=self.config.principles,
            **({"critique": talk.critique} if name == "revise" else {}),
        )  # fmt: skip
        stage = f"{name}-{n}" + (f"-try{attempt}" if attempt else "")
        sampling = self.config.sampling()
        return want(talk.row_id, 0, messages, sampling, self.seed, stage=stage, about=talk)


def _fault(name: str, talk: _Talk, answer: Answer) -> str | None:
    """What makes a critique or a revision useless, named after it."""
    text, is_cut = rewriting.without_thoughts(answer.text or ""), answer.finish_reason == "length"
    if name == "critique":
        # A critic may quote a refusal, and one that was cut off has said enough to go by.
        fault = "no words" if not any(c.isalnum() for c in text) else None
    else:
        text = rewriting.without_frame(text)
        fault = rewriting.unusable(text, talk.response, is_cut=is_cut)
        fault = fault or rewriting.other_script(text, talk.response)
    kind: Literal["critique", "revision"] = "critique" if name == "critique" else "revision"
    return f"{kind}, {fault}" if fault else None


def _talks(rows: pl.DataFrame, config: CritiqueConfig, failures: Failures) -> list[_Talk]:
    """What is read of every row; one without a question or an answer fails."""
    asked = with_context(rows, config.prompt, config.messages)
    told = rows.select(
        "row_id",
        asked.alias("asked"),
        pl.col(config.response).alias("answer"),
        asked_in(config.language, [config.prompt, config.response]),
    )
    talks = []
    for row_id, prompt, response, language in told.iter_rows():
        if not (prompt or "").strip():
            failures.add(row_id, None, "the prompt is empty", retry=False)
        elif not (response or "").strip():
            failures.add(row_id, None, "there is no answer", retry=False)
        else:
            talks.append(_Talk(row_id, prompt, response, language))
    return talks


def _dropped(talks: Sequence[_Talk]) -> pl.DataFrame:
    """The answers that stay as they are, and why."""
    rows = [(one.row_id, one.dropped) for one in talks if one.dropped and one.last is None]
    return pl.DataFrame(rows, schema={"row_id": pl.String, "reason": pl.String}, orient="row")


def _row(talk: _Talk, config: CritiqueConfig, model: str) -> dict[str, Any]:
    assert talk.last is not None
    assert talk.template is not None
    return {
        "parent_ids": [talk.row_id],
        config.response: talk.response,
        **drawn(*talk.last, model, "revised"),
        "critique": "\n\n".join(talk.critiques),
        "critique_rounds": len(talk.critiques),
        "prompt_name": talk.template.name,
        "prompt_digest": talk.template.digest,
        "prompt_tokens": talk.tokens[0],
        "completion_tokens": talk.tokens[1],
    }


def _with_rest(children: pl.DataFrame, rows: pl.DataFrame, config: CritiqueConfig) -> pl.DataFrame:
    """Let conversations end with the new answer; what was thought before the old one is gone."""
    made = children
    if has_conversations(rows, config.messages) and config.messages is not None:
        parents = rows.select(pl.concat_list("row_id").alias("parent_ids"), config.messages)
        made = children.join(parents, on="parent_ids", how="left", maintain_order="left")
        made = made.with_columns(with_last_answer(config.messages, pl.col(config.response)))
    if "reasoning" in rows.columns:
        made = made.with_columns(pl.lit(None, dtype=pl.String).alias("reasoning"))
    return made
