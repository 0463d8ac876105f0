"""OpenAI's rules for files of fine-tuning, from its documentation, written out.

Chat: each line an object with `messages`; each message has a `role` of system, user, assistant or
tool and text as `content`, which an assistant that calls tools may leave out; no other keys than
role, content, name, tool_calls, tool_call_id, weight; at least one assistant message; a call has an
id, a name and arguments as JSON text, and each result names an earlier call. Preferences: `input`
with messages that end before an answer, `preferred_output` and `non_preferred_output`, each one
assistant message.
"""

from __future__ import annotations

import json
from typing import Any

KEYS = {"role", "content", "name", "tool_calls", "tool_call_id", "weight"}
ROLES = {"system", "user", "assistant", "tool"}


def faults_of(record: Any) -> list[str]:
    if not isinstance(record, dict):
        return ["no object"]
    if "input" in record:
        return _pair_faults(record)
    faults = [
        f"unknown key {key}" for key in record.keys() - {"messages", "tools", "parallel_tool_calls"}
    ]
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        return [*faults, "no messages"]
    faults += _message_faults(messages)
    if not any(one.get("role") == "assistant" for one in messages):
        faults.append("no assistant message")
    return faults


def _pair_faults(record: dict[str, Any]) -> list[str]:
    faults = [
        f"unknown key {k}"
        for k in record.keys() - {"input", "preferred_output", "non_preferred_output"}
    ]
    asked = record["input"]
    faults += [
        f"unknown key {k}" for k in asked.keys() - {"messages", "tools", "parallel_tool_calls"}
    ]
    faults += _message_faults(asked["messages"])
    if asked["messages"][-1]["role"] not in {"user", "tool"}:
        faults.append("the input ends with an answer")
    for name in ("preferred_output", "non_preferred_output"):
        turns = record.get(name)
        if not isinstance(turns, list) or [one.get("role") for one in turns] != ["assistant"]:
            faults.append(f"{name} is not one assistant message")
        else:
            faults += _message_faults(turns)
    return faults


def _message_faults(messages: list[dict[str, Any]]) -> list[str]:
    faults = []
    known: set[str] = set()
    for n, one in enumerate(messages):
        faults += [f"message {n} has the unknown key {key}" for key in one.keys() - KEYS]
        if one.get("role") not in ROLES:
            faults.append(f"message {n} has the role {one.get('role')}")
        calls = one.get("tool_calls") or []
        if not isinstance(one.get("content"), str) and not calls:
            faults.append(f"message {n} has no content")
        for call in calls:
            if not call.get("id"):
                faults.append(f"message {n} calls without an id")
            known.add(call.get("id"))
            if not isinstance(json.loads(call["function"]["arguments"]), dict):
                faults.append(f"message {n} has arguments that are no object")
        if one.get("role") == "tool" and one.get("tool_call_id") not in known:
            faults.append(f"message {n} answers no call")
    return faults
