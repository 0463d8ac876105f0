"""A record of every format, and the rows that it holds."""

from __future__ import annotations

from typing import Any

ASKED = {"role": "user", "content": "What is 2 + 2?"}
SAID = {"role": "assistant", "content": "It is 4."}
WRONG = {"role": "assistant", "content": "It is 5."}
SYSTEM = {"role": "system", "content": "Count well."}
CALL = {"id": "c1", "name": "add", "arguments": '{"a": 2, "b": 2}'}
CALLED = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "4", "tool_call_id": "c1"}
SFT = {"row_kind": "sft", "prompt": "What is 2 + 2?", "response": "It is 4."}
PAIR = {
    "row_kind": "preference",
    "prompt": "What is 2 + 2?",
    "chosen": "It is 4.",
    "rejected": "It is 5.",
}
HH = "\n\nHuman: What is 2 + 2?\n\nAssistant: It is "
THOUGHT = "<think>\nTwo and two.\n</think>\n\nIt is 4."


def _answer(text: str, **more: Any) -> dict[str, Any]:
    return {"row_kind": "response", "prompt": "What is 2 + 2?", "response": text, **more}


def _steps(*pairs: tuple[str, float | None]) -> dict[str, Any]:
    return {
        "row_kind": "steps",
        "prompt": "What is 2 + 2?",
        "response": "\n".join(text for text, _ in pairs),
        "steps": [{"text": text, "rating": rating} for text, rating in pairs],
    }


def _talk(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**SFT, "messages": list(turns), **more}


_OPENAI_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'},
}
_NO_IDS = {"name": "add", "arguments": '{"a": 2, "b": 2}'}
RECORDS: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("alpaca", {"instruction": "What is 2 + 2?", "input": "", "output": "It is 4."}, [SFT]),
    (
        "alpaca",
        {"instruction": "Add.", "input": "2, 2", "output": "4"},
        [{"row_kind": "sft", "prompt": "Add.\n\n2, 2", "response": "4"}],
    ),
    (
        "alpaca",
        {
            "system": "Count well.",
            "history": [["Hi", "Hello."]],
            "instruction": "What is 2 + 2?",
            "input": None,
            "output": "It is 4.",
        },
        [
            _talk(
                SYSTEM,
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello."},
                ASKED,
                SAID,
            )
        ],
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "What is 2 + 2?"},
                {"from": "gpt", "value": "It is 4."},
            ]
        },
        [SFT],
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "What is 2 + 2?"},
                {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2, "b": 2}}'},
                {"from": "observation", "value": "4"},
                {"from": "gpt", "value": "It is 4."},
            ],
            "system": "Count well.",
            "tools": '[{"name": "add"}]',
        },
        [
            _talk(
                SYSTEM,
                ASKED,
                {"role": "assistant", "tool_calls": [_NO_IDS]},
                {"role": "tool", "content": "4"},
                SAID,
                tools='[{"name": "add"}]',
            )
        ],
    ),
    ("openai", {"messages": [ASKED, SAID]}, [SFT]),
    (
        "openai",
        {
            "messages": [
                ASKED,
                {"role": "assistant", "content": None, "tool_calls": [_OPENAI_CALL]},
                RESULT,
                SAID,
            ],
            "tools": [{"type": "function", "function": {"name": "add"}}],
        },
        [
            _talk(
                ASKED,
                CALLED,
                RESULT,
                SAID,
                tools='[{"type": "function", "function": {"name": "add"}}]',
            )
        ],
    ),
    (
        "openai",
        {
            "messages": [
                ASKED,
                {"role": "assistant", "function_call": {"name": "add", "arguments": {"a": 2, "b": 2}}},
                {"role": "function", "name": "add", "content": "4"},
                SAID,
            ]
        },
        [
            _talk(
                ASKED,
                {"role": "assistant", "tool_calls": [_NO_IDS]},
                {"role": "tool", "content": "4", "name": "add"},
                SAID,
            )
        ],
    ),
    (
        "openai",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "2 + 2?"}]}, SAID]},
        [SFT],
    ),
    ("openai", {"messages": [SYSTEM, ASKED]}, [{"row_kind": "prompt", "prompt": "What is 2 + 2?", "messages": [SYSTEM, ASKED]}]),
    ("trl", {"prompt": "What is 2 + 2?", "completion": "It is 4."}, [SFT]),
    ("trl", {"prompt": [ASKED], "completion": [SAID]}, [SFT]),
    ("pair", {"question": "What is 2 + 2?", "answer": "It is 4."}, [SFT]),
    ("pair", {"prompt": "What is 2 + 2?"}, [{"row_kind": "prompt", "prompt": "What is 2 + 2?"}]),
    ("pair", {"prompt": "What is 2 + 2?", "response": "It is 4.", "score": 0.5, "model": "m"}, [_answer("It is 4.", score=0.5, model="m")]),
    (
        "pair",
        {"question": "What is 2 + 2?", "answer": "It is 4.", "reasoning": "Two and two."},
        [_talk(ASKED, {"role": "assistant", "content": THOUGHT}, reasoning="Two and two.")],
    ),
    (
        "openai",
        {"messages": [ASKED, {**SAID, "reasoning_content": "Two and two."}]},
        [_talk(ASKED, {"role": "assistant", "content": THOUGHT}, reasoning="Two and two.")],
    ),
    (
        "self_instruct",
        {"instruction": "Double it.", "instances": [{"input": "2", "output": "4"}, {"input": "", "output": "?"}]},
        [
            {"row_kind": "sft", "prompt": "Double it.\n\n2", "response": "4"},
            {"row_kind": "sft", "prompt": "Double it.", "response": "?"},
        ],
    ),
    ("trl_preference", {"prompt": "What is 2 + 2?", "chosen": "It is 4.", "rejected": "It is 5."}, [PAIR]),
    ("trl_preference", {"prompt": [ASKED], "chosen": [SAID], "rejected": [WRONG]}, [PAIR]),
    ("trl_preference", {"chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]}, [PAIR]),
    (
        "trl_preference",
        {"chosen": "What is 2 + 2? It is 4.", "rejected": "What is 2 + 2? No idea."},
        [{**PAIR, "chosen": " It is 4.", "rejected": " No idea."}],
    ),
    (
        "trl_preference",
        {
            "prompt": "What is 2 + 2?",
            "chosen": [ASKED, SAID],
            "rejected": [ASKED, WRONG],
            "score_chosen": 9.0,
            "score_rejected": float("nan"),
            "margin": 2,
            "strength": "better",
            "edited": "4.",
        },
        [{**PAIR, "chosen_score": 9.0, "margin": 2.0, "strength": "better", "edited": "4."}],
    ),
    (
        "trl_preference",
        {"conversations": [{"from": "human", "value": "What is 2 + 2?"}], "chosen": {"from": "gpt", "value": "It is 4."}, "rejected": {"from": "gpt", "value": "It is 5."}},
        [PAIR],
    ),
    (
        "trl_preference",
        {"chosen": [SYSTEM, ASKED, CALLED, RESULT, SAID], "rejected": [SYSTEM, ASKED, WRONG]},
        [{**PAIR, "messages": [SYSTEM, ASKED], "chosen_messages": [CALLED, RESULT, SAID]}],
    ),
    ("hh", {"chosen": f"{HH}4.", "rejected": f"{HH}5."}, [PAIR]),
    ("hh", {"text": f"{HH}4."}, [SFT]),
    ("kto", {"prompt": "What is 2 + 2?", "completion": "It is 4.", "label": True}, [{**SFT, "row_kind": "feedback", "label": True}]),
    ("kto", {"messages": [ASKED, SAID], "label": False}, [{**SFT, "row_kind": "feedback", "label": False}]),
    ("kto", {"instruction": "What is 2 + 2?", "output": "It is 4.", "kto_tag": "true"}, [{**SFT, "row_kind": "feedback", "label": True}]),
    (
        "ultrafeedback",
        {
            "instruction": "What is 2 + 2?",
            "completions": [
                {
                    "model": "m",
                    "response": "It is 4.",
                    "overall_score": 8.5,
                    "critique": "Right.",
                    "annotations": {"honesty": {"Rating": "5", "Rationale": "It is so."}, "help": {"Rating": "N/A", "Rationale": ""}},
                },
                {"model": "n", "response": "It is 5.", "overall_score": "N/A"},
            ],
        },
        [
            _answer(
                "It is 4.",
                model="m",
                score=8.5,
                critique="Right.",
                ratings=[
                    {"aspect": "honesty", "rating": 5.0, "rationale": "It is so."},
                    {"aspect": "help", "rating": None, "rationale": None},
                ],
            ),
            _answer("It is 5.", model="n"),
        ],
    ),
    ("answers", {"prompt": "What is 2 + 2?", "responses": ["It is 4.", "It is 5."], "scores": [1, 0]}, [_answer("It is 4.", score=1.0), _answer("It is 5.", score=0.0)]),
    ("answers", {"prompt": "What is 2 + 2?", "answers": [{"answer": "It is 4.", "rank": 1}, {"answer": "Four.", "rank": 1}]}, [_answer("It is 4.", rank=1), _answer("Four.", rank=1)]),
    ("answers", {"prompt": "What is 2 + 2?", "response_a": "It is 4.", "response_b": "It is 5."}, [_answer("It is 4."), _answer("It is 5.")]),
    (
        "vote",
        {"prompt": "What is 2 + 2?", "response_a": "It is 4.", "response_b": "It is 5.", "winner": "model_a"},
        [{"row_kind": "vote", "prompt": "What is 2 + 2?", "response_a": "It is 4.", "response_b": "It is 5.", "vote": "a"}],
    ),
    (
        "vote",
        {"conversation_a": [ASKED, SAID], "conversation_b": [ASKED, WRONG], "winner": "tie (bothbad)", "model_a": "m"},
        [{"row_kind": "vote", "prompt": "What is 2 + 2?", "response_a": "It is 4.", "response_b": "It is 5.", "vote": "both_bad", "model_a": "m"}],
    ),
    (
        "vote",
        {"instruction": "What is 2 + 2?", "output_1": "It is 4.", "output_2": "It is 5.", "preference": 0},
        [{"row_kind": "vote", "prompt": "What is 2 + 2?", "response_a": "It is 4.", "response_b": "It is 5.", "vote": "tie"}],
    ),
    ("trl_steps", {"prompt": "What is 2 + 2?", "completions": ["Two and two.", "It is 5."], "labels": [True, False]}, [_steps(("Two and two.", 1), ("It is 5.", -1))]),
    (
        "math_shepherd",
        {"input": "What is 2 + 2? Step 1: Two and two. ки\nStep 2: It is 5. ки", "label": "What is 2 + 2? Step 1: Two and two. +\nStep 2: It is 5. -"},
        [_steps(("Step 1: Two and two.", 1), ("Step 2: It is 5.", -1))],
    ),
    (
        "prm800k",
        {
            "question": {"problem": "What is 2 + 2?"},
            "label": {
                "steps": [
                    {"completions": [{"text": "Two and two.", "rating": 1}, {"text": "Hm.", "rating": 0}], "chosen_completion": 0},
                    {"completions": [{"text": "It is 5.", "rating": -1}], "chosen_completion": None},
                ]
            },
        },
        [_steps(("Two and two.", 1), ("It is 5.", -1)), _steps(("Hm.", 0))],
    ),
    ("steps", {"question": "What is 2 + 2?", "steps": [{"text": "Two and two.", "rating": 1}, {"text": "It is 4."}]}, [_steps(("Two and two.", 1), ("It is 4.", None))]),
    ("document", {"text": "A page.", "title": "T", "url": "u"}, [{"row_kind": "document", "text": "A page.", "title": "T", "url": "u"}]),
    ("databuild", {"row_kind": "response", "prompt": "What is 2 + 2?", "response": "It is 4.", "rank": 2}, [_answer("It is 4.", rank=2)]),
]  # fmt: skip
