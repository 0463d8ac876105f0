from __future__ import annotations

import polars as pl
import pytest

from databuild.reward.verify import VerifyConfig, measure_obedience


def verify(response, constraints=(), about=("tomato",), finish="stop") -> dict:
    rules = [{"kind": kind, "value": value} for kind, value in constraints]
    rows = pl.DataFrame(
        {
            "row_id": ["a"],
            "response": [response],
            "constraints": [rules],
            "about": [list(about)],
            "finish_reason": [finish],
        },
        schema={
            "row_id": pl.String,
            "response": pl.String,
            "about": pl.List(pl.String),
            "finish_reason": pl.String,
            "constraints": pl.List(pl.Struct({"kind": pl.String, "value": pl.String})),
        },
    )
    return measure_obedience(rows, VerifyConfig()).row(0, named=True)


def test_a_strict_pass_needs_every_constraint_and_every_floor():
    good = verify("tomatoes like a lot of warm sun.", [("lowercase", ""), ("max_words", "9")])
    assert (good["strict_pass"], good["constraint_pass"], good["verify_score"]) == (True, True, 1.0)
    half = verify("Tomatoes like a lot of warm sun.", [("lowercase", ""), ("max_words", "9")])
    assert (half["strict_pass"], half["constraint_pass"], half["verify_score"]) == (
        False,
        False,
        0.75,
    )


@pytest.mark.parametrize(
    ("floor", "response", "finish"),
    [
        ("floor_on_topic", "plants like a lot of warm sun.", "stop"),
        ("floor_long_enough", "tomatoes like sun.", "stop"),
        ("floor_finished", "tomatoes like a lot of warm sun.", "length"),
        ("floor_finished", "tomatoes like a lot of warm sun.", None),
        ("floor_fresh", "tomatoes like sun and tomatoes like sun and tomatoes like sun.", "stop"),
    ],
)
def test_a_floor_that_fails_fails_the_pass_and_lowers_the_score(floor, response, finish):
    found = verify(response, [("lowercase", "")], finish=finish)
    assert found["constraint_pass"]
    assert not found["strict_pass"]
    assert found["verify_score"] < 1
    floors = {name: value for name, value in found.items() if name.startswith("floor_")}
    assert [name for name, value in floors.items() if not value] == [floor]


def test_what_cannot_be_verified_has_nulls_and_an_error():
    for found in (verify(None), verify("x", [("nobody", "")]), verify("x", [("bullets", "many")])):
        assert found["error"]
        assert found["strict_pass"] is None
        assert found["verify_score"] is None


def test_no_constraints_leave_the_floors():
    assert verify("anything at all goes here today.", about=())["strict_pass"]
