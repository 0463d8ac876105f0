"""How a fix of `prompt` or `response` reaches the conversations that rows have beside them.

Where `messages` is not null it is authoritative and `prompt` and `response` are its last exchange
(`schema.rows`). A fix of these alone would leave the conversation as it was, with the fault or the
e-mail address in it, and training would refuse the row. So `prompt` stands for every turn that is
not the assistant's, `response`, `chosen` and `rejected` for every turn that is, and `chosen` and
`rejected` for `chosen_messages` and `rejected_messages` too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.text.conversations import has_conversations
from databuild.text.formats.turns import ROLE_OF
from databuild.text.nested import Texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

Change = Callable[[pl.Series], "tuple[pl.Series, Mapping[str, pl.Series]]"]
"""From texts to changed texts, and by fix how often each text was changed (0 where not)."""
ASKED, SAID = "asked", "said"
_SIDE = {"prompt": ASKED, "response": SAID, "chosen": SAID, "rejected": SAID}
_OWN = {"chosen": "chosen_messages", "rejected": "rejected_messages"}
_MIRRORS = ("prompt", "response", "reasoning")
_BY_ASSISTANT = [word for word, role in ROLE_OF.items() if role in {"assistant", "call"}]
# Reasoning before an answer: the tags and white space stay, the two texts are fixed one by one.
_THOUGHT = r"(?s)^(\s*<think>\s*)(.*\S)(\s*</think>\s*)(.*)$"


def talk_columns(columns: Sequence[str], messages: str | None) -> tuple[str, ...]:
    """The columns of conversations that a fix of `columns` reaches, where a table has them.

    Example:
        >>> talk_columns(["prompt", "chosen"], "messages")
        ('messages', 'chosen_messages')
        >>> talk_columns(["title"], "messages"), talk_columns(["prompt"], None)
        ((), ())
    """
    if messages is None:
        return ()
    found = [messages] if any(name in _SIDE for name in columns) else []
    found += [_OWN[name] for name in columns if name in _OWN]
    return tuple(dict.fromkeys(name for name in found if name not in columns))


def mirrors_of(columns: Sequence[str], messages: str | None) -> dict[str, str]:
    """The columns that repeat the last exchange of the conversations that `columns` reach.

    Example:
        >>> mirrors_of(["prompt"], "messages")
        {'response': 'messages', 'reasoning': 'messages'}
        >>> mirrors_of(["title"], "messages"), mirrors_of(["prompt"], None)
        ({}, {})
    """
    if messages is None or messages not in {*columns, *talk_columns(columns, messages)}:
        return {}
    return {name: messages for name in _MIRRORS if name not in columns}


def reached(
    rows: pl.DataFrame, columns: Sequence[str], messages: str | None
) -> Iterator[tuple[str, frozenset[str]]]:
    """The columns of conversations that a table has for `columns`, and whose turns are reached."""
    both = frozenset({ASKED, SAID})
    sides = frozenset(_SIDE[name] for name in columns if name in _SIDE)
    for name in talk_columns(columns, messages):
        if has_conversations(rows, name):
            yield name, sides if name == messages else both


def change_turns(
    held: Texts, column: pl.Series, sides: frozenset[str], change: Change
) -> tuple[pl.Series, NDArray[np.int64], Mapping[str, pl.Series]]:
    """Change the turns of some sides; reasoning in think tags and its answer each by itself.

    Args:
        held: The texts of the column.
        column: Conversations.
        sides: Whose turns are changed, of `ASKED` and `SAID`.
        change: See `Change`.

    Returns:
        All texts, then for each text that was looked at its row and the counts of `change`.
    """
    is_said = by_assistant(held, column)
    wanted = (is_said & (SAID in sides)) | (~is_said & (ASKED in sides))
    places = np.flatnonzero(wanted)
    texts = held.texts.gather(places)
    parts = texts.to_frame("t").select(
        *(pl.col("t").str.extract(_THOUGHT, n).alias(str(n)) for n in (1, 2, 3, 4)),
        thinks=(pl.col("t").str.count_matches("</think>", literal=True) == 1)
        & pl.col("t").str.contains(_THOUGHT),
    )
    thinks = parts["thinks"].fill_null(value=False)
    thinking = np.flatnonzero(thinks.to_numpy())
    answers = texts.to_frame("t").select(pl.when(thinks).then(parts["4"]).otherwise("t"))
    made, counts = change(pl.concat([answers.to_series(), parts["2"].gather(thinking)]))
    n = len(texts)
    inside = pl.Series([None] * n, dtype=pl.String).scatter(thinking, made[n:])
    whole = parts.with_columns(made=made[:n], inside=inside).select(
        pl.when(thinks).then(pl.concat_str("1", "inside", "3", "made")).otherwise("made")
    )
    rows = np.concatenate([held.rows[places], held.rows[places[thinking]]])
    return held.texts.clone().scatter(places, whole.to_series()), rows, counts


def by_assistant(held: Texts, column: pl.Series) -> NDArray[np.bool_]:
    """For each text of conversations whether it stands in a turn of the assistant."""
    lengths = column.list.len().fill_null(0).to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    role = pl.element().struct.field("role").str.to_lowercase().is_in(_BY_ASSISTANT)
    flags = column.list.eval(role.fill_null(value=False)).drop_nulls()
    flat = flags.explode(empty_as_null=False, keep_nulls=False).to_numpy().astype(bool)
    return flat[starts[held.rows] + held.items] if len(held.rows) else np.zeros(0, bool)


def with_answers(column: pl.Series, answers: pl.Series) -> pl.Series:
    r"""Conversations whose last turn, where it is the assistant's, says something else.

    What stands before the answer in think tags stays.

    Args:
        column: Conversations.
        answers: For each row what its last turn says now; null leaves it.

    Example:
        >>> talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "hello"}]
        >>> talks = pl.Series("messages", [talk, talk[:1]])
        >>> made = with_answers(talks, pl.Series(["Hello.", "Hello."]))
        >>> made.to_list()[0][-1]["content"], len(made[1])
        ('Hello.', 1)
    """
    held = Texts(column, ("content",))
    lengths = column.list.len().fill_null(0).to_numpy().astype(np.int64)
    is_last = held.items == lengths[held.rows] - 1
    new = answers.gather(held.rows)
    places = np.flatnonzero(is_last & by_assistant(held, column) & new.is_not_null().to_numpy())
    old = held.texts.gather(places)
    made = pl.DataFrame({"old": old, "new": new.gather(places)}).select(
        pl.when(pl.col("old").str.count_matches("</think>", literal=True) == 1)
        .then(pl.col("old").str.extract(r"(?s)^(\s*<think>.*</think>\s*)", 1))
        .fill_null("")
        + pl.col("new")
    )
    return held.put(held.texts.clone().scatter(places, made.to_series()))
