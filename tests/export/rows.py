"""Rows of every kind that trainers read, among them some that a format cannot hold."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from databuild.schema.rows import schema_of

CALL = {"id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'}
ASKED = {"role": "user", "content": "How is the weather in Rome? 🌦"}
CALLED = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "sunny", "tool_call_id": "c1"}
SAID = {"role": "assistant", "content": "Sunny."}
SYSTEM = {"role": "system", "content": "Be brief."}
FIRST = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
MORE = {"role": "user", "content": "你好吗？"}
TOOLS = json.dumps(
    [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
)


def _table(kind: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    named = [{"row_id": f"r{n}", **row} for n, row in enumerate(rows)]
    return pl.DataFrame(named, schema={"row_id": pl.String, **schema_of(kind)})


SFT = _table("sft", [
    {"prompt": "What is 2 + 2?", "response": "4."},
    {"prompt": "你好吗？", "response": "Good.", "messages": [SYSTEM, *FIRST, MORE, {"role": "assistant", "content": "Good."}]},
    {"prompt": ASKED["content"], "response": "Sunny.", "messages": [ASKED, CALLED, RESULT, SAID], "tools": TOOLS},
    {"prompt": "Think.", "response": "Done.", "reasoning": "one, two"},
    {"prompt": "Blank?", "response": "  \n"},
    {"prompt": None, "response": "Nobody asked."},
    {"prompt": "Other?", "response": "x", "messages": [*FIRST]},
])  # fmt: skip
"""Four that are whole, and three that no format holds."""
WHOLE = 4
PAIRS = _table("preference", [
    {"prompt": "Best colour?", "chosen": "Blue.", "rejected": "No.", "margin": 0.5, "strength": "better"},
    {"prompt": "你好吗？", "chosen": "Good.", "rejected": "Bad.", "messages": [SYSTEM, *FIRST, MORE]},
    {"prompt": ASKED["content"], "chosen": "Sunny.", "rejected": "Rain.", "messages": [ASKED], "tools": TOOLS, "chosen_messages": [CALLED, RESULT, SAID]},
    {"prompt": "Same?", "chosen": "Yes.", "rejected": "Yes."},
    {"prompt": "Null?", "chosen": None, "rejected": "Yes."},
])  # fmt: skip
FEEDBACK = _table("feedback", [
    {"prompt": "Tea?", "response": "Yes.", "label": True},
    {"prompt": "你好吗？", "response": "No.", "label": False, "messages": [SYSTEM, *FIRST, MORE, {"role": "assistant", "content": "No."}]},
    {"prompt": "Unsure?", "response": "Hm.", "label": None},
])  # fmt: skip
STEPS = _table("steps", [
    {"prompt": "2 + 3?", "response": "a", "steps": [{"text": "Add.", "rating": 1.0}, {"text": "6", "rating": -1.0}]},
    {"prompt": "2 + 4?", "response": "a", "steps": [{"text": "Maybe.", "rating": 0.0}]},
])  # fmt: skip
PROMPTS = _table("prompt", [
    {"prompt": "Say a word."}, {"prompt": "你好吗？", "messages": [SYSTEM, *FIRST, MORE]}, {"prompt": " "},
])  # fmt: skip
DOCUMENTS = _table(
    "document",
    [{"text": "A page about rain.", "title": "Rain"}, {"text": "另一页 🌧"}, {"text": None}],
)
