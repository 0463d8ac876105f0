"""measure.pair: faults of a preference pair."""

from __future__ import annotations

import polars as pl
from pydantic import Field, field_validator

from databuild.engine.step import step
from databuild.recipe.options import Column, Names, StepConfig
from databuild.text.faults import check_messages, fault_list, known_faults
from databuild.text.tokens import folded, tokens
from databuild.text.whitespace import collapsed

FAULTS = (
    "equal", "near_equal", "empty_chosen", "empty_rejected", "length", "different_prompts",
    "prompt_inside",
)  # fmt: skip
# A transcript in one text, as HH-RLHF has them: all up to the last turn is the prompt.
_CONTEXT = r"(?s)^(.*(?:^|\n\n)(?:Assistant|ASSISTANT|助手)[:：])"
_COMPARED_CHARS = 300


class PairConfig(StepConfig):
    """Options of `measure.pair`."""

    chosen: Column = "chosen"
    """The column with the better answer: a text, a transcript, or a list of messages."""
    rejected: Column = "rejected"
    """The column with the worse answer, of the same type."""
    prompt: Column | None = None
    """The text column with the prompt, if answers should be searched for it."""
    near_similarity: float = Field(default=0.95, gt=0, le=1)
    """From this similarity on, two answers that are not equal are `near_equal`."""
    max_length_ratio: float = Field(default=8.0, ge=1)
    """One answer more than this many times as long as the other is a fault (`length`)."""
    ignore: Names = ()
    """Faults that are not looked for."""

    @field_validator("ignore")
    @classmethod
    def _must_exist(cls, ignore: tuple[str, ...]) -> tuple[str, ...]:
        return known_faults(ignore, FAULTS)


def _names(config: PairConfig) -> tuple[str, ...]:
    facts = ("pair_similarity", "pair_length_ratio", "pair_faults")
    return tuple(f"{config.chosen}_{fact}" for fact in facts)


@step("measure.pair", kind="measure", sees="row", version=1, adds=_names)
def measure_pair(rows: pl.DataFrame, config: PairConfig) -> pl.DataFrame:
    """Compare the two answers of a preference pair.

    With `<c>` for the chosen column: `<c>_pair_similarity`, shared over all distinct tokens of the
    two answers (Jaccard), width and case folded, from 0 to 1, 1 for two empty ones;
    `<c>_pair_length_ratio`, characters of the chosen over those of the rejected answer, null where
    that is empty; `<c>_pair_faults` a list of

    - `equal`: the same but for case, width and white space; `near_equal`: similarity from
      `near_similarity` on, and not equal;
    - `empty_chosen`, `empty_rejected`: nothing visible;
    - `length`: one is more than `max_length_ratio` times as long as the other, and neither empty;
    - `different_prompts`: transcripts, or messages, that differ before the last turn;
    - `prompt_inside`: an answer begins with the prompt, of which 300 characters are compared.

    In a transcript (a text with "Assistant:" after a blank line) and in messages, the last turn is
    the answer.

    Args:
        rows: n rows with `row_id` and the columns that the options name.
        config: See `PairConfig`.

    Returns:
        n rows with `row_id` and the three columns, in order.

    Raises:
        SchemaError: A column of lists has no structs with the texts `role` and `content`.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "chosen": ["Rain."], "rejected": ["rain. "]})
        >>> measure_pair(rows, PairConfig())["chosen_pair_faults"].to_list()
        [['equal']]
    """
    prompt = pl.lit("") if config.prompt is None else pl.col(config.prompt).fill_null("")
    pairs = rows.select(
        "row_id", prompt=prompt,
        **_parts(rows, config.chosen, "chosen"), **_parts(rows, config.rejected, "rejected"),
    ).with_columns(
        one=collapsed(folded(pl.col("chosen"))), other=collapsed(folded(pl.col("rejected"))),
        chosen_chars=pl.col("chosen").str.strip_chars().str.len_chars(),
        rejected_chars=pl.col("rejected").str.strip_chars().str.len_chars(),
    )  # fmt: skip
    pairs = pairs.with_columns(similarity=_similarity(pl.col("one"), pl.col("other")))
    ratio = pl.when(pl.col("rejected_chars") > 0).then(
        pl.col("chosen_chars") / pl.col("rejected_chars")
    )
    facts = (pl.col("similarity"), ratio, fault_list(_checks(config), config.ignore))
    named = (fact.alias(name) for fact, name in zip(facts, _names(config), strict=True))
    return pairs.select("row_id", *named)


def _parts(rows: pl.DataFrame, column: str, name: str) -> dict[str, pl.Expr]:
    """The answer, and all that comes before it."""
    if isinstance(rows.schema[column], pl.List):
        check_messages(rows, column, "measure.pair")
        content = pl.col(column).list.eval(pl.element().struct.field("content").fill_null(""))
        before = content.list.head(pl.max_horizontal(content.list.len(), 1) - 1)
        answer = content.list.last().fill_null("")
        return {name: answer, f"{name}_before": before.list.join("\x1f").fill_null("")}
    text = pl.col(column).fill_null("")
    before = text.str.extract(_CONTEXT, 1).fill_null("")
    return {name: text.str.slice(before.str.len_chars()), f"{name}_before": before}


def _similarity(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    a, b = tokens(one).list.unique(), tokens(other).list.unique()
    either = a.list.set_union(b).list.len()
    return pl.when(either > 0).then(a.list.set_intersection(b).list.len() / either).otherwise(
        (one == other).cast(pl.Float64)
    )  # fmt: skip


def _checks(config: PairConfig) -> dict[str, pl.Expr]:
    one, other = pl.col("one"), pl.col("other")
    chosen, rejected = pl.col("chosen_chars"), pl.col("rejected_chars")
    visible = r"[^\s\p{C}]"
    asked = collapsed(folded(pl.col("prompt"))).str.head(_COMPARED_CHARS)
    longer, shorter = pl.max_horizontal(chosen, rejected), pl.min_horizontal(chosen, rejected)
    return {
        "equal": one == other,
        "near_equal": (one != other) & (pl.col("similarity") >= config.near_similarity),
        "empty_chosen": ~one.str.contains(visible),
        "empty_rejected": ~other.str.contains(visible),
        "length": (shorter > 0) & (longer > config.max_length_ratio * shorter),
        "different_prompts": collapsed(pl.col("chosen_before"))
        != collapsed(pl.col("rejected_before")),
        "prompt_inside": (asked.str.len_chars() >= 20)
        & (one.str.starts_with(asked) | other.str.starts_with(asked)),
    }
