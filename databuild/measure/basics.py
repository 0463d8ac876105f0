"""measure.basics: how long a text is, and whether something is plainly wrong with it."""

from __future__ import annotations

import polars as pl

from databuild.engine.step import step
from databuild.recipe.options import Column, StepConfig
from databuild.text.tokens import folded, tokens, trigrams

# UTF-8 read as Windows-1252: a lead byte as letter, then one (Ã, Â) or two (â) continuation bytes
# as signs. What 1252 shows for 0x80 to 0x9F comes after the Latin-1 range.
_SIGN = r"[\x{80}-\x{BF}€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œ]"
_MOJIBAKE = rf"[ÃÂ]{_SIGN}|â{_SIGN}{{2}}|ï»¿|\x{{FFFD}}"
_FACTS = ("chars", "words", "non_ascii_ratio", "repetition_ratio", "is_blank", "is_mojibake")


class BasicsConfig(StepConfig):
    """Options of `measure.basics`."""

    column: Column = "prompt"
    """The text column to measure; the new columns begin with its name."""


def _names(config: BasicsConfig) -> tuple[str, ...]:
    return tuple(f"{config.column}_{fact}" for fact in _FACTS)


@step("measure.basics", kind="measure", sees="row", version=1, adds=_names)
def measure_basics(rows: pl.DataFrame, config: BasicsConfig) -> pl.DataFrame:
    """Measure length, script, repetition and damage of a text column.

    With `<c>` for the column: `<c>_chars` Unicode code points; `<c>_words` tokens (runs of word
    characters; one per character in scripts without spaces, see `text.tokens`);
    `<c>_non_ascii_ratio` share of code points above U+007F; `<c>_repetition_ratio` share of token
    3-grams, lower-cased, that repeat an earlier one of the same text; `<c>_is_blank` nothing but
    white space; `<c>_is_mojibake` has U+FFFD or a sequence that UTF-8 read as Windows-1252 leaves.
    A null text is measured like an empty one.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `BasicsConfig`.

    Returns:
        n rows with `row_id` and the six columns, in order.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": ["Say 你好", None]})
        >>> measure_basics(rows, BasicsConfig()).select("prompt_words", "prompt_is_blank").rows()
        [(3, False), (0, True)]
    """
    text = pl.col(config.column).fill_null("")
    chars = text.str.len_chars()
    non_ascii = text.str.count_matches(r"[^\x00-\x7F]")
    facts = rows.select(
        "row_id",
        chars.cast(pl.Int64).alias("chars"),
        tokens(folded(text)).alias("tokens"),
        pl.when(chars > 0).then(non_ascii / chars).otherwise(0.0).alias("non_ascii_ratio"),
        (~text.str.contains(r"\S")).alias("is_blank"),
        text.str.contains(_MOJIBAKE).alias("is_mojibake"),
    )
    facts = facts.with_columns(
        words=pl.col("tokens").list.len().cast(pl.Int64), repetition_ratio=_repetition(facts)
    )
    return facts.select("row_id", *(pl.col(f).alias(f"{config.column}_{f}") for f in _FACTS))


def _repetition(facts: pl.DataFrame) -> pl.Series:
    repeated = (
        trigrams(facts, "tokens")
        .group_by("row")
        .agg(ratio=1 - pl.col("gram").n_unique() / pl.len())
        .sort("row")
    )
    ratios = pl.repeat(0.0, facts.height, eager=True)
    return ratios.scatter(repeated["row"], repeated["ratio"])
