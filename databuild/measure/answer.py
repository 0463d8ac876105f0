"""measure.answer: whether a response is one, whole, and fits what its prompt asks for."""

from __future__ import annotations

import polars as pl
from pydantic import Field, field_validator

from databuild.engine.step import step
from databuild.recipe.options import Column, Names, StepConfig
from databuild.text import asking, demands, endings
from databuild.text.code import code_ratio, ends_in_code
from databuild.text.faults import fault_list, known_faults
from databuild.text.tokens import tokens
from databuild.text.whitespace import collapsed

FAULTS = (
    "empty", "placeholder", "label", "refusal", "ai_talk", "boilerplate", "claims_deed", "cut",
    "open_fence", "open_bracket", "open_quote", "copies_prompt", "no_code", "unworked",
    "describes_only", "too_short", "wrong_length", "misses_words", "same_as_input",
    "longer_summary", "wrong_language", "invented_figure",
)  # fmt: skip
# Shorter prompts are answered by repeating them ("Define rain": "Rain ...").
_COPIED_CHARS = 20
# Of longer ones the beginning is compared.
_COMPARED_CHARS = 300
_EXPLAINED_WORDS = 8
_MOSTLY_CODE = 0.5


class AnswerConfig(StepConfig):
    """Options of `measure.answer`."""

    response: Column = "response"
    """The column with the answer; the new columns begin with its name."""
    prompt: Column | None = "prompt"
    """The column with the task; null leaves out what compares the two."""
    input: Column | None = None
    """The column with the material of the task, where it is a column of its own."""
    worked_words: int = Field(default=20, ge=1)
    """A calculation that is answered in at most so many words, with one equation at most, is
    unworked."""
    long_words: int = Field(default=30, ge=1)
    """An essay, story, report ... of fewer words is too short."""
    ignore: Names = ()
    """Faults that are not looked for."""

    @field_validator("ignore")
    @classmethod
    def _must_exist(cls, ignore: tuple[str, ...]) -> tuple[str, ...]:
        return known_faults(ignore, FAULTS)


def _names(config: AnswerConfig) -> tuple[str, ...]:
    facts = ("is_refusal", "is_ai_talk", "is_cut", "copy_ratio", "faults")
    return tuple(f"{config.response}_{fact}" for fact in facts)


@step("measure.answer", kind="measure", sees="row", version=2, adds=_names)
def measure_answer(rows: pl.DataFrame, config: AnswerConfig) -> pl.DataFrame:
    """Find answers that are none, that stop in mid-flight or that miss what was asked.

    With `<c>` for the response column: `<c>_is_refusal`, `<c>_is_ai_talk`, `<c>_is_cut`
    (`text.endings`); `<c>_copy_ratio`, the share of its distinct tokens, lower-cased, that
    the prompt (and input) has too, from 0 to 1; `<c>_faults` a list of

    - `empty`: no visible character; `placeholder`: "N/A", "<nooutput>", "..."; `label`: begins
      with "Output:"; `refusal`; `ai_talk`; `boilerplate` of a web page; `claims_deed`: "I have
      booked ...";
    - `cut` (not where half of the text is code), `open_fence`, `open_bracket`, `open_quote`: it
      stops before its end;
    - `copies_prompt`: begins with the whole prompt or its first line, if that has 20 characters,
      case and white space aside; of a longer one 300 characters are compared;
    - `no_code`: the prompt asks for code, and there is none;
    - `unworked`: the prompt asks to work out a number, and the answer is at most `worked_words`
      words with at most one equation, so without steps: there is little to learn from it, and in
      instruction sets made by models it is often wrong;
    - `describes_only`: the prompt asks to make something, and the answer says what it should be
      like ("The page should have a header ...");
    - `too_short`: the prompt asks for an essay, story, report ..., and the answer has fewer than
      `long_words` words; or it begins by asking to explain, describe, discuss ..., and the answer
      has fewer than 8;
    - `wrong_length`, `misses_words`: the prompt says how long the answer should be, or which words
      it should hold, and it is not, or does not;
    - `same_as_input`: what was to be rewritten, corrected or translated comes back as it was;
    - `longer_summary`: a summary that is longer than its text by a fifth;
    - `wrong_language`: another script than was asked for or asked in;
    - `invented_figure`: a score, price or probability for material without a number, and without a
      scale to give it on (the last six: `text.demands`).

    The phrases are English and Chinese. Quotation and role-play can hold them rightly: measure,
    look, then select.

    Args:
        rows: n rows with `row_id` and the columns that the options name.
        config: See `AnswerConfig`.

    Returns:
        n rows with `row_id` and the five columns, in order.

    Example:
        >>> answers = ["I'm sorry, but I cannot do that.", "Rain falls."]
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": "Why?", "response": answers})
        >>> measure_answer(rows, AnswerConfig())["response_faults"].to_list()
        [['refusal'], []]
    """
    texts = _texts(rows, config)
    texts = texts.with_columns(
        code_ratio=code_ratio(texts["text"]), copy_ratio=_copy_ratio(pl.col("own"))
    )
    texts = _with_demands(_with_copies(texts))
    faults = fault_list(_checks(config), config.ignore)
    facts = ("is_refusal", "is_ai_talk", "is_cut", "copy_ratio", faults.alias("faults"))
    found = texts.select("row_id", *facts)
    return found.rename(dict(zip(found.columns[1:], _names(config), strict=True)))


def _texts(rows: pl.DataFrame, config: AnswerConfig) -> pl.DataFrame:
    text = pl.col(config.response).fill_null("")
    prompt = pl.lit("") if config.prompt is None else pl.col(config.prompt).fill_null("")
    extra = pl.lit("") if config.input is None else pl.col(config.input).fill_null("")
    parts = prompt.str.strip_chars().str.splitn("\n", 2)
    material = pl.concat_str(
        parts.struct.field("field_1"), extra, separator="\n", ignore_nulls=True
    )
    return rows.select(
        "row_id", text=text, lower=text.str.to_lowercase(), prompt=prompt,
        task=asking.lowered(parts.struct.field("field_0")), material=asking.lowered(material),
        asked=parts.struct.field("field_0").fill_null(""), given=material.fill_null(""),
    ).with_columns(
        is_refusal=endings.is_refusal(pl.col("lower")),
        is_ai_talk=endings.is_ai_talk(pl.col("lower")),
        is_cut=endings.is_cut(pl.col("text")),
        own=tokens(pl.col("lower")),
    )  # fmt: skip


def _copy_ratio(own: pl.Expr) -> pl.Expr:
    distinct = own.list.unique()
    asked = tokens(pl.concat_str("task", "material", separator=" "))
    shared = distinct.list.set_intersection(asked).list.len()
    return pl.when(distinct.list.len() > 0).then(shared / distinct.list.len()).otherwise(0.0)


def _checks(config: AnswerConfig) -> dict[str, pl.Expr]:
    text, lower, task = pl.col("text"), pl.col("lower"), pl.col("task")
    is_empty = ~text.str.contains(r"[^\s\p{C}]")
    has_code = (pl.col("code_ratio") > 0) | text.str.contains(r"[`\\^{}<>=]|\w\(|(?:GET|POST) /")
    is_bare = (
        (pl.col("own").list.len() <= config.worked_words)
        & (text.str.count_matches("[=≈]") <= 1)
        & text.str.contains(r"\d")
    )
    wants_number = asking.asks_for_calculation(task, pl.col("material"))
    checks = {
        "empty": is_empty,
        "placeholder": endings.is_placeholder(text),
        "label": endings.has_label(text),
        "refusal": pl.col("is_refusal"),
        "ai_talk": pl.col("is_ai_talk"),
        "boilerplate": endings.is_boilerplate(lower) & (pl.col("code_ratio") == 0),
        "claims_deed": endings.claims_deed(text),
        "cut": pl.col("is_cut") & (pl.col("code_ratio") < _MOSTLY_CODE),
        "open_fence": ends_in_code(text),
        "open_bracket": endings.has_open_bracket(text),
        "open_quote": endings.has_open_quote(text),
    }
    if config.prompt is not None:
        checks["copies_prompt"] = pl.col("copies")
        checks["no_code"] = asking.asks_for_code(task) & ~has_code & ~is_empty
        checks["unworked"] = wants_number & is_bare
        checks["describes_only"] = asking.asks_to_make(task) & endings.describes(lower)
        n_words = pl.col("own").list.len()
        is_short = asking.asks_for_long_text(task) & (n_words < config.long_words)
        is_short |= demands.asks_to_explain(task) & (n_words < _EXPLAINED_WORDS)
        checks["too_short"] = is_short & ~is_empty
        checks |= {name: pl.col(name) for name in FAULTS[FAULTS.index("wrong_length") :]}
    return checks


def _with_copies(texts: pl.DataFrame) -> pl.DataFrame:
    """Compare prompt and response where their first letters agree, which is cheap to see."""
    text, prompt = (pl.col(name).str.head(_COMPARED_CHARS * 2) for name in ("text", "prompt"))
    same = [one.str.strip_chars_start().str.head(4).str.to_lowercase() for one in (text, prompt)]
    alike = texts.with_row_index("row").filter((same[0] == same[1]) & (pl.col("prompt") != ""))
    answer = collapsed(text.str.to_lowercase())
    found = alike.select(
        "row",
        copies=pl.any_horizontal(
            (asked.str.len_chars() >= _COPIED_CHARS)
            & answer.str.starts_with(asked.str.head(_COMPARED_CHARS))
            for asked in (collapsed(prompt.str.to_lowercase()), pl.col("task").str.strip_chars())
        ),
    )
    return texts.with_columns(copies=_placed(texts.height, found["row"], found["copies"]))


def _with_demands(texts: pl.DataFrame) -> pl.DataFrame:
    """Compare prompt and response where the prompt demands something that can be checked."""
    task, material, text = pl.col("task"), pl.col("material"), pl.col("text")
    checks = {
        "wrong_length": demands.has_wrong_length(task, text),
        "same_as_input": demands.is_unchanged(pl.col("asked"), pl.col("given"), text),
        "longer_summary": demands.is_longer_summary(task, material, text),
        "wrong_language": demands.is_in_wrong_language(task, material, text),
        "invented_figure": demands.is_invented_figure(task, material, text),
    }
    is_said = text.str.contains(r"[^\s\p{C}]") & (pl.col("code_ratio") < _MOSTLY_CODE)
    gates = texts.select(
        (gate & is_said & (task != "")).alias(name)
        for name, gate in demands.demanding(task, text).items()
    ).with_row_index("row")
    flags = {}
    for name in gates.columns[1:]:
        rows = gates.filter(pl.col(name))["row"]
        part = texts[rows]
        if name in checks:
            found = part.select(checks[name].alias("found")).to_series()
        else:
            columns = (part["task"], part["material"], part["text"])
            missed = [bool(demands.missing_words(*one)) for one in zip(*columns, strict=True)]
            found = pl.Series(missed, dtype=pl.Boolean)
        flags[name] = _placed(texts.height, rows, found)
    return texts.with_columns(**flags)


def _placed(height: int, rows: pl.Series, flags: pl.Series) -> pl.Series:
    """Flags of some rows as a column of all: false elsewhere."""
    return pl.zeros(height, dtype=pl.Boolean, eager=True).scatter(rows, flags)
