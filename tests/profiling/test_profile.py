"""A profile's numbers, each worked out by hand on a small table."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import databuild
from databuild.profiling import gather, profile, spread, table, texts
from databuild.text.normal import normal_forms
from databuild.text.tokens import TOKEN, folded
from databuild.text.whitespace import collapsed


@pytest.fixture
def look(tmp_path):
    """Profile a table that lies in one Parquet file."""

    def profiled(rows: pl.DataFrame, **options):
        path = tmp_path / "rows.parquet"
        rows.write_parquet(path)
        return databuild.profile(path, **options)

    return profiled


def kinds(found):
    return {column.name: column.kind for column in found.columns}


def test_columns_have_types_nulls_and_different_values(look):
    rows = pl.DataFrame(
        {
            "prompt": ["a", "b", None, "b"],
            "n": [1, 5, None, 5],
            "score": [0.5, math.nan, math.inf, None],
            "day": [date(2024, 1, 2), None, date(2024, 1, 1), None],
            "price": [Decimal("1.50"), Decimal("0.25"), None, None],
            "nothing": [None] * 4,
            "raw": [b"\xff", None, None, None],
            "pair": [{"a": 1}, None, {"a": 1}, {"a": 2}],
        }
    )
    found = look(rows)
    told = {c.name: (c.kind, c.n_null, c.n_distinct, c.low, c.high) for c in found.columns}
    assert found.rows == 4
    assert told == {
        "prompt": ("text", 1, 2, None, None),
        "n": ("number", 1, 2, "1", "5"),
        "score": ("number", 1, 3, "0.5", "0.5"),
        "day": ("date", 2, 2, "2024-01-01", "2024-01-02"),
        "price": ("number", 2, 2, "0.25", "1.50"),
        "nothing": ("other", 4, 0, None, None),
        "raw": ("other", 3, 1, None, None),
        "pair": ("other", 1, 2, None, None),
    }


def test_lengths_are_code_points_and_words_in_any_script(look):
    found = look(pl.DataFrame({"text": ["It's 世界!", "🙂🙂", "", None, " \n"]})).texts[0]
    assert (found.n, found.n_blank) == (4, 2)
    # "It's 世界!" has 8 code points and 4 words (It, s, 世, 界); the others 2, 0, 2 and none.
    assert found.chars.quantiles["max"] == 8
    assert found.chars.mean == (8 + 2 + 0 + 2) / 4
    assert found.words.quantiles["max"] == 4
    assert found.words.mean == 1


def test_duplicates_are_counted_as_they_are_and_in_normal_form(look):
    rows = pl.DataFrame({"text": ["Hi all", "Hi all", "hi  ALL ", "Ｈｉ all", "Bye", None, None]})
    found = look(rows)
    assert found.texts[0].n_duplicates == 1
    assert found.texts[0].n_normal_duplicates == 3
    (repeated,) = found.texts[0].most_repeated
    assert (repeated.n_rows, repeated.example.text, repeated.example.row) == (2, "Hi all", "#1")
    assert found.n_duplicate_rows == 2  # "Hi all" once more, null once more


def test_numbers_leave_out_what_is_no_number_and_say_so(look):
    rows = pl.DataFrame({"score": [1.0, 2.0, 3.0, 4.0, math.nan, math.inf, -math.inf, None]})
    found = look(rows).numbers[0].spread
    assert (found.n, found.n_nan, found.n_infinite) == (4, 1, 2)
    assert found.mean == 2.5
    assert found.std == pytest.approx(math.sqrt(5 / 3))
    assert found.quantiles == pytest.approx(
        {"min": 1, "p5": 1.15, "p25": 1.75, "p50": 2.5, "p75": 3.25, "p95": 3.85, "max": 4}
    )
    assert sum(found.histogram.counts) == 4


def test_whole_numbers_have_a_bin_each(look):
    found = look(pl.DataFrame({"k": [0, 0, 1, 3]})).numbers[0].spread.histogram
    assert (found.edges, found.counts) == ((0, 1, 2, 3, 4), (2, 1, 0, 1))


def test_a_long_tail_is_counted_and_not_drawn(look):
    found = look(pl.DataFrame({"n": [*range(100)] * 10 + [10**6]})).numbers[0].spread.histogram
    assert found.edges[-1] < 200
    assert (sum(found.counts), found.above, found.below) == (1000, 1, 0)


FLAGGED = pl.DataFrame(
    {
        "row_id": ["e", "d", "c", "b", "a"],
        "prompt": ["p1", "p2", "p3", "p4", "p5"],
        "response": ["r1", "r2", "r3", "r4", "r5"],
        "response_is_refusal": [True, True, None, True, True],
        "prompt_has_code": [False] * 5,
        "is_correct": [True, False, True, None, True],
        "response_faults": [["cut", "cut"], ["cut", "echo"], [], None, ["echo"]],
        "prompt_pii": [
            [{"type": "email", "start": 0}, {"type": "email", "start": 9}],
            [{"type": "phone", "start": 1}, {"type": "email", "start": 4}],
            [],
            None,
            [],
        ],
    }
)


def test_faults_are_counted_by_row_with_the_first_examples_by_row_id(look):
    found = look(FLAGGED)
    told = {one.name: (one.n_rows, one.n_unknown) for one in found.faults}
    assert told == {
        "response_is_refusal": (4, 1),
        "prompt_has_code": (0, 0),
        "response_faults: cut": (2, 1),
        "response_faults: echo": (2, 1),
        "prompt_pii: email": (2, 1),
        "prompt_pii: phone": (1, 1),
    }
    refusals = next(one for one in found.faults if one.column == "response_is_refusal")
    assert [(one.row, one.text) for one in refusals.examples] == [
        ("a", "r5"), ("b", "r4"), ("d", "r2")
    ]  # fmt: skip
    phone = next(one for one in found.faults if one.value == "phone")
    assert phone.examples[0].text == "p2"
    assert phone.examples[0].evidence == '[{"type":"phone","start":1}]'
    assert [one.column for one in found.strata] == ["is_correct"]


def test_the_limit_of_examples_is_kept(look):
    assert {len(one.examples) for one in look(FLAGGED, limit=0).faults} == {0}
    assert max(len(one.examples) for one in look(FLAGGED, limit=1).faults) == 1


def test_strata_point_out_small_cells_and_count_what_is_missing(look):
    rows = pl.DataFrame(
        {
            "topic": ["a"] * 50 + ["b"] * 45 + ["c"] * 3 + [None] * 2,
            "prompt_language": ["en"] * 90 + ["zh"] * 10,
            "tags": [["x", "y"]] * 10 + [["x"]] * 80 + [[]] * 9 + [None],
        }
    )
    strata = {one.column: one for one in look(rows).strata}
    topic = [(cell.value, cell.n, cell.is_small) for cell in strata["topic"].cells]
    # An equal share of the 98 named rows would be 32.7, a fifth of that 6.5.
    assert topic == [("a", 50, False), ("b", 45, False), ("c", 3, True), (None, 2, False)]
    assert strata["prompt_language"].is_language
    assert [(cell.value, cell.n) for cell in strata["tags"].cells] == [("x", 90), ("y", 10)]


def test_cells_that_are_not_listed_are_summed(look):
    rows = pl.DataFrame({"topic": [f"t{n:02}" for n in range(30)] * 4})
    (found,) = look(rows).strata
    assert (len(found.cells), found.n_others, found.n_other_rows) == (20, 10, 40)


def test_clusters_are_the_values_that_rows_share(look):
    rows = pl.DataFrame(
        {"text": list("abcdefg"), "cluster_id": ["x", "x", "x", "y", "y", "z", None]}
    )
    (found,) = look(rows).clusters
    assert (found.n_clusters, found.n_rows, found.sizes) == (2, 5, {2: 1, 3: 1})
    assert [(one.n_rows, one.example.text) for one in found.largest] == [(3, "a"), (2, "d")]


CALLS = pl.List(pl.Struct({"name": pl.String}))
TALK = pl.List(pl.Struct({"role": pl.String, "content": pl.String, "tool_calls": CALLS}))


def turn(role, content, calls=None):
    return {"role": role, "content": content, "tool_calls": calls}


def test_conversations_are_counted_by_turn_and_by_row(look):
    call = [{"name": "f"}]
    rows = pl.DataFrame(
        {
            "messages": [
                [turn("system", "s"), turn("user", "hi"), turn("assistant", "ho")],
                [turn("user", "a"), turn("user", " "), turn("assistant", "b")],
                [
                    turn("user", "a"), turn("assistant", None, call), turn("tool", "1"),
                    turn("tool", "2"), turn("assistant", "b"),
                ],
                [],
                None,
            ]
        },
        schema={"messages": TALK},
    )  # fmt: skip
    found = look(rows)
    (talk,) = found.conversations
    assert (talk.n, talk.n_empty) == (3, 2)
    assert talk.turns.mean == pytest.approx(11 / 3)
    assert {cell.value: cell.n for cell in talk.roles} == {
        "system": 1, "user": 4, "assistant": 4, "tool": 2
    }  # fmt: skip
    assert {cell.value: cell.n for cell in talk.last_roles} == {"assistant": 3}
    counts = (talk.n_with_system, talk.n_with_tools, talk.n_blank_turns, talk.n_same_role_twice)
    assert counts == (1, 1, 1, 1)  # a call without content is not blank; two tools may follow
    assert found.texts[0].chars.quantiles["max"] == len("a\n\n1\n2\nb")


def test_pairs_are_compared_text_by_text(look):
    rows = pl.DataFrame(
        {
            "chosen": ["same", "Same ", "longer one", "ab", None],
            "rejected": ["same", "same", "short", "abcd", "x"],
        }
    )
    found = look(rows).pairs
    assert (found.n, found.n_equal, found.n_normal_equal) == (4, 1, 2)
    assert (found.n_chosen_longer, found.n_rejected_longer) == (2, 1)
    assert found.length_ratio.mean == pytest.approx((1 + 5 / 4 + 2 + 0.5) / 4)


def test_pairs_of_conversations_are_compared_too(look):
    talk = [{"role": "user", "content": "hi"}]
    found = look(pl.DataFrame({"chosen": [talk, talk], "rejected": [talk, None]}))
    assert (found.pairs.n, found.pairs.n_equal) == (1, 1)


def test_only_the_asked_columns_are_looked_at(look):
    found = look(FLAGGED, columns=("prompt",))
    assert [one.name for one in found.columns] == ["prompt"]
    with pytest.raises(databuild.DatabuildError, match="no column 'promt'; did you mean 'prompt'"):
        look(FLAGGED, columns=("promt",))


@pytest.mark.parametrize("rows", [pl.DataFrame(), FLAGGED.clear()], ids=["nothing", "no rows"])
def test_an_empty_table_has_an_empty_profile(look, rows):
    found = look(rows)
    assert found.rows == 0
    assert len(found.columns) == rows.width
    assert {one.n_rows for one in found.faults} <= {0}


def test_parts_and_groups_change_nothing(look, monkeypatch):
    rows = pl.concat([FLAGGED.with_columns(k=pl.int_range(5) % 2, t=pl.lit("same text"))] * 8)
    rows = rows.with_columns(row_id=pl.int_range(40).cast(pl.String))
    whole = look(rows)
    monkeypatch.setattr(table, "PART_ROWS", 7)
    monkeypatch.setattr(gather, "MOST_BYTES", 1)
    assert look(rows).as_plain() == whole.as_plain()


def test_what_a_group_kept_is_let_go_before_the_next(look, monkeypatch):
    """With room for one column at a time, no two columns of values are held at once."""
    held = []
    real = gather.gather

    def counted(rows, gatherers):
        together = list(gatherers)
        held.append(len(together))
        real(rows, together)

    monkeypatch.setattr(gather, "MOST_BYTES", 1)
    monkeypatch.setattr(profile, "gather", counted)
    look(pl.DataFrame({f"n{i}": [1.0, 2.0] for i in range(5)}))
    assert held == [1] * 5


@given(st.lists(st.one_of(st.none(), st.text(max_size=30))))
def test_words_and_normal_forms_are_those_of_the_expressions(values):
    text = pl.Series("t", values, dtype=pl.String)
    frame = text.to_frame()
    assert texts.count_words(text).to_list() == text.str.count_matches(TOKEN).to_list()
    expected = frame.select(collapsed(folded(pl.col("t"))))["t"].to_list()
    assert normal_forms(text).to_list() == expected


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40))
def test_a_histogram_holds_every_finite_number(values):
    found = spread.spread_of(pl.Series(values, dtype=pl.Float64))
    n = sum(math.isfinite(v) for v in values)
    assert found.n == n
    if n:
        drawn = found.histogram
        assert sum(drawn.counts) + drawn.below + drawn.above == n
        assert all(a < b for a, b in zip(drawn.edges, drawn.edges[1:], strict=False))
        assert len(drawn.edges) <= 60
    else:
        assert found.histogram is None


def test_the_distance_of_two_samples_is_the_largest_gap():
    one, other = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0, 5.0])
    # At 3 all of the first and half of the second lie below.
    distance, noise = spread.kolmogorov(one, other)
    assert distance == pytest.approx(0.5)
    assert noise == pytest.approx(1.358 * math.sqrt(7 / 12))
    assert spread.kolmogorov(one, one)[0] == 0


def test_the_index_of_stability_is_the_textbook_one():
    before, after = [20.0, 30.0, 50.0], [30.0, 30.0, 40.0]
    expected = 0.1 * math.log(0.3 / 0.2) + -0.1 * math.log(0.4 / 0.5)
    assert spread.stability(before, after) == pytest.approx(expected)
    assert spread.stability([1.0, 0.0], [0.0, 1.0]) == pytest.approx(2 * 0.9999 * math.log(1e4))


def test_one_outlier_among_few_values_does_not_press_the_others_together(look):
    found = look(pl.DataFrame({"n": [30.5, 31.5, 32.5, 33.5] * 10 + [3000.0]}))
    drawn = found.numbers[0].spread.histogram
    assert drawn.edges[-1] < 40
    assert (sum(drawn.counts), drawn.above) == (40, 1)
