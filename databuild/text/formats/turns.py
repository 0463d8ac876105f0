"""Conversations: turns of any spelling, read into one form and checked, and written again.

A turn is `{role, content}` and, where they are there, `tool_calls` (`{id, name, arguments}`,
arguments as JSON text), `tool_call_id` and `name`; keys that are absent stay absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.text.formats.values import (
    fault,
    is_blank,
    is_missing,
    json_text,
    load_json,
    opened,
    short,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Turn = dict[str, Any]

_SPELLINGS = {
    "system": "system developer",
    "user": "user human prompter usr questioner customer",
    "assistant": "assistant gpt chatgpt bing bard model bot ai claude gemini llama agent answerer "
    "chatbot",
    "tool": "tool function observation tool_response tool_result function_response "
    "function_result ipython",
    "call": "function_call tool_call assistant_tool_call",
}
ROLE_OF = {word: role for role, words in _SPELLINGS.items() for word in words.split()}
_ROLE_KEYS = ("role", "from", "speaker")
_CONTENT_KEYS = ("content", "value", "text")
_THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking")
_THINK = ("<think>", "</think>")
_NEXT = {
    "": {"system", "user"},
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user"},
    "calls": {"tool"},
    "tool": {"tool", "assistant"},
}


def looks_like_turns(value: Any) -> bool:
    """Say whether a value is a list of turns: objects with a role."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and any(isinstance(value[0].get(key), str) for key in _ROLE_KEYS)
    )


def read_turns(value: Any, place: str) -> tuple[list[Turn], dict[str, Any]]:
    """Read turns of OpenAI's, ShareGPT's or a mixed spelling.

    A system turn that is blank says nothing and is left out. Of a list of content parts the texts
    are joined. `reasoning_content` of a turn goes into think tags at the beginning of its content.

    Returns:
        The turns, and what they hold besides, by place (`messages[1].weight`).

    Raises:
        FaultError: A turn is empty, not text, of an unknown role, or has a call that is no JSON.

    Example:
        >>> read_turns([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}], "c")
        ([{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello.'}], {})
    """
    if not isinstance(value, list):
        raise fault("wrong type", f"{place} is {short(value)}, expected a list of turns")
    turns: list[Turn] = []
    rest: dict[str, Any] = {}
    for number, item in enumerate(value):
        plain = _plain_turn(item)
        if plain is not None:
            turns.append(plain)
            continue
        where = f"{place}[{number}]"
        if not isinstance(item, dict):
            raise fault("wrong type", f"{where} is {short(item)}, expected an object")
        turn, unused = _read_turn(item, where)
        rest.update(unused)
        if turn["role"] == "system" and is_blank(turn.get("content") or ""):
            continue
        turns.append(turn)
    if not turns:
        raise fault("empty", f"{place} has no turns")
    return turns, rest


def _plain_turn(item: Any) -> Turn | None:
    """Read a turn of two texts, as most turns are; None of any other."""
    if not isinstance(item, dict) or len(item) != 2:
        return None
    said, content = item.get("role"), item.get("content")
    if said is None:
        said, content = item.get("from"), item.get("value")
    role = ROLE_OF.get(said) if isinstance(said, str) else None
    if role is None or role == "call" or not isinstance(content, str) or is_blank(content):
        return None
    return {"role": role, "content": content}


def _read_turn(item: Mapping[str, Any], where: str) -> tuple[Turn, dict[str, Any]]:
    present = {key: held for key, held in item.items() if not is_missing(held)}
    role_key = next((key for key in _ROLE_KEYS if key in present), None)
    said = present.pop(role_key) if role_key else None
    role = ROLE_OF.get(said.strip().lower()) if isinstance(said, str) else None
    if role is None:
        known = "system, user, assistant, tool and the like"
        raise fault("unknown role", f"{where} has {short(said)}, known are {known}")
    content_key = next((key for key in _CONTENT_KEYS if key in present), None)
    content = present.pop(content_key) if content_key else None
    turn: Turn = {"role": "assistant" if role == "call" else role}
    if role == "call":
        turn["tool_calls"] = _read_calls(opened(content), where)
    else:
        content = _read_content(content, where)
        calls = present.pop("tool_calls", None) or present.pop("function_call", None)
        if calls and role == "assistant":
            turn["tool_calls"] = _read_calls(opened(calls), where)
        content = _with_thought(content, present) if role == "assistant" else content
        if content is not None and not (is_blank(content) and "tool_calls" in turn):
            turn["content"] = content
        elif role == "tool":
            turn["content"] = ""  # a tool may answer nothing
        _check_content(turn, where)
    for key in ("tool_call_id", "name"):
        if isinstance(present.get(key), str):
            turn[key] = present.pop(key)
    present = {k: v for k, v in present.items() if not isinstance(v, list | dict) or v}
    return turn, {f"{where}.{key}": held for key, held in present.items()}


def _check_content(turn: Turn, where: str) -> None:
    is_said = not is_blank(turn.get("content", ""))
    if not is_said and "tool_calls" not in turn and turn["role"] not in {"tool", "system"}:
        raise fault("empty turn", f"{where} ({turn['role']}) is blank")


def _read_content(content: Any, where: str) -> str | None:
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = []
    for number, part in enumerate(parts):
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            kind = part.get("type") if isinstance(part, dict) else None
            told = f"is of type {kind!r}" if kind else f"is {short(part)}"
            raise fault("not text", f"{where}.content[{number}] {told}")
    return "".join(texts)


def _with_thought(content: str | None, present: dict[str, Any]) -> str | None:
    if content is not None and content.lstrip().startswith(_THINK[0]):
        return content
    key = next((k for k in _THOUGHT_KEYS if isinstance(present.get(k), str)), None)
    if key is None or is_blank(present[key]):
        return content
    return with_reasoning(present.pop(key), content or "")


def with_reasoning(reasoning: str, answer: str) -> str:
    """Put reasoning before its answer, in think tags."""
    return f"{_THINK[0]}\n{reasoning.strip()}\n{_THINK[1]}\n\n{answer.lstrip()}"


def split_reasoning(content: str) -> tuple[str | None, str]:
    r"""Part the reasoning from the answer: one pair of think tags, at the beginning.

    Example:
        >>> split_reasoning("<think>\n2 + 2\n</think>\n\nIt is 4.")
        ('2 + 2', 'It is 4.')
        >>> split_reasoning("no <think>")
        (None, 'no <think>')
    """
    start, end = _THINK
    if not content.lstrip().startswith(start) or content.count(end) != 1:
        return None, content
    inside, _, answer = content.lstrip().removeprefix(start).partition(end)
    return (None if is_blank(inside) else inside.strip()), answer.strip()


def _read_calls(value: Any, where: str) -> list[dict[str, str]]:
    calls = value if isinstance(value, list) else [value]
    return [_read_call(opened(call), where) for call in calls]


def _read_call(call: Any, where: str) -> dict[str, str]:
    if not isinstance(call, dict):
        raise fault("invalid tool call", f"{where} has {short(call)}, expected name and arguments")
    inner = opened(call.get("function"))
    held = inner if isinstance(inner, dict) else call
    name = held.get("name")
    if not isinstance(name, str) or is_blank(name):
        raise fault("invalid tool call", f"{where} calls a tool without a name")
    arguments = held.get("arguments", held.get("parameters"))
    if arguments is None:
        arguments = {}
    if isinstance(arguments, str):
        arguments = arguments or "{}"
        if not isinstance(load_json(arguments), dict):
            what = f"{where} gives {name} {short(arguments)}, expected a JSON object"
            raise fault("invalid tool call", what)
    elif isinstance(arguments, dict):
        arguments = json_text(arguments)
    else:
        what = f"{where} gives {name} {short(arguments)}, expected an object"
        raise fault("invalid tool call", what)
    found = {"name": name, "arguments": arguments}
    return {"id": call["id"], **found} if isinstance(call.get("id"), str) else found


def check_order(turns: Sequence[Turn], place: str) -> None:
    """Check who follows whom: an optional system turn, then user and assistant in turn.

    Tool results stand after the assistant turn that calls, one per call at most.

    Raises:
        FaultError: "wrong role order", or "tool result without its call".
    """
    before = ""
    waiting: list[str | None] = []
    for number, turn in enumerate(turns):
        role = turn["role"]
        if role == "tool":
            waiting = _answered(turn, before, waiting, f"turn {number} of {place}")
        elif role not in _NEXT[before]:
            after = f"after {before}" if before else "at the beginning"
            after = "after a tool call without its result" if before == "calls" else after
            raise fault("wrong role order", f"turn {number} of {place} is {role} {after}")
        before = role
        if turn.get("tool_calls"):
            before, waiting = "calls", [call.get("id") for call in turn["tool_calls"]]


def _answered(turn: Turn, before: str, waiting: list[str | None], where: str) -> list[str | None]:
    """The calls that still wait for a result."""
    known = turn.get("tool_call_id")
    if before in {"calls", "tool"} and waiting:
        if known in waiting:
            return [call for call in waiting if call != known]
        if known is None or None in waiting:
            return waiting[1:]
    named = f"answers the call {known!r}, which" if known else "stands after no call that"
    raise fault("tool result without its call", f"{where} {named} waits for a result")


def common_turns(left: Sequence[Turn], right: Sequence[Turn]) -> int:
    """How many turns two conversations share at their beginnings."""
    return next(
        (n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
        min(len(left), len(right)),
    )


def is_plain(turns: Sequence[Turn]) -> bool:
    """Say whether the turns are texts alone: no calls, ids or names."""
    return all(turn.keys() == {"role", "content"} for turn in turns)


def as_openai(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Turns as OpenAI's chat completions API has them, arguments as text.

    Example:
        >>> as_openai([{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{}"}]}])
        [{'role': 'assistant', 'tool_calls': [{'type': 'function', 'function': {'name': 'f', \
'arguments': '{}'}}]}]
    """
    return [_as_openai_turn(turn) for turn in turns]


def _as_openai_turn(turn: Turn) -> dict[str, Any]:
    if "tool_calls" not in turn:
        return dict(turn)
    calls = []
    for call in turn["tool_calls"]:
        if "function" in call:
            calls.append({**call, "function": dict(call["function"])})
            continue
        function = {"name": call["name"], "arguments": call["arguments"]}
        own = {"id": call["id"]} if call.get("id") is not None else {}
        calls.append({**own, "type": "function", "function": function})
    return {**turn, "tool_calls": calls}


def as_template(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Turns as chat templates of Hugging Face read them: OpenAI's, with arguments as objects.

    Example:
        >>> as_template([{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{}"}]}])
        [{'role': 'assistant', 'tool_calls': [{'type': 'function', 'function': {'name': 'f', \
'arguments': {}}}]}]
    """
    made = [_as_openai_turn(turn) for turn in turns]
    for turn in made:
        for call in turn.get("tool_calls", ()):
            held = call["function"]["arguments"]
            read = load_json(held) if isinstance(held, str) else None
            call["function"]["arguments"] = held if read is None else read
    return made


def as_sharegpt(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Turns as ShareGPT has them: system, human, gpt, function_call, observation.

    Raises:
        FaultError: A turn says something and calls a tool as well.
    """
    words = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    made = []
    for turn in turns:
        calls = turn.get("tool_calls")
        if calls and "content" in turn:
            raise fault("cannot hold", "a turn with both text and tool calls")
        if calls:
            held = [_as_sharegpt_call(call) for call in calls]
            value = json_text(held[0] if len(held) == 1 else held)
            made.append({"from": "function_call", "value": value})
        else:
            made.append({"from": words[turn["role"]], "value": turn["content"]})
    return made


def _as_sharegpt_call(call: Mapping[str, str]) -> dict[str, Any]:
    arguments = load_json(call["arguments"])
    is_same = json_text(arguments) == call["arguments"]
    return {"name": call["name"], "arguments": arguments if is_same else call["arguments"]}
