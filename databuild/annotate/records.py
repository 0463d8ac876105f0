"""Records: rows as they are put before people, by content hash.

A record's hash says what it shows and nothing else: the task, the prompt (or conversation) and the
answers in no order. So a row pushed twice is one record, and a row whose text changed is another.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from databuild.schema.identity import derive_seed, digest_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databuild.annotate.tasks import TaskName

RECORD_VERSION = "1"


@dataclass(frozen=True)
class Record:
    """What was put before people, as the vote log keeps it."""

    record: str
    """Its hash, 32 hexadecimal digits."""
    task: TaskName
    fields: Mapping[str, Any]
    """`prompt`, `messages` and `answers` (a list, in the row's own order); of a verification
    `passage`, `question` and `answer`."""
    shown: tuple[int, ...] = ()
    """The order in which the answers are shown: the i-th shown is `answers[shown[i]]`."""
    row: str = ""
    """The row that it came from."""
    stratum: str | None = None
    gold: int | None = None
    """Of a gold question the expected grade, in the row's own order of answers."""
    hidden: Mapping[str, Any] | None = None
    """What annotators do not see: the models that answered, and scores."""
    margins: Mapping[str, float] | None = None
    """How much better the first answer is, by reward."""
    assigned: tuple[str, ...] = ()
    """Who is to answer; everyone where it is empty."""
    wanted: int = 1
    """How many votes are asked for."""
    place: int = 0
    """Its place in the order in which records are to be answered, from 0."""

    @property
    def answers(self) -> list[str]:
        """The answers in the row's own order."""
        return list(self.fields.get("answers", ()))

    @property
    def is_swapped(self) -> bool:
        """Of a pair: whether the row's second answer is shown first."""
        return self.shown[:1] == (1,)

    def displayed(self) -> dict[str, str]:
        """The texts that annotators see, by field: the same for every tool."""
        fields = self.fields
        if self.task == "verification":
            return {name: fields[name] for name in ("passage", "question", "answer")}
        texts = {"prompt": as_text(self.turns())}
        answers = [self.answers[index] for index in self.shown]
        if self.task == "preference":
            return texts | {"response_a": answers[0], "response_b": answers[1]}
        if self.task == "ranking":
            return texts | {f"response_{i}": text for i, text in enumerate(answers, 1)}
        return texts | {"response": answers[0]}

    def turns(self) -> list[dict[str, str]]:
        """The prompt as turns of role and content."""
        messages = self.fields.get("messages")
        if not messages:
            return [{"role": "user", "content": self.fields["prompt"]}]
        return [{"role": turn["role"], "content": _content(turn)} for turn in messages]

    def line(self) -> dict[str, Any]:
        """The record as a line of the vote log."""
        return {
            "kind": "record", "record": self.record, "task": self.task, "fields": self.fields,
            "shown": self.shown, "row": self.row, "stratum": self.stratum, "gold": self.gold,
            "hidden": self.hidden, "margins": self.margins,
            "assigned": self.assigned, "wanted": self.wanted,
            "place": self.place,
        }  # fmt: skip


def record_of(line: Mapping[str, Any]) -> Record:
    """The record of a line of the vote log."""
    return Record(
        line["record"], line["task"], line["fields"], tuple(line["shown"]), line["row"],
        line["stratum"], line["gold"], line["hidden"], line["margins"], tuple(line["assigned"]),
        line["wanted"], line["place"],
    )  # fmt: skip


def record_hash(task: str, fields: Mapping[str, Any]) -> str:
    """The hash of what a record shows; the order of its answers does not count.

    Example:
        >>> one = {"prompt": "Hi", "messages": None, "answers": ["Hello.", "Yes?"]}
        >>> record_hash("preference", one) == record_hash(
        ...     "preference", one | {"answers": ["Yes?", "Hello."]}
        ... )
        True
    """
    rest = {k: v for k, v in fields.items() if k != "answers" and v is not None}
    said = json.dumps(rest, sort_keys=True, ensure_ascii=True)
    return digest_text(RECORD_VERSION, task, said, *sorted(fields.get("answers", ())))


def shown_order(seed: int, record: str, n: int) -> tuple[int, ...]:
    """In which order the n answers of a record are shown: its own draw, from seed and hash."""
    draws = [(derive_seed(seed, record, "shown", i), i) for i in range(n)]
    return tuple(i for _, i in sorted(draws))


def as_text(turns: list[dict[str, str]]) -> str:
    r"""Turns as one text; a lone question as it is.

    Example:
        >>> as_text([{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}])
        'system: Be short.\n\nuser: Hi'
    """
    if len(turns) == 1 and turns[0]["role"] == "user":
        return turns[0]["content"]
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def _content(turn: Mapping[str, Any]) -> str:
    """The text of a turn; one that only calls tools is shown as its calls."""
    if turn.get("content") is not None:
        return str(turn["content"])
    return json.dumps(turn.get("tool_calls") or [], ensure_ascii=False)
