"""Records to read: any JSON under the names that formats know, and conversations that are lawful."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from databuild.text.formats.registry import NAMES

PIECES = [
    *(
        "Why is the sky blue?",
        "因为散射。",
        "🙂",
        "a",
        "\u200b",
        " ",
        "\n\n",
        "<think>",
        "</think>",
    ),
    *("\n\nHuman:", "\n\nAssistant: ", "[", "{", '{"role": "user", "content": "x"}', "\x00", "ки"),
    *('"', "\\", "\u2028", "Step 1: ", "+", "tail "),
]
texts = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
plain_texts = st.lists(
    st.sampled_from(["Why?", "because", "光", "🙂", ".", "line\nline", "1 + 1"]),
    min_size=1,
    max_size=4,
).map(" ".join)
numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.sampled_from(["N/A", "4", "x", True, False, 0, 1])
)
roles = st.sampled_from(
    [
        "user",
        "human",
        "gpt",
        "assistant",
        "system",
        "tool",
        "function_call",
        "narrator",
        "",
        None,
        7,
    ]
)
turn_like = st.fixed_dictionaries(
    {},
    optional={
        "role": roles,
        "from": roles,
        "content": st.one_of(texts, st.none(), st.lists(st.dictionaries(st.just("text"), texts))),
        "value": texts,
        "tool_calls": st.one_of(
            st.lists(
                st.dictionaries(st.sampled_from(["id", "name", "arguments", "function"]), texts)
            ),
            numbers,
        ),
        "tool_call_id": st.one_of(texts, numbers),
        "reasoning_content": texts,
        "weight": numbers,
    },
)
words = st.sampled_from(
    ["a", "tie", "model_b", "better", "slightly better", "good", "sft", "vote", "steps", "yes", "+"]
)
leaves = st.one_of(st.none(), texts, numbers, words, st.lists(turn_like, max_size=4))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["text", "rating", "label", "steps", "problem", "completions", "score"]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
names = st.one_of(
    st.sampled_from(
        ["prompt", "response", "messages", "chosen", "rejected", "instruction", "output"]
    ),
    st.sampled_from(sorted(NAMES)),
    st.sampled_from(["id", "note"]),
)
garbage = st.dictionaries(names, values, max_size=6)


@st.composite
def talks(draw: Any, said: Any = plain_texts) -> list[dict[str, Any]]:
    """A lawful conversation that ends with an answer, with or without system and tool turns."""
    turns: list[dict[str, Any]] = []
    if draw(st.booleans()):
        turns.append({"role": "system", "content": draw(said)})
    for number in range(draw(st.integers(1, 3))):
        turns.append({"role": "user", "content": draw(said)})
        if draw(st.booleans()):
            call = {"name": draw(st.sampled_from(["add", "查"])), "arguments": '{"a": [1, "光"]}'}
            call |= {"id": f"c{number}"} if draw(st.booleans()) else {}
            turns.append({"role": "assistant", "tool_calls": [call]})
            if draw(st.booleans()):
                turns[-1]["content"] = draw(said)
            answer = {"role": "tool", "content": draw(st.sampled_from(["2", ""]))}
            answer |= {"tool_call_id": call["id"]} if "id" in call else {}
            turns.append(answer)
        turns.append({"role": "assistant", "content": draw(said)})
    return turns
