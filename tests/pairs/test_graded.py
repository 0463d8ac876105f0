from __future__ import annotations

import polars as pl
import pytest

from databuild.pairs.graded import GradedConfig, make_graded_pairs

NAN = float("nan")


def answers(*rows: tuple) -> pl.DataFrame:
    """Rows of (row_id, prompt, response, score, origin, strict_pass)."""
    schema = {
        "row_id": pl.String, "prompt": pl.String, "response": pl.String, "verify_score": pl.Float64,
        "origin": pl.String, "strict_pass": pl.Boolean,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def sampled(*scores: float | None) -> pl.DataFrame:
    return answers(*((f"{i}", "p", f"t{i}", s, "sampled", s == 1) for i, s in enumerate(scores)))


def pairs(rows: pl.DataFrame, **options) -> list[tuple]:
    made = make_graded_pairs(rows, GradedConfig(**options))
    used = set(made.rows["parent_ids"].explode())
    assert used | set(made.dropped["row_id"]) == set(rows["row_id"])
    assert not used & set(made.dropped["row_id"])
    for row in made.rows.iter_rows(named=True):
        text = dict(rows.select("row_id", "response").rows())
        assert [row["chosen"], row["rejected"]] == [text[i] for i in row["parent_ids"]]
    return [tuple(ids) for ids in made.rows["parent_ids"]]


def dropped(rows: pl.DataFrame, **options) -> dict[str, str]:
    return dict(make_graded_pairs(rows, GradedConfig(**options)).dropped.rows())


def test_the_best_is_chosen_over_the_worst():
    rows = sampled(0.5, 0.1, 0.9, NAN, None)
    assert pairs(rows) == [("2", "1")]
    assert dropped(rows) == {
        "0": "in none of the 1 allowed pairs of largest margin", "3": "no score", "4": "no score",
    }  # fmt: skip


def test_more_pairs_are_folded_and_no_answer_stands_twice():
    assert pairs(sampled(0.1, 0.2, 0.5, 0.8, 0.9), max_pairs_per_prompt=9) == [
        ("4", "0"),
        ("3", "1"),
    ]


@pytest.mark.parametrize(
    ("margin", "strength"),
    [
        (0.6, "significantly better"), (0.59, "better"), (0.4, "better"), (0.39, "slightly better"),
        (0.2, "slightly better"), (0.19, "marginally better"), (0.01, "marginally better"),
    ],
)  # fmt: skip
def test_four_strengths(margin, strength):
    made = make_graded_pairs(sampled(0.3 + margin, 0.3), GradedConfig()).rows
    assert made["strength"].to_list() == [strength]
    assert made["margin"].to_list() == [pytest.approx(margin)]


def test_edited_beats_chosen_beats_rejected():
    rows = answers(
        ("c", "p", "fair", 0.6, "sampled", False), ("r", "p", "bad", 0.1, "sampled", False),
        ("e", "p", "good", 1.0, "edited", True),
    )  # fmt: skip
    assert pairs(rows, max_pairs_per_prompt=3) == [("e", "r"), ("c", "r"), ("e", "c")]
    assert pairs(rows) == [("e", "r")]
    made = make_graded_pairs(rows, GradedConfig())
    assert made.rows["chosen_origin"].to_list() == ["edited"]


def test_of_equal_margins_the_models_own_answer_is_chosen():
    rows = answers(
        ("c", "p", "fine", 1.0, "sampled", True), ("r", "p", "bad", 0.1, "sampled", False),
        ("e", "p", "good", 1.0, "edited", True),
    )  # fmt: skip
    assert pairs(rows) == [("c", "r")]


def test_an_edit_that_does_not_pass_is_in_no_pair():
    rows = answers(
        ("c", "p", "fair", 0.6, "sampled", False), ("e", "p", "good", 0.9, "edited", False),
        ("f", "p", "fine", 0.9, "edited", None),
    )  # fmt: skip
    assert pairs(rows) == []
    assert dropped(rows) == {
        "c": "only one answer", "e": "edited, but does not pass", "f": "edited, but does not pass",
    }  # fmt: skip
    assert pairs(rows, passes=None) == [("e", "c")]


def test_reasons_of_prompts_without_a_pair():
    assert set(dropped(sampled(0.5, 0.5, 0.5)).values()) == {"all scores equal"}
    assert set(dropped(sampled(0.5, 0.4), min_margin=0.2).values()) == {"no margin of 0.2"}
    assert dropped(answers(("a", None, "x", 0.5, "sampled", True))) == {"a": "no prompt"}
    assert dropped(answers(("a", "p", None, 0.5, "sampled", True))) == {"a": "no score"}


def test_one_text_competes_once():
    rows = answers(
        ("a", "p", "same", 0.9, "sampled", True), ("b", "p", "same ", 0.2, "sampled", True),
        ("c", "p", "other", 0.5, "sampled", True),
    )  # fmt: skip
    assert pairs(rows) == [("a", "c")]
    assert dropped(rows) == {"b": "same text as a better one"}


def test_prompts_do_not_mix():
    rows = pl.concat([sampled(0.9, 0.1), sampled(0.8, 0.3).with_columns(
        row_id="q" + pl.col("row_id"), prompt=pl.lit("q"))])  # fmt: skip
    assert sorted(pairs(rows, max_pairs_per_prompt=5)) == [("0", "1"), ("q0", "q1")]


def test_thresholds_must_fall():
    with pytest.raises(ValueError, match="thresholds must fall"):
        GradedConfig(thresholds=(0.2, 0.4, 0.6))


def test_pairs_can_be_held_to_similar_lengths_and_a_passing_choice():
    rows = pl.DataFrame(
        {
            "row_id": ["a", "b", "c", "d", "e", "f"],
            "prompt": ["p", "p", "q", "q", "r", "r"],
            "response": ["x" * 10, "y" * 40, "x" * 10, "y" * 15, "x" * 10, "y" * 12],
            "verify_score": [1.0, 0.1, 1.0, 0.1, 0.8, 0.1],
            "strict_pass": [True, False, True, False, False, False],
        }
    )
    config = GradedConfig(origin=None, chosen_passes=True, max_length_ratio=1.5)
    made = make_graded_pairs(rows, config)
    assert made.rows["prompt"].to_list() == ["q"]
    assert made.rows.height * 2 + made.dropped.height == 6
