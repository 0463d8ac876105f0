"""Conversations, tool calls and spans on the terminal."""

from __future__ import annotations

from databuild.cli.values import told

CALL = {"id": "c", "function": {"name": "add", "arguments": '{"a": 1}'}}


def test_a_conversation_has_a_line_for_each_turn():
    talk = [
        {"role": "user", "content": "two\nlines"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
        {"role": "tool", "name": "add", "content": "2"},
        {"role": None, "content": None},
    ]
    assert told(talk, 40).splitlines() == [
        "user: two lines",
        "assistant:",
        '  call add({"a": 1})',
        '  call add({"a": 1})',
        "tool (add): 2",
        "?: -",
    ]


def test_sharegpt_turns_and_calls_alone_are_read_too():
    assert told([{"from": "human", "value": "hi"}], 40) == "human: hi"
    assert told([{"name": "f", "arguments": None}], 40) == "call f()"
    assert told([{"role": "a", "content": "x", "tool_calls": "[1]"}], 40) == "a: x\n  call [1]"


def test_long_turns_and_long_conversations_are_cut():
    lines = told([{"role": "user", "content": "x" * 100}] * 20, 30).splitlines()
    assert len(lines) == 13
    assert lines[0] == "user: " + "x" * 29 + "…"
    assert lines[-1] == "... 8 more turns"


def test_spans_are_a_list_of_types_and_places():
    spans = [{"type": "email", "start": 1, "end": 5}, {"type": "phone", "start": 7, "end": 9}]
    assert told(spans, 40) == "email 1-5, phone 7-9"


def test_everything_else_is_json_in_one_line():
    assert told([], 40) == "[]"
    assert told([{"a": 1}, {"b": None}], 40) == '[{"a": 1}, {"b": null}]'
    assert told(None, 40) == "-"


def test_nothing_in_it_steers_the_terminal():
    talk = [{"role": "\x1b[2J", "content": "\x1b[31m\x9b"}]
    spans = [{"type": "\x1b[31m", "start": 0, "end": 1}]
    assert not set("\x1b\x9b") & set(told(talk, 40) + told(spans, 40) + told([CALL], 40))
