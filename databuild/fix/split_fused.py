"""fix.split_fused: a row that holds several questions with answers becomes several rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from databuild.engine.step import Produced, step
from databuild.errors import SchemaError
from databuild.fix.record import noted, with_notes
from databuild.recipe.options import Column, StepConfig
from databuild.text.conversations import has_conversations
from databuild.text.formats.turns import ROLE_OF
from databuild.text.fused import PREFILTER, Pair, take_apart

if TYPE_CHECKING:
    from collections.abc import Iterator

Family = Literal["instruction", "question"]
_MAX_DEPTH = 8


class SplitFusedConfig(StepConfig):
    """Options of `fix.split_fused`."""

    prompt: Column = "prompt"
    """The column of questions, or of texts that hold questions with their answers."""
    response: str = "response"
    """The column of answers; it is made where there is none."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one: the first of the rows that are made
    goes on from the turns before, the others stand alone (null). Null (`~`) leaves it as it is."""
    in_prompt: tuple[Family, ...] = ("instruction", "question")
    """Labels that are looked for in a prompt that has no response of its own."""
    in_response: tuple[Family, ...] = Field(default=("instruction",))
    """Labels that are looked for in a response, after its own answer. A response that asks and
    answers questions may be what was wanted, so `question` is not among them."""


@step(
    "fix.split_fused",
    kind="produce",
    sees="row",
    version=2,
    also=lambda config: () if config.messages is None else (config.messages,),
    adds=lambda config: (config.prompt, config.response, "fixes"),
    attributes=("fixes",),
    carries=True,
)
def split_fused_rows(rows: pl.DataFrame, config: SplitFusedConfig) -> Produced:
    r"""Make one row of every question with its answer, where several stand in one row.

    Two faults are mended; the labels are those of `text.fused.take_apart`. A prompt without a
    response (null or blank) that holds complete pairs becomes those pairs; what stands before the
    first label goes before each prompt. A response in which, after an answer, complete pairs
    follow (a model that went on asking) becomes the answer to its prompt and those pairs. An
    `Input:` goes into the prompt after a blank line. Every other row comes through as it is: so
    does a prompt whose last pair lacks its answer (examples before a question). A broken last pair
    at the end of a response is cut off.

    Args:
        rows: n rows with `row_id`, the column of prompts, maybe that of responses.
        config: See `SplitFusedConfig`.

    Returns:
        One or more rows a row, each with it as its only parent. `fixes` notes `split_fused` with
        the number of rows that were made, and `split_fused.tail` with the characters cut off.

    Raises:
        SchemaError: A column is not text.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Q: Why?\nA: So.\nQ: A?\nA: B."]})
        >>> split_fused_rows(rows, SplitFusedConfig()).rows.select("prompt", "response").rows()
        [('Why?', 'So.'), ('A?', 'B.')]
    """
    if config.response not in rows.columns:
        rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(config.response))
    for name in (config.prompt, config.response):
        if rows.schema[name] not in {pl.String, pl.Null}:
            what = f"the column {name!r} is {rows.schema[name]}, not text"
            raise SchemaError("fix.split_fused", what, fix="name columns of text")
    rows = rows.with_columns(pl.col(config.prompt, config.response).cast(pl.String))
    prompt, response = pl.col(config.prompt), pl.col(config.response)
    suspect = rows.with_row_index("_row").filter(
        prompt.str.contains(PREFILTER) | response.str.contains(PREFILTER)
    )
    changed: list[tuple[int, str, str]] = []
    counts: list[tuple[int, int, int]] = []
    for row, asked, answer in suspect.select("_row", prompt, response).iter_rows():
        pairs, cut = _apart(asked, answer, config)
        if pairs is not None:
            changed += [(row, pair.prompt, pair.response) for pair in pairs]
            counts.append((row, len(pairs), cut))
    return _children(rows, config, changed, counts)


def _children(
    rows: pl.DataFrame,
    config: SplitFusedConfig,
    changed: list[tuple[int, str, str]],
    counts: list[tuple[int, int, int]],
) -> Produced:
    schema = {"_row": pl.UInt32, config.prompt: pl.String, config.response: pl.String}
    pairs = pl.DataFrame(changed, schema=schema, orient="row")
    made = pl.DataFrame(
        counts, schema={"row": pl.Int64, "n": pl.Int64, "cut": pl.Int64}, orient="row"
    )
    places = made["row"].to_numpy()
    notes = noted(
        places, config.prompt, {"split_fused": made["n"], "split_fused.tail": made["cut"]}
    )
    whole = rows.with_columns(fixes=with_notes(rows, [notes], "fix.split_fused"))
    whole = whole.select(
        pl.concat_list("row_id").alias("parent_ids"), config.prompt, config.response, "fixes"
    ).with_row_index("_row")
    alone = whole.join(pairs, on="_row", how="anti")
    split = pairs.join(whole.select("_row", "parent_ids", "fixes"), on="_row", how="left")
    both = pl.concat([alone, split.select(alone.columns)]).sort("_row", maintain_order=True)
    messages = config.messages
    if messages is not None and messages in rows.columns:
        talks = rows.with_row_index("_row").select("_row", messages)
        both = both.join(talks, on="_row", how="left", maintain_order="left")
        if has_conversations(rows, messages):
            both = both.with_columns(_talks(both, made["row"], config, messages))
    return Produced(rows=both.drop("_row"))


def _talks(
    both: pl.DataFrame, changed: pl.Series, config: SplitFusedConfig, messages: str
) -> pl.Series:
    """The conversations of children: those of rows that were taken apart end with the new texts."""
    is_first = both["_row"].is_first_distinct().to_numpy()
    is_changed = both["_row"].is_in(changed.implode()).to_numpy()
    talks = both[messages]
    kind: Any = talks.dtype
    named = {field.name: None for field in kind.inner.fields}
    made = []
    for place in np.flatnonzero(is_changed).tolist():
        turns = talks[place] if is_first[place] else None
        before = _before_question(None if turns is None else turns.to_list())
        exchange = [
            {**named, "role": "user", "content": both[config.prompt][place]},
            {**named, "role": "assistant", "content": both[config.response][place]},
        ]
        # One question and its answer is no conversation: two columns hold it (`schema.rows`).
        made.append([*before, *exchange] if before else None)
    new = np.zeros(len(talks), np.int64)
    new[is_changed] = np.arange(len(made))
    changed_talks = pl.Series(messages, [*made, None], dtype=talks.dtype).gather(new)
    return changed_talks.zip_with(pl.Series(is_changed), talks)


def _before_question(turns: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """The turns before the last one of the user."""
    places = [n for n, turn in enumerate(turns or ()) if ROLE_OF.get(turn["role"]) == "user"]
    return (turns or [])[: places[-1]] if places else []


def _apart(
    asked: str | None, answer: str | None, config: SplitFusedConfig
) -> tuple[list[Pair] | None, int]:
    """The pairs of a row and the characters that were cut off; None where it is no fused row."""
    waiting: list[tuple[str | None, str | None, int]] = [(asked, answer, 0)]
    pairs: list[Pair] = []
    cut, is_fused = 0, False
    while waiting:
        prompt, response, depth = waiting.pop(0)
        split = _split(prompt, response, config) if depth < _MAX_DEPTH else None
        if split is None:
            pairs.append(Pair(prompt or "", "", response or ""))
            continue
        found, lost = split
        cut, is_fused = cut + lost, True
        waiting[:0] = [(pair.prompt, pair.response, depth + 1) for pair in found]
    return (pairs if is_fused else None), cut


def _split(
    asked: str | None, answer: str | None, config: SplitFusedConfig
) -> tuple[list[Pair], int] | None:
    """Take a row apart once."""
    if asked is not None and not (answer or "").strip():
        found = take_apart(asked, config.in_prompt)
        if found is None or found.tail:
            return None
        return list(_whole(found.pairs, found.head)), 0
    found = take_apart(answer, config.in_response) if answer else None
    if found is None or not found.head:
        return None
    first = Pair(asked or "", "", found.head)
    return [first, *_whole(found.pairs, "")], len(found.tail)


def _whole(pairs: tuple[Pair, ...], head: str) -> Iterator[Pair]:
    for pair in pairs:
        prompt = "\n\n".join(part for part in (head, pair.prompt, pair.input) if part)
        yield Pair(prompt, "", pair.response)
