"""measure.language: in which language a text is, or that it is code or a mixture."""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import Field

from databuild.engine.step import step
from databuild.models.language import identify_languages
from databuild.recipe.options import Column, StepConfig
from databuild.text.characters import SCRIPTS, script_counts
from databuild.text.code import FENCED, code_ratio

_FACTS = ("language", "language_confidence", "script", "code_ratio")
# Scripts that one language has to itself, or nearly so. Han and Kana are settled together.
_LANGUAGE_OF = {
    "Han": "zh", "Kana": "ja", "Hangul": "ko", "Thai": "th", "Greek": "el", "Hebrew": "he",
    "Armenian": "hy", "Georgian": "ka", "Gurmukhi": "pa", "Gujarati": "gu", "Tamil": "ta",
    "Telugu": "te", "Kannada": "kn", "Malayalam": "ml", "Sinhala": "si", "Lao": "lo",
    "Tibetan": "bo", "Myanmar": "my", "Khmer": "km",
}  # fmt: skip
# Of Chinese and Japanese characters together, this share of kana makes a text Japanese.
_KANA_RATIO = 0.1
# One foreign name or unit in a short sentence is no mixture.
_MIXED_WORDS = 2
# Text with so many of English's smallest words needs no model. Of 7,282 sentences in 74 other
# languages three have as many (an English title in each); of the English ones six in ten.
_ENGLISH = (
    r"(?i)(?-u:\b)(?:the|and|of|is|that|with|this|are|by|from|have|has|which|to|be|you|your|can|it|"
    r"as|will|their|they|would|been|not|or|an|for)(?-u:\b)"
)
_ENGLISH_RATIO, _ENGLISH_WORDS = 0.25, 3


class LanguageConfig(StepConfig):
    """Options of `measure.language`."""

    column: Column = "prompt"
    """The text column to measure; the new columns begin with its name."""
    code_ratio: float = Field(default=0.5, ge=0, le=1)
    """From this share of code on, the language is `code`."""
    mixed_ratio: float = Field(default=0.3, gt=0, le=1)
    """From this share of words in other scripts than the most frequent one, it is `mixed`."""
    sample_chars: int = Field(default=200, ge=20)
    """How many characters, after fenced code is cut out, the model reads."""


def _names(config: LanguageConfig) -> tuple[str, ...]:
    return tuple(f"{config.column}_{fact}" for fact in _FACTS)


@step("measure.language", kind="measure", sees="row", version=1, adds=_names)
def measure_language(rows: pl.DataFrame, config: LanguageConfig) -> pl.DataFrame:
    """Name the language of a text column, with a confidence.

    With `<c>` for the column. `<c>_script` is the script with the most words (`text.characters`;
    Han and Kana are `Kana` together where a tenth of them is kana), null without letters.
    `<c>_code_ratio` is the share of code (`text.code`). `<c>_language` is the first of these that
    holds; `<c>_language_confidence` is from 0 to 1:

    - `code`: the code ratio reaches `code_ratio`, and is the confidence;
    - `und`: no letters; confidence 0;
    - `mixed`: other scripts than the first hold at least `mixed_ratio` of the words, and two words;
      the confidence is twice their share, at most 1. Languages of one script are not told apart;
    - `zh`, `ja`, `ko`, `th` ...: the script has only this language; the confidence is its share;
    - `en`: a quarter of the Latin words that would be read, and three, are among 29 small English
      words ("the", "of" ...); the confidence is the share of Latin, too;
    - else, for Latin, Cyrillic, Arabic, Devanagari, Bengali and Ethiopic, the guess of the offline
      model (`models.language`) and its probability. Below some 20 characters it is a guess indeed.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `LanguageConfig`.

    Returns:
        n rows with `row_id` and the four columns, in order.

    Raises:
        StepError: The extra `measure` is not installed.

    Cost:
        One call of a C library per row of the scripts that the model reads; see
        tests/bench/measures.json.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": ["请解释彩虹", "x = f(y)"]})
        >>> measure_language(rows, LanguageConfig())["prompt_language"].to_list()
        ['zh', 'code']
    """
    text = rows[config.column].cast(pl.String)
    counts = script_counts(text)
    han, kana = SCRIPTS.index("Han"), SCRIPTS.index("Kana")
    is_japanese = counts[:, kana] > _KANA_RATIO * (counts[:, han] + counts[:, kana])
    both = counts[:, han] + counts[:, kana]
    counts[:, kana] = np.where(is_japanese, both, 0)
    counts[:, han] = np.where(is_japanese, 0, both)
    words = counts.sum(axis=1)
    share = counts.max(axis=1) / np.maximum(words, 1)
    facts = rows.select("row_id").with_columns(
        script=pl.Series(np.array(SCRIPTS)[counts.argmax(axis=1)].tolist(), dtype=pl.String),
        share=pl.Series(share),
        others=pl.Series(words - counts.max(axis=1)),
        code_ratio=code_ratio(text),
        text=text.str.replace_all(FENCED, " ").str.slice(0, config.sample_chars),
    )
    facts = _with_language(facts, config)
    script = pl.when(pl.col("share") > 0).then("script")
    facts = facts.with_columns(script=script)
    return facts.select("row_id", *(pl.col(f).alias(f"{config.column}_{f}") for f in _FACTS))


def _with_language(facts: pl.DataFrame, config: LanguageConfig) -> pl.DataFrame:
    share, code = pl.col("share"), pl.col("code_ratio")
    small = pl.col("text").str.count_matches(_ENGLISH)
    words = pl.col("text").str.count_matches(r"\w+")
    is_english = (pl.col("script") == "Latin") & (
        small >= pl.max_horizontal(_ENGLISH_RATIO * words, _ENGLISH_WORDS)
    )
    by_script = pl.col("script").replace_strict(_LANGUAGE_OF, default=None)
    kind = (
        pl.when((code >= config.code_ratio) & (code > 0))
        .then(pl.struct(language=pl.lit("code"), confidence=code))
        .when(share == 0)
        .then(pl.struct(language=pl.lit("und"), confidence=pl.lit(0.0)))
        .when((1 - share >= config.mixed_ratio) & (pl.col("others") >= _MIXED_WORDS))
        .then(
            pl.struct(
                language=pl.lit("mixed"), confidence=pl.min_horizontal(2 * (1 - share), pl.lit(1.0))
            )
        )
        .when(is_english)
        .then(pl.struct(language=pl.lit("en"), confidence=share))
        .otherwise(pl.struct(language=by_script, confidence=share))
    )
    facts = facts.with_columns(kind=kind).unnest("kind").with_row_index("row")
    asked = facts.filter(pl.col("language").is_null())
    guesses = identify_languages(asked["text"]) if asked.height else []
    guessed = pl.DataFrame(guesses, schema=["language", "confidence"], orient="row")
    return facts.select(
        "row_id", "script", "share", "code_ratio",
        language=facts["language"].scatter(asked["row"], guessed["language"].cast(pl.String)),
        language_confidence=facts["confidence"].scatter(
            asked["row"], guessed["confidence"].cast(pl.Float64)
        ),
    )  # fmt: skip
