"""What all steps that ask a model share, whatever they make of the answers: options and requests.

A step makes a list of `Wanted` and asks for all of them at once; `trouble` says of an answer why it
is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import polars as pl

from databuild.models.protocol import Answer, Message, Request, Sampling
from databuild.recipe.options import ModelRef, Names, Paths, StepConfig
from databuild.schema.identity import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Ask(Protocol):
    """Answers requests, by id; answers that the journal holds are not asked for again."""

    def __call__(self, requests: Sequence[Request]) -> Mapping[str, Answer]:
        """Give one answer per request, by the request's id."""
        ...


class SamplingConfig(StepConfig):
    """The options of a step that asks a model."""

    model: ModelRef
    """The model that answers."""
    temperature: float = Sampling.model_fields["temperature"].default
    """0 takes the likeliest token every time (greedy)."""
    top_p: float = Sampling.model_fields["top_p"].default
    """Nucleus mass. Anything below 1 costs about half of vLLM's speed on a CPU."""
    max_tokens: int = Sampling.model_fields["max_tokens"].default
    """Longest answer, in tokens."""
    stop: Names = ()
    """Texts that end an answer and are not part of it."""
    top_k: int = Sampling.model_fields["top_k"].default
    """Only the so many likeliest tokens may be drawn; 0 is all of them."""
    min_p: float = Sampling.model_fields["min_p"].default
    """Only tokens with at least this share of the likeliest one's probability may be drawn."""
    presence_penalty: float = Sampling.model_fields["presence_penalty"].default
    """From -2 to 2: taken off the score of every token that the answer has already."""
    frequency_penalty: float = Sampling.model_fields["frequency_penalty"].default
    """From -2 to 2: taken off a token's score as often as the answer has it already."""
    repetition_penalty: float = Sampling.model_fields["repetition_penalty"].default
    """Divides the score of tokens that the prompt or the answer has; above 1 repeats less."""

    def model_post_init(self, _context: object) -> None:
        """Check the sampling against its ranges."""
        self.sampling()

    def sampling(self) -> Sampling:
        """The sampling parameters."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=self.stop,
            top_k=self.top_k,
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repetition_penalty,
        )


class PromptedConfig(SamplingConfig):
    """The options of a step that asks with prompts of its own."""

    prompts: Paths = ()
    """Files of your own prompts, or a folder of them, relative to the recipe. Each is named after
    the one that it replaces: `<prompt>.en.md`, `<prompt>.zh.md`, or `<prompt>.md` for both
    languages. Their content is part of the step's key, as that of the shipped ones is."""
    language: Literal["auto", "en", "zh"] = "auto"
    """The language to ask in. `auto` asks in Chinese where at least three in ten letters of the row
    are Han characters and none is Kana, else in English."""


@dataclass(frozen=True)
class Wanted:
    """One answer that is wanted for a row."""

    row_id: str
    k: int
    request: Request
    about: Any = None
    """Whatever the step must know again when the answer comes."""


def want(
    row_id: str,
    k: int,
    messages: tuple[Message, ...],
    sampling: Sampling,
    seed: int,
    *,
    stage: str = "",
    about: Any = None,
) -> Wanted:
    """A request for the k-th answer to a row.

    Its seed is derived from (seed, row, stage, k), so it depends neither on the batch nor on
    another row; a greedy one has seed 0, so that whoever asks the same again finds the answer.

    Args:
        row_id: The row that the answer is for.
        k: Which of its answers.
        messages: What is asked.
        sampling: How it is drawn.
        seed: The step's seed.
        stage: Which question, where a step asks several of one row.
        about: Given back with the answer.
    """
    if stage:
        name = f"{row_id}-{stage}-{k}"
        draw = derive_seed(seed, row_id, stage, k) if sampling.temperature else 0
    else:
        name = f"{row_id}-{k}"
        draw = derive_seed(seed, row_id, k) if sampling.temperature else 0
    return Wanted(row_id, k, Request(name, messages, sampling, draw), about)


def trouble(answer: Answer | None) -> tuple[str, bool] | None:
    """Why there is no text, and whether another try may end better; None where there is one.

    Example:
        >>> from databuild.models.protocol import Answer
        >>> trouble(Answer("a", None, "refused", error="too long")), trouble(None)
        (('too long', False), ('the model gave no answer', True))
        >>> trouble(Answer("a", "yes", "stop"))
    """
    if answer is None:
        return "the model gave no answer", True
    if answer.text is None:
        # A refusal would come back the same; another error may pass.
        return answer.error or answer.finish_reason, answer.finish_reason == "error"
    return None


def asked_in(language: str, columns: Iterable[str]) -> pl.Expr:
    """The language to ask a row in, `en` or `zh`: see `PromptedConfig.language`.

    Example:
        >>> rows = pl.DataFrame({"t": ["Why?", "为什么?", "なぜ空は青い", None]})
        >>> rows.select(asked_in("auto", ["t"]))["language"].to_list()
        ['en', 'zh', 'en', 'en']
    """
    if language != "auto":
        return pl.lit(language).alias("language")
    text = pl.concat_str([pl.col(c) for c in columns], separator="\n", ignore_nulls=True)
    han, letters = text.str.count_matches(r"\p{Han}"), text.str.count_matches(r"\p{L}")
    is_kana = text.str.contains(r"[\p{Hiragana}\p{Katakana}]")
    is_chinese = (han > 0) & (han >= 0.3 * letters) & ~is_kana
    return pl.when(is_chinese).then(pl.lit("zh")).otherwise(pl.lit("en")).alias("language")
