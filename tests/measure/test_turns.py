from __future__ import annotations

import polars as pl
import pytest

from databuild.errors import SchemaError
from databuild.measure.turns import TurnsConfig, measure_turns

TURN = pl.Struct({"role": pl.String, "content": pl.String, "tool_calls": pl.List(pl.String)})


def measure(*talks):
    held = [
        talk
        and [
            {"role": role, "content": content, "tool_calls": ["x()"] if content is None else None}
            for role, content in talk
        ]
        for talk in talks
    ]
    rows = pl.DataFrame(
        {"row_id": [str(i) for i in range(len(talks))], "messages": held},
        schema_overrides={"messages": pl.List(TURN)},
    )
    return measure_turns(rows, TurnsConfig())


U, A, S, T = ("user", "sun?"), ("assistant", "sun."), ("system", "be kind"), ("tool", "21 C")
CALL = ("assistant", None)


@pytest.mark.parametrize(
    ("talk", "faults"),
    [
        ([U, A], []),
        ([S, U, A, U, A], []),
        ([U, CALL, T, T, A], []),
        ([], ["no_turns"]),
        (None, ["no_turns"]),
        ([U, ("gardener", "hm")], ["unknown_role", "no_answer"]),
        ([U, S, A], ["late_system"]),
        ([A, U, A], ["starts_with_answer"]),
        ([U, U, A], ["repeated_role"]),
        ([U, A, A], ["repeated_role"]),
        ([U, ("assistant", " \u200b\n")], ["empty_turn"]),
        ([U, A, U], ["no_answer"]),
        ([U, T, A], ["orphan_tool"]),
    ],
)
def test_conversations(talk, faults):
    assert measure(talk)["messages_turn_faults"].to_list() == [faults]


def test_faults_belong_to_their_own_conversation():
    found = measure([U, A], [A], [U, A])
    assert found["messages_turn_faults"].to_list() == [[], ["starts_with_answer"], []]


def test_counts():
    found = measure([S, U, A, U, A], None, [("user", "雨🌧")])
    assert found["messages_n_turns"].to_list() == [5, 0, 1]
    assert found["messages_n_answers"].to_list() == [2, 0, 0]
    assert found["messages_chars"].to_list() == [23, 0, 2]


@pytest.mark.parametrize(
    "messages", [["sun?"], [["sun?"]], [[{"role": "user", "content": 1}]], [None]]
)
def test_a_column_of_something_else_is_refused(messages):
    rows = pl.DataFrame({"row_id": ["a"], "messages": messages})
    with pytest.raises(SchemaError, match=r"measure\.turns: the column 'messages' is"):
        measure_turns(rows, TurnsConfig())
