"""fix.edit: rewrite answers by rule so that they meet their constraints."""

from __future__ import annotations

from typing import Any

import polars as pl
from pydantic import Field

from databuild.engine.step import Produced, step
from databuild.fix.talks import with_answers
from databuild.recipe.options import Column, StepConfig
from databuild.text.constraints import judge
from databuild.text.conversations import has_conversations
from databuild.text.edits import edit


class EditConfig(StepConfig):
    """Options of `fix.edit`."""

    max_per_prompt: int = Field(default=1, ge=0)
    """Edited answers made per prompt; 0 makes none."""
    prompt: Column = "prompt"
    """Answers with the same text here belong together."""
    response: Column = "response"
    """The answer to rewrite."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one: what its last turn answers becomes the
    edited answer. Null (`~`) leaves it as it is."""
    constraints: Column = "constraints"
    """What it must meet: a list of `{kind, value}`; see `text.constraints`."""
    about: Column = "about"
    """Stems of words of which one must occur in the answer."""
    topic: Column | None = "topic"
    """What the prompt is about, for titles and JSON keys that ask for it; null (`~`) if not
    known."""
    finish_reason: Column = "finish_reason"
    """Why the answer ended; an edited answer has ended by itself ("stop")."""


@step(
    "fix.edit",
    kind="produce",
    sees="group",
    version=2,
    also=lambda config: () if config.messages is None else (config.messages,),
    adds=lambda config: (config.response, config.finish_reason, "origin"),
    group=lambda config: (config.prompt,),
    attributes=("finish_reason", "origin"),
    carries=True,
)
def edit_answers(rows: pl.DataFrame, config: EditConfig) -> Produced:
    """Make an edited child of answers that break a constraint or a floor, where a rule can.

    The rules are `text.edits.edit`'s. The answers of a prompt are visited in the order of row_id
    until `max_per_prompt` different edited texts are made.

    Args:
        rows: The answers of one or more prompts, with `row_id` and the columns that `config` names.
        config: See `EditConfig`.

    Returns:
        Edited answers: one parent each, `origin` "edited", finish reason "stop". Every other row is
        in `dropped` ("edits are off", "already passes", "no rule can mend it", "same edit as
        another", "enough edits of this prompt") or in `failed` with an error (no answer, or a
        constraint that nobody knows).

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a"], "prompt": ["p"], "about": [["tomato"]], "topic": ["tomatoes"],
        ...     "response": ["Tomatoes like a lot of warm sun."], "finish_reason": ["stop"],
        ...     "constraints": [[{"kind": "lowercase", "value": ""}]],
        ... })
        >>> edit_answers(rows, EditConfig()).rows["response"].to_list()
        ['tomatoes like a lot of warm sun.']
    """
    made: list[tuple[list[str], str]] = []
    failed: list[tuple[list[str], str]] = []
    dropped: list[tuple[str, str]] = []
    for answers in rows.sort("row_id").partition_by(config.prompt, maintain_order=True):
        texts: set[str] = set()
        for row in answers.iter_rows(named=True):
            try:
                text, reason = _edited(row, config, texts)
            except (KeyError, ValueError) as error:
                failed.append(([row["row_id"]], str(error)))
                continue
            if text is None:
                dropped.append((row["row_id"], reason))
            else:
                texts.add(text)
                made.append(([row["row_id"]], text))
    parents = ("parent_ids", pl.List(pl.String))
    children = pl.DataFrame(made, schema=[parents, (config.response, pl.String)], orient="row")
    if config.messages in rows.columns:
        children = _with_talks(children, rows, config, config.messages or "")
    return Produced(
        rows=children.with_columns(
            pl.lit("stop").alias(config.finish_reason), pl.lit("edited").alias("origin")
        ),
        failed=pl.DataFrame(failed, schema=[parents, ("error", pl.String)], orient="row"),
        dropped=pl.DataFrame(
            dropped, schema={"row_id": pl.String, "reason": pl.String}, orient="row"
        ),
    )


def _with_talks(
    children: pl.DataFrame, rows: pl.DataFrame, config: EditConfig, messages: str
) -> pl.DataFrame:
    """The children with their parents' conversations, which end with the edited answers."""
    parents = rows.select(pl.concat_list("row_id").alias("parent_ids"), messages)
    made = children.join(parents, on="parent_ids", how="left", maintain_order="left")
    if not has_conversations(rows, messages):
        return made
    return made.with_columns(with_answers(made[messages], made[config.response]))


def _edited(row: dict[str, Any], config: EditConfig, texts: set[str]) -> tuple[str | None, str]:
    """An edited text, or None and the reason why there is none."""
    if config.max_per_prompt == 0:
        return None, "edits are off"
    if row[config.response] is None:
        msg = "there is no answer"
        raise ValueError(msg)
    rules = [{k: v or "" for k, v in rule.items()} for rule in row[config.constraints] or ()]
    about, response = row[config.about] or (), row[config.response]
    if judge(response, rules, about, finished=row[config.finish_reason] == "stop").passed:
        return None, "already passes"
    if len(texts) >= config.max_per_prompt:
        return None, "enough edits of this prompt"
    topic = row[config.topic] if config.topic else None
    text = edit(response, rules, about, topic or "")
    if text is None or text == response:
        return None, "no rule can mend it"
    return (None, "same edit as another") if text in texts else (text, "")
