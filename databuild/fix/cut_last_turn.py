"""fix.cut_last_turn: an answer or conversation that breaks off is cut back to what is whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from databuild.engine.step import Produced, step
from databuild.errors import SchemaError
from databuild.fix.record import noted, with_notes
from databuild.recipe.options import Column, StepConfig
from databuild.text.cutting import breaks_off, cut_back
from databuild.text.formats.turns import split_reasoning

_NOTHING_LEFT = "nothing whole is left"
CUT = "cut"
_CALLS = frozenset({"assistant_tool_call", "function_call"})
_USERS = frozenset({"user", "human"})
_ANSWERS = _CALLS | {"assistant", "gpt", "model", "bot"}


class CutLastTurnConfig(StepConfig):
    """Options of `fix.cut_last_turn`."""

    column: Column = "response"
    """Answers (texts), or conversations (lists of `{role, content}`)."""
    messages: Column | None = None
    """Beside a column of answers: that of conversations, where rows have one. Then the conversation
    is cut, and `column` becomes its last answer, so that both still say the same."""
    prompt: Column | None = None
    """With `messages`: the column that holds the last question; it follows, too, and one question
    with its answer is a conversation no more (null)."""
    finish_reason: Column | None = None
    """Why generation ended, where it is known: after "length" an end without a full stop counts as
    broken, after anything else but null the text counts as whole. A row that is cut gets "cut"."""


def _adds(config: CutLastTurnConfig) -> tuple[str, ...]:
    others = (config.messages, config.prompt, config.finish_reason)
    return (config.column, *(name for name in others if name), "fixes")


@step(
    "fix.cut_last_turn",
    kind="produce",
    sees="row",
    version=3,
    adds=_adds,
    attributes=("fixes", "finish_reason"),
    carries=True,
)
def cut_last_turn(rows: pl.DataFrame, config: CutLastTurnConfig) -> Produced:
    """Cut what breaks off in the middle back to its last whole sentence or turn.

    When a text breaks off, and what is left of it, is said by `text.cutting`. Of a conversation the
    last turn of the assistant is judged; turns behind it (questions without an answer, results of
    tools that nobody read) go, and so does an answer of which nothing whole is left, with all that
    stands between it and the answer before. A turn that calls tools is whole. A null text or
    conversation is left as it is.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `CutLastTurnConfig`.

    Returns:
        One child for every row that has something whole; the others are in `dropped` ("nothing
        whole is left"). `fixes` notes `cut_last_turn` with the number of characters (of text) that
        are gone, and `cut_last_turn.turns` with that of turns.

    Raises:
        SchemaError: The column holds neither texts nor turns with role and content.

    Example:
        >>> texts = ["It rains. And then it", "No"]
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "response": texts})
        >>> cut_last_turn(rows, CutLastTurnConfig()).rows["response"].to_list()
        ['It rains.', 'No']
    """
    if config.messages is not None:
        return _cut_both(rows, config, config.messages)
    column = rows[config.column]
    n = rows.height
    ends = rows[config.finish_reason] if config.finish_reason else pl.Series([None] * n)
    cut: Any = _cut_text
    if column.dtype not in {pl.String, pl.Null}:
        _check_turns(column)
        cut = _cut_turns
    pairs = zip(column.to_list(), ends, strict=True)
    results: list[tuple[Any, int, int]] = [cut(value, _known(end)) for value, end in pairs]
    kept, chars, turns = zip(*results, strict=True) if results else ((), (), ())
    made = rows.select(pl.concat_list("row_id").alias("parent_ids")).with_columns(
        pl.Series(config.column, kept, dtype=column.dtype)
    )
    counts = {
        "cut_last_turn": pl.Series(chars, dtype=pl.Int64),
        "cut_last_turn.turns": pl.Series(turns, dtype=pl.Int64),
    }
    is_cut = (counts["cut_last_turn"] > 0) | (counts["cut_last_turn.turns"] > 0)
    if config.finish_reason:
        said = pl.when(is_cut).then(pl.lit(CUT)).otherwise(ends.cast(pl.String))
        made = made.with_columns(said.alias(config.finish_reason))
    notes = noted(np.arange(n), config.column, counts)
    made = made.with_columns(fixes=with_notes(rows, [notes], "fix.cut_last_turn"))
    lost = made[config.column].is_null() & column.is_not_null()
    dropped = rows.filter(lost).select("row_id", reason=pl.lit(_NOTHING_LEFT))
    return Produced(rows=made.filter(~lost), dropped=dropped)


def _cut_both(rows: pl.DataFrame, config: CutLastTurnConfig, messages: str) -> Produced:
    """Cut rows with a conversation by it, and the others by their answer."""
    has_talk = pl.col(messages).is_not_null()
    alone = config.model_copy(update={"messages": None})
    texts = cut_last_turn(rows.filter(~has_talk), alone)
    talks = cut_last_turn(rows.filter(has_talk), alone.model_copy(update={"column": messages}))
    made = []
    for part, other in ((texts, messages), (talks, config.column)):
        others = [other, *([config.prompt] if config.prompt else [])]
        held = rows.select(pl.concat_list("row_id").alias("parent_ids"), *others)
        made.append(part.rows.join(held, on="parent_ids", how="left", maintain_order="left"))
    made[1] = _follow(made[1], rows, config, messages)
    columns = ["parent_ids", *_adds(config)]
    dropped = [part.dropped for part in (texts, talks) if part.dropped is not None]
    return Produced(
        rows=pl.concat([part.select(columns) for part in made], how="vertical_relaxed"),
        dropped=pl.concat(dropped),
    )


def _follow(
    made: pl.DataFrame, rows: pl.DataFrame, config: CutLastTurnConfig, messages: str
) -> pl.DataFrame:
    """Give the rows whose conversation was cut the answer, and the question, that it ends with."""
    before = rows.select(pl.concat_list("row_id").alias("parent_ids"), _before=pl.col(messages))
    joined = made.join(before, on="parent_ids", how="left", maintain_order="left")
    changed = joined[messages].ne_missing(joined["_before"])
    said, asked = [], []
    for talk in joined[messages].filter(changed):
        said.append(split_reasoning(talk[-1]["content"] or "")[1])
        users = [turn["content"] for turn in talk if turn["role"] in _USERS]
        asked.append(users[-1] if users else None)
    # One question and its answer is no conversation any more (`schema.rows`): two columns hold it.
    talk = pl.col(messages).list
    roles = talk.eval(pl.element().struct.field("role"))
    is_single = pl.lit(changed) & (talk.len() == 2) & (roles.list.first() == "user")
    is_single &= talk.last().struct.field("content") == pl.col(config.column)
    places = np.flatnonzero(changed.to_numpy())
    new = [joined[config.column].scatter(places, said)] if said else []
    if said and config.prompt:
        new.append(joined[config.prompt].scatter(places, asked))
    made = made.with_columns(new)
    if not config.prompt:
        return made
    return made.with_columns(pl.when(~is_single).then(pl.col(messages)).alias(messages))


def _known(finish_reason: str | None) -> bool | None:
    """Whether the text is known to be cut."""
    return None if finish_reason is None else finish_reason == "length"


def _cut_text(text: str | None, was_cut: bool | None) -> tuple[str | None, int, int]:  # noqa: FBT001
    """What is kept (None: nothing), and the characters and turns that are gone."""
    if text is None or not breaks_off(text, was_cut=was_cut):
        return text, 0, 0
    kept = cut_back(text)
    return kept or None, len(text) - len(kept), 0


def _cut_turns(
    turns: list[dict[str, Any]] | None,
    was_cut: bool | None,  # noqa: FBT001
) -> tuple[list[dict[str, Any]] | None, int, int]:
    if turns is None:
        return None, 0, 0
    for last in range(len(turns) - 1, -1, -1):
        turn = turns[last] or {}
        role = str(turn.get("role"))
        if role not in _ANSWERS:
            continue
        content = turn.get("content") or ""
        if turn.get("tool_calls") or role in _CALLS:
            kept, gone = content, 0
        else:
            text, gone, _ = _cut_text(content, was_cut if last == len(turns) - 1 else None)
            kept = text or ""
            if not kept.strip():
                continue
        behind = len(turns) - 1 - last
        gone += sum(len((t or {}).get("content") or "") for t in turns[last + 1 :])
        if not behind and not gone:
            return turns, 0, 0
        changed = {**turn, "content": kept} if kept != content else turn
        return [*turns[:last], changed], gone, behind
    return None, 0, 0


def _check_turns(column: pl.Series) -> None:
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    fields = {field.name for field in inner.fields} if isinstance(inner, pl.Struct) else set()
    if not {"role", "content"} <= fields:
        what = f"the column {column.name!r} is {column.dtype}, neither texts nor turns"
        fix = "name a column of texts, or of lists of {role, content}"
        raise SchemaError("fix.cut_last_turn", what, fix=fix)
