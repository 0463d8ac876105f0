"""A record's values by the names in use, and the rows that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.schema.rows import KINDS
from databuild.text.formats.turns import (
    Turn,
    check_order,
    is_plain,
    looks_like_turns,
    read_turns,
    split_reasoning,
    with_reasoning,
)
from databuild.text.formats.values import (
    fault,
    is_blank,
    is_missing,
    json_text,
    opened,
    short,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = dict[str, Any]

# The names in use, most telling first; the first one that is there counts.
PROMPTS = ("prompt", "instruction", "question", "query", "problem", "user", "inputs", "input")
ANSWERS = (
    *("response", "completion", "output", "answer", "solution", "target", "targets", "assistant"),
    "generation",
)
OWN_ANSWER = {"instruction": "output", "question": "answer", "problem": "solution"}
"""Where several answers stand beside a question, the one that goes by its name counts."""
TALKS = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat")
INPUTS = ("input", "context")
THOUGHTS = ("reasoning", "reasoning_content", "thinking", "thought", "cot", "rationale")
TOOLS = ("tools", "functions")
MODELS = ("model", "model_name", "generator")


class Fields:
    """A record, and which of its values were used."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.values = {k: v for k, v in record.items() if not is_missing(v)}
        self.used: set[str] = set()
        self.inner: dict[str, Any] = {}
        self.faults: list[str] = []
        """What is wrong with a part of the record, where other parts are rows."""

    def find(self, names: Sequence[str]) -> str | None:
        """The first of `names` that has a value, and was not used."""
        for name in names:
            if name in self.values and name not in self.used:
                return name
        return None

    def has(self, *names: str) -> bool:
        """Say whether one of `names` has a value."""
        return self.find(names) is not None

    def take(self, *names: str) -> Any:
        """The value of the first of `names` that has one, else None; it counts as used."""
        found = self.find(names)
        if found is None:
            return None
        self.used.add(found)
        return self.values[found]

    def take_text(self, *names: str) -> str | None:
        """As `take`; what is no text, or blank, is left where it is."""
        found = self.find(names)
        if found is None or not isinstance(self.values[found], str):
            return None
        return None if is_blank(self.values[found]) else str(self.take(found))

    def rest(self) -> dict[str, Any]:
        """What was not used: values of the record, and of its turns."""
        unused = {k: v for k, v in self.values.items() if k not in self.used}
        return {**unused, **self.inner}

    def turns(self, value: Any, place: str) -> list[Turn]:
        """Read a list of turns; what the turns hold besides is in `rest`."""
        turns, rest = read_turns(opened(value), place)
        self.inner.update(rest)
        return turns


def take_context(fields: Fields) -> list[Turn]:
    """The turns before the answer: a conversation, or a prompt with its input; system, history.

    Raises:
        FaultError: There is none, or a turn is faulty.
    """
    talk = fields.find(TALKS)
    is_list = talk is not None and isinstance(opened(fields.values[talk]), list)
    name = fields.find(("prompt",)) or (talk if is_list else None) or fields.find(PROMPTS) or talk
    if name is None:
        raise fault("no prompt", f"none of {', '.join((*PROMPTS, *TALKS))} has a value")
    value = opened(fields.take(name))
    if name in TALKS or looks_like_turns(value):
        turns = fields.turns(value, name)
    else:
        turns = [{"role": "user", "content": _with_input(fields, fields.values[name], name)}]
    return [*_take_system(fields, turns), *_take_history(fields), *turns]


def _with_input(fields: Fields, value: Any, name: str) -> str:
    asked = text_of(value, name)
    found = fields.find(INPUTS)
    if found is None or not isinstance(fields.values[found], str):
        return asked
    added = str(fields.take(found))
    return asked if is_blank(added) else f"{asked}\n\n{added}"


def _take_system(fields: Fields, turns: Sequence[Turn]) -> list[Turn]:
    if turns[0]["role"] == "system" or not fields.has("system", "system_prompt"):
        return []
    said = fields.take("system", "system_prompt")
    if not isinstance(said, str):
        raise fault("wrong type", f"system is {short(said)}, expected text")
    return [] if is_blank(said) else [{"role": "system", "content": said}]


def _take_history(fields: Fields) -> list[Turn]:
    history = opened(fields.take("history")) or []
    if not isinstance(history, list):
        raise fault("wrong type", f"history is {short(history)}, expected a list of pairs")
    turns = []
    for number, pair in enumerate(history):
        if not isinstance(pair, list) or len(pair) != 2:
            raise fault("wrong type", f"history[{number}] is {short(pair)}, expected a pair")
        for role, said in zip(("user", "assistant"), pair, strict=True):
            turns.append({"role": role, "content": text_of(said, f"history[{number}]")})
    return turns


def take_answer(fields: Fields, *names: str) -> list[Turn]:
    """The turns of an answer: a text, a turn or a list of turns.

    Raises:
        FaultError: It is missing, blank, or no answer.
    """
    own = tuple(OWN_ANSWER[name] for name in OWN_ANSWER if name in fields.used)
    name = fields.find(names or (*own, *ANSWERS))
    if name is None:
        raise fault("no answer", f"{' or '.join(names or ANSWERS)} has no value")
    turns = answer_turns(fields, fields.take(name), name)
    if len(turns) == 1 and fields.has(*THOUGHTS) and not names:
        said = turns[0].get("content", "")
        thought = None if said.lstrip().startswith("<think>") else fields.take_text(*THOUGHTS)
        if thought is not None:
            turns[0]["content"] = with_reasoning(thought, said)
    return turns


def answer_turns(fields: Fields, value: Any, place: str) -> list[Turn]:
    """Read an answer that is given as a text, a turn or a list of turns."""
    held = opened(value)
    if isinstance(held, dict) and looks_like_turns([held]):
        held = [held]
    if looks_like_turns(held):
        return fields.turns(held, place)
    return [{"role": "assistant", "content": text_of(value, place)}]


def spoken(turn: Turn) -> str:
    """What a turn says: its text, or the tools that it calls, as JSON text."""
    return turn["content"] if "content" in turn else json_text(turn["tool_calls"])


def asked_row(turns: Sequence[Turn], place: str = "the conversation") -> Row:
    """The row of a conversation that waits for an answer.

    Raises:
        FaultError: The order of roles is wrong, or the last turn is an answer.
    """
    check_order(turns, place)
    if turns[-1]["role"] not in {"user", "tool"}:
        raise fault("wrong role order", f"{place} ends with a turn of {turns[-1]['role']}")
    row: Row = {"prompt": _last_asked(turns)}
    if len(turns) > 1 or not is_plain(turns):
        row["messages"] = list(turns)
    return row


def answered_row(turns: Sequence[Turn], place: str = "the conversation") -> Row:
    """The row of a conversation that ends with an answer.

    Raises:
        FaultError: The order of roles is wrong, the answer is missing, or is nothing but reasoning.
    """
    check_order(turns, place)
    if turns[-1]["role"] != "assistant":
        raise fault("no answer", f"{place} ends with a turn of {turns[-1]['role']}")
    said = spoken(turns[-1])
    reasoning, response = split_reasoning(said)
    if is_blank(response):
        raise fault("empty turn", f"{place} ends with reasoning and no answer")
    row: Row = {"prompt": _last_asked(turns), "response": response}
    if len(turns) > 2 or not is_plain(turns) or response != said:
        row["messages"] = list(turns)
    if reasoning is not None:
        row["reasoning"] = reasoning
    return row


def _last_asked(turns: Sequence[Turn]) -> str:
    return next(str(turn["content"]) for turn in reversed(turns) if turn["role"] == "user")


def with_context(fields: Fields, row: Row, kind: str) -> Row:
    """Add what a row of this kind may have and the record has: tools, who answered, who judged."""
    columns = KINDS[kind].columns
    for column, names in (("model", MODELS), ("annotator", ("annotator", "annotator_id"))):
        if column in columns and column not in row:
            said = fields.take_text(*names)
            if said is not None:
                row[column] = said
    if "tools" in columns:
        row.update(_tools(fields))
    return {"row_kind": kind, **row}


def _tools(fields: Fields) -> Row:
    name = fields.find(TOOLS)
    if name is None:
        return {}
    value = fields.values[name]
    held = opened(value)
    if not isinstance(held, list):
        if value == "":
            fields.used.add(name)
        return {}
    fields.used.add(name)
    return {"tools": value if isinstance(value, str) else json_text(value)} if held else {}


def turns_of(row: Row) -> list[Turn]:
    """The conversation of a row, without answers that have columns of their own."""
    if "messages" in row:
        return list(row["messages"])
    turns = [{"role": "user", "content": row["prompt"]}]
    if "response" in row:
        turns.append({"role": "assistant", "content": row["response"]})
    return turns
