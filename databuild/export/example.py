"""A row as what a trainer learns from: turns asked, turns answered, tools; or why it cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from databuild.text.formats.registry import without_nulls
from databuild.text.formats.turns import Turn, check_order, with_reasoning
from databuild.text.formats.values import FaultError, fault, is_blank, load_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ANSWERED = ("sft", "response", "feedback")
EXPORTED = ("prompt", "sft", "preference", "feedback", "steps", "document")
"""Kinds of rows that trainers read; sampled answers become `sft` where the options say so."""


@dataclass(frozen=True)
class Example:
    """What a row says to a trainer, whatever columns it came in."""

    kind: str
    asked: list[Turn] = field(default_factory=list)
    """The turns before the answer."""
    answer: list[Turn] = field(default_factory=list)
    """The last turn of `sft` and `feedback`."""
    chosen: list[Turn] = field(default_factory=list)
    rejected: list[Turn] = field(default_factory=list)
    label: bool | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    tools: str | None = None
    """The tools that may be called, as JSON text."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """All columns of the row."""

    @property
    def turns(self) -> list[Turn]:
        """The conversation with its answer."""
        return [*self.asked, *self.answer]

    def text_of(self, turns: Sequence[Turn], what: str) -> str:
        """The one text that turns are, for formats without turns.

        Raises:
            FaultError: "cannot hold": they are several, of tools or of a system, or tools are
                named, which a text would lose.
        """
        if self.tools is not None:
            raise fault("cannot hold", "tools")
        if any(turn.keys() != {"role", "content"} for turn in turns):
            raise fault("cannot hold", f"tool calls in {what}")
        if len(turns) != 1:
            raise fault("cannot hold", f"{what} of {len(turns)} turns")
        return str(turns[0]["content"])


def kind_of(columns: Iterable[str]) -> str | None:
    """The kind that a table without `row_kind` has, by its columns; None where none fits.

    Example:
        >>> kind_of(["prompt", "response", "label"]), kind_of(["text"]), kind_of(["x"])
        ('feedback', 'document', None)
    """
    there = set(columns)
    for kind, needs in (
        ("preference", {"prompt", "chosen", "rejected"}),
        ("steps", {"prompt", "response", "steps"}),
        ("feedback", {"prompt", "response", "label"}),
        ("sft", {"prompt", "response"}),
        ("preference", {"messages", "chosen", "rejected"}),
        ("prompt", {"prompt"}),
        ("sft", {"messages"}),
        ("document", {"text"}),
    ):
        if needs <= there:
            return kind
    return None


def example_of(row: Mapping[str, Any], kind: str, system: str | None = None) -> Example:
    """Read a row of a kind.

    `messages` is the conversation where it is not null, and needs no `response` beside it;
    `reasoning` of a row without one goes into think tags before the answer. Roles must follow
    each other as in any chat template.

    Args:
        row: Its columns; null and absent ones are the same.
        kind: One of `EXPORTED`.
        system: A system turn for conversations that begin without one.

    Raises:
        FaultError: `<fault>: <detail>`: a value is null or blank, `messages` does not end with the
            answer, roles are out of order, or both answers of a pair are equal.

    Example:
        >>> found = example_of({"prompt": "Hi", "response": "Hello."}, "sft", "Be kind.")
        >>> [turn["role"] for turn in found.turns]
        ['system', 'user', 'assistant']
    """
    if kind == "document":
        return Example(kind, text=_said(row, "text"), row=row)
    tools = _tools(row)
    talk = [without_nulls(turn) for turn in row.get("messages") or ()]
    if kind == "preference":
        sides = [_side(row, name) for name in ("chosen", "rejected")]
        asked = _headed(talk or _asked(row), system)
        for name, side in zip(("chosen", "rejected"), sides, strict=True):
            _check([*asked, *side], name)
        if sides[0] == sides[1]:
            raise fault("identical chosen and rejected", "the two answers are equal")
        return Example(kind, asked, chosen=sides[0], rejected=sides[1], tools=tools, row=row)
    if kind == "prompt":
        asked = _headed(talk or _asked(row), system)
        check_order(asked, "the conversation")
        if asked[-1]["role"] not in {"user", "tool"}:
            raise fault("wrong role order", f"it ends with a turn of {asked[-1]['role']}")
        return Example(kind, asked, tools=tools, row=row)
    if kind == "steps":
        return Example(
            kind, _headed(talk or _asked(row), system), steps=_steps(row), tools=tools, row=row
        )
    turns = _headed(_answered(row, talk), system)
    _check(turns, "the conversation")
    label = row.get("label")
    if kind == "feedback" and label is None:
        raise fault("no value", "label is null")
    return Example(kind, turns[:-1], turns[-1:], label=label, tools=tools, row=row)


def _answered(row: Mapping[str, Any], talk: list[Turn]) -> list[Turn]:
    if not talk:
        said = _said(row, "response")
        thought = row.get("reasoning")
        if isinstance(thought, str) and not is_blank(thought):
            said = with_reasoning(thought, said)
        return [*_asked(row), {"role": "assistant", "content": said}]
    if talk[-1]["role"] != "assistant":
        raise fault("no answer", f"the conversation ends with a turn of {talk[-1]['role']}")
    last, answer = talk[-1].get("content"), row.get("response")
    if answer is not None and last is not None and not last.strip().endswith(answer.strip()):
        raise fault("two answers", "response is not what the conversation ends with")
    return talk


def _asked(row: Mapping[str, Any]) -> list[Turn]:
    return [{"role": "user", "content": _said(row, "prompt")}]


def _side(row: Mapping[str, Any], name: str) -> list[Turn]:
    said = _said(row, name)
    turns = [without_nulls(turn) for turn in row.get(f"{name}_messages") or ()]
    return turns or [{"role": "assistant", "content": said}]


def _said(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        raise fault("no value", f"{name} is null")
    if not isinstance(value, str):
        raise fault("wrong type", f"{name} is no text")
    if is_blank(value):
        raise fault("empty", f"{name} is blank")
    return value


def _steps(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps = list(row.get("steps") or ())
    if not steps:
        raise fault("no value", "there are no steps")
    for number, step in enumerate(steps):
        if not isinstance(step["text"], str) or is_blank(step["text"]):
            raise fault("empty", f"step {number} is blank")
    return steps


def _tools(row: Mapping[str, Any]) -> str | None:
    text = row.get("tools")
    if text is None:
        return None
    held = load_json(text) if isinstance(text, str) else None
    if not isinstance(held, list):
        raise fault("wrong type", "tools is no JSON list")
    return text if held else None


def _headed(turns: list[Turn], system: str | None) -> list[Turn]:
    if system is None or (turns and turns[0]["role"] == "system"):
        return turns
    return [{"role": "system", "content": system}, *turns]


def _check(turns: Sequence[Turn], place: str) -> None:
    check_order(turns, place)
    if turns[-1]["role"] != "assistant":
        raise fault("wrong role order", f"{place} ends with a turn of {turns[-1]['role']}")
    for number, turn in enumerate(turns):
        is_said = not is_blank(turn.get("content") or "")
        if turn["role"] in {"user", "assistant"} and not is_said and not turn.get("tool_calls"):
            raise fault("empty turn", f"turn {number} of {place} is blank")


def has_calls(turns: Iterable[Turn]) -> bool:
    """Say whether a turn calls a tool, or is the answer of one.

    Example:
        >>> has_calls([{"role": "user", "content": "Hi"}])
        False
    """
    return any(turn["role"] == "tool" or turn.get("tool_calls") for turn in turns)


__all__ = ["EXPORTED", "Example", "FaultError", "example_of", "has_calls", "kind_of"]
