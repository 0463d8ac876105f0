"""reward.match: compare an answer with a text, a pattern or a JSON schema."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl
from pydantic import model_validator

from databuild.engine.step import step
from databuild.models.structure import against_schema, as_schema_text, check_form
from databuild.recipe.options import Column, StepConfig
from databuild.text.ifeval_rules import unfenced
from databuild.text.plain import plain_words

_FACTS: dict[str, Any] = {"pass": pl.Boolean, "score": pl.Float64, "reason": pl.String}
How = Literal["exact", "normalised", "contains", "regex", "json_schema"]


class MatchConfig(StepConfig):
    """Options of `reward.match`."""

    name: str = "match"
    """What the new columns begin with."""
    response: Column = "response"
    """The answer to check."""
    how: How = "normalised"
    """How the answer is compared; see `reward.match`."""
    against: Column | None = None
    """The column of what it is compared with: a text, or a list of texts of which one suffices."""
    value: str | None = None
    """What every answer is compared with, instead of a column."""
    json_schema: dict[str, Any] | None = None
    """The JSON schema (draft 2020-12) of every answer, instead of a column."""
    gold: Column | None = None
    """A column of answers that must pass; where one does not, the row has an error."""

    @model_validator(mode="after")
    def _is_one_comparison(self) -> MatchConfig:
        given = [name for name in ("against", "value", "json_schema") if getattr(self, name)]
        if len(given) != 1:
            msg = f"give one of `against`, `value` and `json_schema`, not {given or 'none'}"
            raise ValueError(msg)
        if self.json_schema is not None and self.how != "json_schema":
            msg = f"`json_schema` goes with `how: json_schema`, not {self.how!r}"
            raise ValueError(msg)
        if self.how == "json_schema" and self.against is None:
            check_form(json_schema=self.json_schema or self.value)
        if self.how == "regex" and self.value is not None and not _is_pattern(self.value):
            msg = f"`value` {self.value!r} is no regular expression"
            raise ValueError(msg)
        return self


def _names(config: MatchConfig) -> tuple[str, ...]:
    return tuple(f"{config.name}_{fact}" for fact in _FACTS)


@step("reward.match", kind="measure", sees="row", version=1, adds=_names)
def measure_match(rows: pl.DataFrame, config: MatchConfig) -> pl.DataFrame:
    """Say whether an answer matches what it is compared with.

    With `<n>` for `config.name`: `<n>_pass`, `<n>_score` (1 for a pass, else 0) and `<n>_reason`
    (what of a JSON schema it breaks). By `how`:

    - `exact`: equal, character by character;
    - `normalised`: equal after `text.plain.plain_words` (width, case, marks at the ends of words,
      articles and white space do not count);
    - `contains`: it occurs in the answer, after the same normalisation of both;
    - `regex`: it is found anywhere in the answer; the syntax is that of Rust's `regex`, which takes
      linear time and so knows neither look-around nor back references;
    - `json_schema`: the answer, without a code fence around it, is JSON that fits.

    Of a list of texts one must match; nulls in it are passed over.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `MatchConfig`.

    Returns:
        n rows, in order. A row has nulls and an `error` where its answer is null, there is nothing
        to compare it with (null, an empty list, or for the normalised ways a text without words),
        its pattern or schema is none, or its gold answer does not pass.

    Raises:
        RecipeError: `how` is `json_schema`, and the extra `generate` is not installed.

    Cost:
        Columnar, but for JSON schemas, which are a call per row (tests/bench/verifiers.json).

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a", "b"], "response": ["The Nile.", "The Rhine"],
        ...     "answer": [["Nile", "Nil"], ["Rhone"]],
        ... })
        >>> measure_match(rows, MatchConfig(against="answer"))["match_pass"].to_list()
        [True, False]
    """
    pairs = _pairs(rows, config)
    found = _verdicts(rows.get_column(config.response), pairs, config)
    if config.gold is not None:
        gold = _verdicts(rows.get_column(config.gold), pairs, config)
        trouble = (
            pl.when(gold["error"].is_not_null())
            .then(pl.lit("there is no gold answer"))
            .when(~gold["pass"])
            .then(pl.lit("the gold answer does not match"))
        )
        found = found.with_columns(error=pl.coalesce("error", trouble))
    is_fine = pl.col("error").is_null()
    found = found.with_columns(score=pl.col("pass").cast(pl.Float64))
    return pl.concat([rows.select("row_id"), found], how="horizontal").select(
        "row_id", *(pl.when(is_fine).then(fact).alias(f"{config.name}_{fact}") for fact in _FACTS),
        "error",
    )  # fmt: skip


def _pairs(rows: pl.DataFrame, config: MatchConfig) -> pl.DataFrame:
    """(row, wanted): what each row is compared with, once for each text; null where it is none."""
    number = pl.int_range(rows.height, dtype=pl.UInt32).alias("row")
    if config.against is None:
        schema = config.json_schema
        wanted = pl.lit(config.value if schema is None else as_schema_text(schema)).alias("wanted")
        return rows.select(number, wanted)
    pairs = rows.select(number, wanted=pl.col(config.against))
    if isinstance(rows.schema[config.against], pl.List):
        pairs = pairs.explode("wanted")
    return pairs.with_columns(pl.col("wanted").cast(pl.String)).drop_nulls("wanted")


def _verdicts(answers: pl.Series, pairs: pl.DataFrame, config: MatchConfig) -> pl.DataFrame:
    """(pass, reason, error) of each answer: it matches one of what it is compared with."""
    texts = answers.cast(pl.String).alias("said").to_frame().with_row_index("row")
    both = pairs.join(texts, on="row", how="inner", maintain_order="left")
    both = both.drop_nulls("said").with_columns(
        _schemas(both.drop_nulls("said"))
        if config.how == "json_schema"
        else pl.struct(hit=_hits(config.how), reason=pl.lit(None, dtype=pl.String)).alias("found")
    )
    by_row = (
        both.unnest("found")
        .filter(pl.col("hit").is_not_null())
        .group_by("row", maintain_order=True)
        .agg(pl.col("hit").any().alias("pass"), reason=pl.col("reason").first())
    )
    error = (
        pl.when(pl.col("said").is_null())
        .then(pl.lit("there is no answer"))
        .when(pl.col("pass").is_null())
        .then(pl.lit(_UNREADABLE.get(config.how, "there is nothing to compare it with")))
    )
    reason = pl.when(~pl.col("pass")).then("reason")
    return texts.join(by_row, on="row", how="left", maintain_order="left").select(
        "pass", reason=reason, error=error
    )


_UNREADABLE = {
    "regex": "there is no regular expression to compare it with",
    "json_schema": "there is no JSON schema to compare it with",
}


def _hits(how: How) -> pl.Expr:
    said, wanted = pl.col("said"), pl.col("wanted")
    if how == "exact":
        return said == wanted
    if how == "regex":
        return said.str.contains(wanted, strict=False)
    said, wanted = plain_words(said), plain_words(wanted)
    hit = said == wanted if how == "normalised" else said.str.contains(wanted, literal=True)
    return pl.when(wanted != "").then(hit)


def _schemas(both: pl.DataFrame) -> pl.Series:
    """Whether each answer fits its schema, and what it breaks; null where that is no schema."""
    is_schema = {schema: _is_schema(schema) for schema in both["wanted"].unique()}
    found = []
    for schema, said in both.select("wanted", "said").iter_rows():
        trouble = against_schema(schema, unfenced(said)) if is_schema[schema] else None
        found.append({"hit": trouble is None if is_schema[schema] else None, "reason": trouble})
    dtype = pl.Struct({"hit": pl.Boolean, "reason": pl.String})
    return pl.Series("found", found, dtype=dtype)


def _is_schema(schema: str) -> bool:
    try:
        check_form(json_schema=schema)
    except ValueError:
        return False
    return True


def _is_pattern(pattern: str) -> bool:
    return pl.Series([""]).str.contains(pattern, strict=False).item() is not None
