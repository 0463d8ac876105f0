"""Nested values as a person reads them: conversations turn by turn, tool calls, spans."""

from __future__ import annotations

from typing import Any

from databuild.cli import telling

_TURNS = 12
_ROLES = (("role", "content"), ("from", "value"))
_TYPES = ("type", "kind", "label", "entity_type")


def told(value: Any, length: int) -> str:
    """A value in as few lines as it needs: a conversation has one for each turn.

    Args:
        value: What a cell of a table holds.
        length: The most characters of a text, and of one turn.

    Example:
        >>> print(told([{"role": "user", "content": "Hi"}, {"role": "tool", "content": "7"}], 40))
        user: Hi
        tool: 7
        >>> told([{"type": "email", "start": 3, "end": 20}], 40)
        'email 3-20'
        >>> told({"a": 1}, 40)
        '{"a": 1}'
    """
    if _is_list_of(value, _is_turn):
        lines = [_turn(turn, length) for turn in value[:_TURNS]]
        more = len(value) - _TURNS
        return "\n".join([*lines, f"... {more} more turns"] if more > 0 else lines)
    if _is_list_of(value, _is_span):
        return telling.clipped(", ".join(_span(span) for span in value), length)
    if _is_list_of(value, _is_call):
        return "\n".join(_call(call, length) for call in value)
    return telling.clipped(value, length)


def _is_list_of(value: Any, is_one: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_one(one) for one in value)


def _is_turn(one: Any) -> bool:
    return isinstance(one, dict) and any(role in one and said in one for role, said in _ROLES)


def _is_span(one: Any) -> bool:
    return (
        isinstance(one, dict) and {"start", "end"} <= one.keys() and any(t in one for t in _TYPES)
    )


def _is_call(one: Any) -> bool:
    return isinstance(one, dict) and ("function" in one or {"name", "arguments"} <= one.keys())


def _turn(turn: dict[str, Any], length: int) -> str:
    """One turn: who, what, and the tools that are called."""
    role, said = next(pair for pair in _ROLES if pair[0] in turn and pair[1] in turn)
    who = str(turn[role] or "?")
    if turn.get("name"):
        who += f" ({turn['name']})"
    calls = turn.get("tool_calls")
    asked: list[str] = []
    if isinstance(calls, list) and _is_list_of(calls, _is_call):
        asked = [_call(call, length) for call in calls]
    elif calls:
        asked = [f"call {telling.clipped(calls, length)}"]
    content = turn[said]
    text = telling.clipped(content, length) if content is not None or not asked else ""
    return "\n  ".join([f"{telling.clipped(who, 40)}: {text}".rstrip(), *asked])


def _call(call: dict[str, Any], length: int) -> str:
    """A call of a tool, as one would write it."""
    inner = call.get("function")
    made = inner if isinstance(inner, dict) else call
    arguments = telling.clipped(made.get("arguments") or "", length)
    return f"call {telling.clipped(made.get('name') or '?', 40)}({arguments})"


def _span(span: dict[str, Any]) -> str:
    name = next(str(span[t]) for t in _TYPES if t in span)
    return f"{name} {span['start']}-{span['end']}"
