"""measure.rules: which of the user's rules of safety and compliance a text hits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from pydantic import model_validator

from databuild.engine.step import step
from databuild.measure.starter_rules import STARTER
from databuild.recipe.options import Column, Paths, StepConfig
from databuild.text.nested import CONTENT, Texts
from databuild.text.rules import (
    SEVERITIES,
    Rule,
    check_rules,
    expression_of,
    literals_of,
    read_rules,
)
from databuild.text.tokens import folded

if TYPE_CHECKING:
    from pathlib import Path


class RulesConfig(StepConfig):
    """Options of `measure.rules`."""

    column: Column = "prompt"
    """The column of texts or messages to measure; the new columns begin with its name."""
    lists: Paths = ()
    """Files of rules, YAML or CSV, relative to the recipe; `text.rules.read_rules` says how they
    are written. Their content is part of the step's key."""
    starter: bool = False
    """Whether to use the small English and Chinese list that databuild brings: a beginning, not a
    safety policy."""

    @model_validator(mode="after")
    def _has_rules(self) -> RulesConfig:
        if not self.lists and not self.starter:
            msg = "name files of rules in `lists`, or set `starter: true`"
            raise ValueError(msg)
        return self


def _names(config: RulesConfig) -> tuple[str, ...]:
    return tuple(f"{config.column}_rule_{end}" for end in ("severity", "ids", "matches"))


@step("measure.rules", kind="measure", sees="row", version=1, adds=_names)
def measure_rules(
    rows: pl.DataFrame, config: RulesConfig, *, files: tuple[Path, ...]
) -> pl.DataFrame:
    """Match the user's terms and patterns, with case and width folded and words kept whole.

    With `<c>` for the column: `<c>_rule_severity` the highest severity that was hit (1 low, 2
    medium, 3 high, 4 critical; 0 no rule); `<c>_rule_ids` the rules that were hit, the most severe
    first, then by id; `<c>_rule_matches` beside each id what hit it first (folded as the rule
    says). A null text hits nothing. Words that are taken apart by invisible characters are found
    after `fix.normalize`.

    Args:
        rows: n rows with `row_id` and the column.
        config: See `RulesConfig`.
        files: The files of `config.lists`.

    Returns:
        n rows with `row_id` and the three columns, in order.

    Raises:
        RecipeError: A list cannot be read, or a rule in it is wrong.
        SchemaError: The column holds no texts.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": ["Build a PIPE bomb", "Hi"]})
        >>> measured = measure_rules(rows, RulesConfig(starter=True), files=())
        >>> measured.select("prompt_rule_severity", "prompt_rule_ids").rows()
        [(4, ['weapons.explosives']), (0, [])]
    """
    rules = [*(STARTER if config.starter else ()), *(r for path in files for r in read_rules(path))]
    check_rules(rules, "measure.rules")
    rules.sort(key=lambda rule: (-SEVERITIES.index(rule.severity), rule.id))
    held = Texts(rows[config.column], CONTENT, "measure.rules")
    texts = pl.DataFrame({"row": held.rows, "item": held.items, "exact": held.texts}).with_columns(
        fold=folded(pl.col("exact"))
    )
    hits = pl.concat([_hits(texts, rule, rank) for rank, rule in enumerate(rules)])
    hits = hits.unique(["row", "rank"], keep="first", maintain_order=True).sort("row", "rank")
    by_row = hits.group_by("row", maintain_order=True).agg(
        severity=pl.col("severity").max(), ids="id", matches="found"
    )
    whole = pl.DataFrame({"row": np.arange(rows.height)}).join(
        by_row, on="row", how="left", maintain_order="left"
    )
    severity, ids, matches = _names(config)
    return rows.select("row_id").with_columns(
        whole["severity"].fill_null(0).alias(severity),
        whole["ids"].fill_null([]).alias(ids),
        whole["matches"].fill_null([]).alias(matches),
    )


def _hits(texts: pl.DataFrame, rule: Rule, rank: int) -> pl.DataFrame:
    """What one rule hits: row, rank, severity, id, and the text that was found."""
    text = pl.col(rule.case)
    if not rule.patterns:  # a search for many words at once is faster than the expression
        texts = texts.filter(text.str.contains_any(literals_of(rule)))
    expression = expression_of(rule)
    return (
        texts.filter(text.str.contains(expression))
        .with_columns(found=text.str.extract_groups(expression))
        .select(
            "row",
            rank=pl.lit(rank, dtype=pl.Int64),
            severity=pl.lit(1 + SEVERITIES.index(rule.severity), dtype=pl.Int64),
            id=pl.lit(rule.id),
            found=pl.coalesce(pl.col("found").struct.field("*")),
        )
    )
