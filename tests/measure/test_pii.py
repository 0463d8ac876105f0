from __future__ import annotations

import polars as pl
import pytest

from databuild.measure.pii import PiiConfig, measure_pii


def test_spans_counts_and_types_stand_beside_the_text():
    rows = pl.DataFrame(
        {
            "row_id": ["a", "b", "c"],
            "prompt": ["🙂 ann@post.org, bo@post.org and 81.2.69.142", "", None],
        }
    )
    made = measure_pii(rows, PiiConfig())
    assert made.rows() == [
        (
            "a",
            [
                {"type": "email", "start": 2, "end": 14},
                {"type": "email", "start": 16, "end": 27},
                {"type": "ip_address", "start": 32, "end": 43},
            ],
            3,
            ["email", "ip_address"],
        ),
        ("b", [], 0, []),
        ("c", [], 0, []),
    ]
    assert measure_pii(rows.head(0), PiiConfig()).schema == made.schema


def test_in_messages_a_span_names_its_turn_and_arguments_are_searched():
    turns = [
        {"role": "user", "content": "hi", "tool_calls": None},
        {"role": "assistant", "content": "ann@post.org", "tool_calls": [{"arguments": '{"to": "bo@post.org"}'}]},
    ]  # fmt: skip
    rows = pl.DataFrame({"row_id": ["a", "b"], "messages": [turns, None]})
    (first, second) = measure_pii(rows, PiiConfig(column="messages"))["messages_pii"].to_list()
    assert first == [
        {"type": "email", "item": 1, "start": 0, "end": 12},
        {"type": "email", "item": 1, "start": 8, "end": 19},
    ]
    assert second == []


def test_only_some_types():
    rows = pl.DataFrame({"row_id": ["a"], "prompt": ["ann@post.org 81.2.69.142"]})
    assert measure_pii(rows, PiiConfig(types="ip_address"))["prompt_pii_types"].to_list() == [
        ["ip_address"]
    ]


def test_an_unknown_type_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'email'"):
        PiiConfig(types="emial")


def test_precision_on_labelled_sentences(shared_data):
    """Spans of the types that are claimed; the figures are those of tests/bench/pii.json."""
    from tests.bench.pii import judge

    facts = judge(pl.read_parquet(shared_data / "pii_synthetic.parquet"))
    assert facts["precision"] >= 0.9
    assert facts["recall"]["email"] == facts["recall"]["us_ssn"] == 1.0
