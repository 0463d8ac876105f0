"""generate.from_documents: questions that a passage answers, with the quote that proves it.

Writing examples from a passage and filtering them by faithfulness follows Genie (arXiv:2401.14367,
sections 2.2 and 2.3). The check here needs no model: the quote that the model gives must stand in
the passage, and the answer's words and numbers must; see `from_documents_checks.ground`.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Produced, step
from databuild.errors import SchemaError
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
from databuild.generate.from_documents_answers import Draft, read_drafts, read_question
from databuild.generate.from_documents_checks import (
    Grounds,
    ground,
    refers_to_passage,
    sentences_to_ask_about,
    support_of,
)
from databuild.generate.related import RELATED
from databuild.models.templates import Prompts
from databuild.recipe.options import Column
from databuild.schema.identity import derive_seed
from databuild.text.quotes import fold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from databuild.models.protocol import Answer, Message, Sampling
    from databuild.models.templates import Template

_KNOWN = ("passage", "title", "headings", "related", "pairs")
_PROMPTS = Prompts(
    Path(__file__).parent / "prompts" / "from_documents",
    {"labels": _KNOWN, "json": _KNOWN, "question": (*_KNOWN, "sentence")},
)
_ADDED: dict[str, Any] = {
    **ATTRIBUTES,
    "prompt_name": pl.String,
    "prompt_digest": pl.String,
    "pair_index": pl.Int64,
    "quote": pl.String,
    "quote_start": pl.Int64,
    "quote_end": pl.Int64,
    "quote_match": pl.Float64,
    "answer_support": pl.Float64,
    "refers_to_passage": pl.Boolean,
    "context_ids": pl.List(pl.String),
}
_ROWS: dict[str, Any] = {
    "parent_ids": pl.List(pl.String),
    "prompt": pl.String,
    "response": pl.String,
    "context": pl.String,
    **_ADDED,
}
_FAILED: dict[str, Any] = {
    "parent_ids": pl.List(pl.String),
    "k": pl.Int64,
    "error": pl.String,
    "retry": pl.Boolean,
    "prompt": pl.String,
    "response": pl.String,
    "quote": pl.String,
}
_WHERE = ("chunk_start", "chunk_headings", "title")
_QUESTION = {
    "en": r"(What|Who|Whose|When|Where|Which|Why|How) [A-Za-z0-9][A-Za-z0-9 ,'°-]{8,120}\?",
    "zh": r"[^\s？?。！，、：；<>][^\n？?。！：；<>]{4,40}？",
}
"""What a question looks like, for guided decoding."""


class FromDocumentsConfig(PromptedConfig):
    """Options of `generate.from_documents`."""

    column: Column = "text"
    """The column of passages: chunks (see `generate.chunk`), or documents that are short."""
    related: Column | None = None
    """A column of related passages (see `generate.related`) that the model sees besides. They may
    support an answer; the quote must stand in the passage itself."""
    k: int = Field(default=1, ge=1)
    """Requests per passage; with `ask_for: question` at most one for each of its sentences."""
    pairs: int = Field(default=1, ge=1)
    """Questions that one request asks for; what comes beyond them is taken, too. A small model
    writes one at a time better, a large one saves tokens with more."""
    ask_for: Literal["labels", "json", "question"] = "labels"
    """The prompt: for question, answer and quote as lines that begin with labels or as JSON (they
    are read either way, whatever was asked for), or for the question alone. Then a sentence that is
    drawn from the passage is the answer and the quote: a small model that cannot quote can still
    ask."""
    only_question: bool = False
    """With `ask_for: question`, guided decoding lets the model write one question and nothing else:
    for a small model that would rather answer. An endpoint must know regular expressions."""
    min_match: float = Field(default=0.9, ge=0, le=1)
    """How alike the quote and its place in the passage must be; 1 is word for word, but for white
    space, kinds of quotation marks and dashes, case and bold type. See `text.quotes.find_quote`."""
    min_support: float = Field(default=0.6, ge=0, le=1)
    """The share of the answer's content words that must stand in the passage, the related ones, or
    the question. Its numbers must all stand there."""
    min_relevance: float = Field(default=0.5, ge=0, le=1)
    """The share of the question's content words that must stand in the passage, the related ones,
    the titles above it, or the answer."""
    include_context: bool = False
    """The new prompt is the context, a blank line and the question, instead of the question."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.only_question and self.ask_for != "question":
            msg = "only_question leaves no room for an answer: set ask_for to question"
            raise ValueError(msg)
        return self


@step(
    "generate.from_documents",
    kind="produce",
    sees="row",
    version=2,
    also=_WHERE,
    adds=("prompt", "response", "context", *_ADDED),
    attributes=tuple(_ADDED),
    carries=True,
    brings=lambda config: _PROMPTS.shipped(config.prompts),
    checks=lambda _config, files: _PROMPTS.check(files),
)
def write_questions(
    rows: pl.DataFrame,
    config: FromDocumentsConfig,
    *,
    generator: Ask,
    seed: int,
    models: Mapping[str, str],
    files: Sequence[Path] = (),
) -> Produced:
    r"""Ask the model for questions that each passage answers, and keep those that it proves.

    Args:
        rows: n rows with `row_id` and `config.column: str`. With `chunk_start`, spans are those of
            the document that the chunk was cut from, else of the text. `title` and
            `chunk_headings`, where they are there, are told to the model.
        config: See `FromDocumentsConfig`.
        generator: Answers requests.
        seed: The step's seed; a draw's is derived from it, row_id and k.
        models: The identity of the model, under "model".
        files: The user's own prompts.

    Returns:
        A row for each question with grounds: `prompt` (the question), `response` (the answer),
        `context` (the passage, after it the related ones). Its parent is the passage's row.
        Attributes say how it was drawn; `origin` is "from_documents". `pair_index` is its place in
        the model's answer, whose tokens stand at its first row and are null at others.
        `quote` is what stands in the document at `quote_start` to `quote_end`, `quote_match`
        (0 to 1) how alike the model's quote was, `answer_support` (0 to 1) the share of the
        answer's words found. `refers_to_passage` says that the question speaks of the passage;
        `context_ids` names the related rows that were shown.

        `failed` has every question without grounds, with `prompt`, `response` and `quote`; every
        request without an answer, or without any question in it; and every blank passage. A
        question that was asked of a passage before (after folding) fails as well.

    Raises:
        SchemaError: A column has the wrong type.

    Example:
        >>> from databuild.models.protocol import Answer
        >>> said = "Question: How old is the mill?\nAnswer: Ten years.\nQuote: It is ten years old."
        >>> rows = pl.DataFrame({"row_id": ["a"], "text": ["A mill. It is ten years old."]})
        >>> ask = lambda requests: {r.id: Answer(r.id, said, "stop") for r in requests}
        >>> config = FromDocumentsConfig(model="start", k=1)
        >>> made = write_questions(rows, config, generator=ask, seed=7, models={"model": "tiny@1"})
        >>> made.rows.select("response", "quote_start").rows()
        [('Ten years.', 8)]
    """
    _check_types(rows, config)
    prompts = _PROMPTS.read(files)
    failures = Failures()
    wanted = _wanted(rows, config, prompts, seed, failures)
    made, refused = list[dict[str, Any]](), list[dict[str, Any]]()
    seen: set[tuple[str, str]] = set()
    for one, answer in answers_to(wanted, generator, failures):
        kept, lost = _checked(one, answer, config, seen)
        made += _rows(one, answer, models["model"], kept)
        refused += ({"parent_ids": [one.row_id], "k": one.k, "retry": False} | row for row in lost)
    failed = [failures.frame(), pl.DataFrame(refused, schema=_FAILED)]
    return Produced(rows=pl.DataFrame(made, schema=_ROWS), failed=pl.concat(failed, how="diagonal"))


def _rows(
    one: Wanted, answer: Answer, model: str, kept: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The rows of one answer; its tokens stand at the first of them."""
    about: _About = one.about
    common = drawn(one, answer, model, "from_documents") | {
        "parent_ids": [one.row_id],
        "prompt_name": about.template.name,
        "prompt_digest": about.template.digest,
    }
    for row in kept:
        tokens = {} if row is kept[0] else {"prompt_tokens": None, "completion_tokens": None}
        yield common | row | tokens


class _About:
    """What must be known of a passage when its answer comes."""

    def __init__(self, row: Mapping[str, Any], config: FromDocumentsConfig) -> None:
        self.passage: str = row[config.column]
        self.start: int = row.get("chunk_start") or 0
        related: list[Any] = row[config.related] or [] if config.related else []
        self.related = [one["text"] for one in related]
        self.ids = [one["row_id"] for one in related]
        self.titles = [one for one in row.get("chunk_headings") or [] if one]
        title = row.get("title") or ""
        self.title = "" if title in self.titles else title
        self.template: Template
        self.sentence = ""
        """The sentence that was given to the model, where only the question was asked for."""

    def asked(self, template: Template, sentence: str) -> _About:
        """The same passage with a prompt, and the sentence to ask about."""
        one = copy(self)
        one.template, one.sentence = template, sentence
        return one

    def messages(self, pairs: int) -> tuple[Message, ...]:
        values = {"sentence": self.sentence} if self.sentence else {}
        return self.template.messages(
            passage=self.passage.strip(), title=self.title, headings=" > ".join(self.titles),
            related=self.related, pairs=pairs, **values,
        )  # fmt: skip

    @property
    def context(self) -> str:
        return "\n\n".join([self.passage, *self.related])


def _check_types(rows: pl.DataFrame, config: FromDocumentsConfig) -> None:
    known: dict[str, Any] = {config.column: pl.String}
    if config.related is not None:
        known[config.related] = RELATED
    for name, kind in known.items():
        if rows.schema[name] not in {kind, pl.Null}:
            what = f"the column {name!r} is {rows.schema[name]}, not {kind}"
            raise SchemaError("generate.from_documents", what, fix="name another column")


def _wanted(
    rows: pl.DataFrame,
    config: FromDocumentsConfig,
    prompts: Mapping[tuple[str, str], Template],
    seed: int,
    failures: Failures,
) -> list[Wanted]:
    """The k requests of every passage; a blank one is a failure."""
    wanted: list[Wanted] = []
    sampling = {language: _sampling(config, language) for language in _QUESTION}
    there = [name for name in _WHERE if name in rows.columns]
    texts = [config.column] if config.related is None else [config.column, config.related]
    told = rows.select("row_id", asked_in(config.language, [config.column]), *texts, *there)
    for row in told.unique("row_id", keep="first", maintain_order=True).iter_rows(named=True):
        passage = row[config.column]
        if not (passage or "").strip():
            failures.add(row["row_id"], None, "the passage is blank", retry=False)
            continue
        about = _About(row, config)
        template = prompts[config.ask_for, row["language"]]
        given = [""] * config.k
        if config.ask_for == "question":
            given = sentences_to_ask_about(passage, config.k, derive_seed(seed, row["row_id"]))
        if not given:
            failures.add(row["row_id"], None, "no sentence to ask about", retry=False)
        for k, sentence in enumerate(given):
            one = about.asked(template, sentence)
            messages = one.messages(config.pairs)
            drawing = sampling[row["language"]]
            wanted.append(want(row["row_id"], k, messages, drawing, seed, about=one))
    return wanted


def _sampling(config: FromDocumentsConfig, language: str) -> Sampling:
    form = _QUESTION[language] if config.only_question else None
    return config.sampling().model_copy(update={"regex": form})


def _checked(
    one: Wanted, answer: Answer, config: FromDocumentsConfig, seen: set[tuple[str, str]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The questions of one answer that have grounds, and the others with their errors."""
    about: _About = one.about
    text = answer.text or ""
    drafts = read_drafts(text)
    if about.sentence:
        question = drafts[0].question if drafts else read_question(text)
        drafts = [Draft(question, about.sentence, about.sentence)] if question else []
    if not drafts:
        told = " ".join(text.split())[:80]
        what = "no question" if about.sentence else "no question with an answer"
        return [], [{"error": f"{what}: {told}", "response": text}]
    kept: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    for index, draft in enumerate(drafts):
        is_cut = answer.finish_reason == "length" and index == len(drafts) - 1 and not draft.quote
        key = (one.row_id, fold(draft.question).text)
        grounds = _grounds(draft, about, config, is_cut=is_cut, is_known=key in seen)
        if isinstance(grounds, str):
            said = {"prompt": draft.question, "response": draft.answer, "quote": draft.quote}
            lost.append({"error": grounds, **said})
            continue
        seen.add(key)
        kept.append(_row(draft, grounds, about, config) | {"pair_index": index})
    return kept, lost


def _grounds(
    draft: Draft, about: _About, config: FromDocumentsConfig, *, is_cut: bool, is_known: bool
) -> Grounds | str:
    if is_cut:
        return "the answer was cut at max_tokens"
    if is_known:
        return "the question was asked of this passage before"
    known = (about.passage, *about.related, about.title, *about.titles, draft.answer)
    relevance = support_of(draft.question, known)
    if relevance < config.min_relevance:
        return f"the question is about something else: {relevance:.2f} of its words stand there"
    return ground(
        draft,
        about.passage,
        about.related,
        least_match=config.min_match,
        least_support=config.min_support,
    )


def _row(
    draft: Draft, grounds: Grounds, about: _About, config: FromDocumentsConfig
) -> dict[str, Any]:
    context = about.context
    question = f"{context}\n\n{draft.question}" if config.include_context else draft.question
    return {
        "prompt": question,
        "response": draft.answer,
        "context": context,
        "quote": about.passage[grounds.start : grounds.end],
        "quote_start": about.start + grounds.start,
        "quote_end": about.start + grounds.end,
        "quote_match": grounds.match,
        "answer_support": grounds.support,
        "refers_to_passage": refers_to_passage(draft.question),
        "context_ids": about.ids,
    }
