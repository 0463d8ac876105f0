"""measure.reasoning: whether the thoughts in a response stand in proper tags, before an answer."""

from __future__ import annotations

import re

import polars as pl
from pydantic import Field, field_validator

from databuild.engine.step import step
from databuild.recipe.options import Column, Names, StepConfig
from databuild.text.faults import fault_list, known_faults

FAULTS = (
    "no_thinking", "unclosed", "unopened", "empty_thinking", "nested", "repeated", "text_before",
    "no_answer",
)  # fmt: skip


class ReasoningConfig(StepConfig):
    """Options of `measure.reasoning`."""

    column: Column = "response"
    """The text column to measure; the new columns begin with its name."""
    opens: str = Field(default="<think>", min_length=1)
    """The tag that begins the thoughts."""
    closes: str = Field(default="</think>", min_length=1)
    """The tag that ends them."""
    opened_by_prompt: bool = False
    """The prompt ends in the opening tag, so the response begins with thoughts."""
    required: bool = False
    """A response without any thoughts is at fault (`no_thinking`)."""
    ignore: Names = ()
    """Faults that are not looked for."""

    @field_validator("ignore")
    @classmethod
    def _must_exist(cls, ignore: tuple[str, ...]) -> tuple[str, ...]:
        return known_faults(ignore, FAULTS)


def _names(config: ReasoningConfig) -> tuple[str, ...]:
    facts = ("thinking_chars", "answer_chars", "reasoning_faults")
    return tuple(f"{config.column}_{fact}" for fact in facts)


@step("measure.reasoning", kind="measure", sees="row", version=1, adds=_names)
def measure_reasoning(rows: pl.DataFrame, config: ReasoningConfig) -> pl.DataFrame:
    """Measure the thoughts between the tags of a reasoning response, and faults of the tags.

    With `<c>` for the column: `<c>_thinking_chars` characters between the first opening tag and the
    closing tag after it (or the end), `<c>_answer_chars` characters after the last closing tag, or
    of the whole text without tags; both without white space at their ends.
    `<c>_reasoning_faults` is a list of

    - `no_thinking`: no tag at all, where `required`;
    - `unclosed`, `unopened`: one tag more of a kind than of the other;
    - `empty_thinking`: nothing visible between the tags; `no_answer`: nothing after them;
    - `nested`: an opening tag inside thoughts; `repeated`: a second block of thoughts;
    - `text_before`: visible text before the first opening tag.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `ReasoningConfig`.

    Returns:
        n rows with `row_id` and the three columns, in order.

    Example:
        >>> texts = ["<think>2 + 2</think> 4", "<think>2 +"]
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "response": texts})
        >>> measure_reasoning(rows, ReasoningConfig())["response_reasoning_faults"].to_list()
        [[], ['unclosed', 'no_answer']]
    """
    texts = _split(rows, config)
    inside = pl.col("inside").str.strip_chars()
    after = pl.when("has_tags").then(pl.col("after").fill_null("")).otherwise("text")
    answer = after.str.strip_chars()
    opens, closes = re.escape(config.opens), re.escape(config.closes)
    n_opens, n_closes, has_tags = pl.col("n_opens"), pl.col("n_closes"), pl.col("has_tags")
    checks = {
        "no_thinking": ~has_tags & pl.lit(config.required),
        "unclosed": n_opens > n_closes,
        "unopened": n_closes > n_opens,
        "empty_thinking": inside == "",
        "nested": inside.str.contains(config.opens, literal=True),
        "repeated": (pl.min_horizontal("n_opens", "n_closes") > 1)
        & pl.col("text").str.contains(rf"(?s){closes}.*{opens}"),
        "text_before": pl.col("before").str.contains(r"\S") & (n_opens > 0),
        "no_answer": has_tags & (answer == ""),
    }
    facts = (
        inside.str.len_chars().fill_null(0).cast(pl.Int64),
        answer.str.len_chars().cast(pl.Int64),
        fault_list(checks, config.ignore),
    )
    named = (fact.alias(name) for fact, name in zip(facts, _names(config), strict=True))
    return texts.select("row_id", *named)


def _split(rows: pl.DataFrame, config: ReasoningConfig) -> pl.DataFrame:
    text = pl.col(config.column).fill_null("")
    if config.opened_by_prompt:
        text = pl.concat_str(pl.lit(config.opens), text)
    opens, closes = re.escape(config.opens), re.escape(config.closes)
    return rows.select(
        "row_id", text=text,
        n_opens=text.str.count_matches(config.opens, literal=True),
        n_closes=text.str.count_matches(config.closes, literal=True),
    ).with_columns(
        has_tags=(pl.col("n_opens") + pl.col("n_closes")) > 0,
        before=pl.col("text").str.extract(rf"(?s)^(.*?)(?:{opens}|{closes})", 1),
        inside=pl.col("text").str.extract(rf"(?s){opens}(.*?)(?:{closes}|\z)", 1),
        after=pl.col("text").str.extract(rf"(?s)^.*{closes}(.*)$", 1),
    )  # fmt: skip
