from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.pairs import matching
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


def graded(rows: pl.DataFrame, **options):
    return make_graded_pairs(rows, GradedConfig(**options))


def test_a_chosen_answer_may_stand_over_several_rejected_ones():
    rows = sampled(0.9, 0.1, 0.2, 0.3, 0.8)
    assert pairs(rows, rejected_per_chosen=3, max_pairs_per_prompt=3) == [
        ("0", "1"), ("0", "2"), ("0", "3"),
    ]  # fmt: skip
    assert pairs(rows, rejected_per_chosen=2, max_pairs_per_prompt=9) == [
        ("0", "1"), ("0", "2"), ("4", "2"), ("4", "3"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="max_pairs_per_prompt allows only 1: raise it"):
        GradedConfig(rejected_per_chosen=2)


def texts(*rows: tuple[float, int, str | None]) -> pl.DataFrame:
    """Answers of (score, length, model)."""
    return pl.DataFrame(
        [(f"{i}", "p", chr(97 + i) * n, s, m) for i, (s, n, m) in enumerate(rows)],
        schema=["row_id", "prompt", "response", "verify_score", "model_name"],
        orient="row",
    )


PLAIN = {"origin": None, "passes": None}


def test_the_rejected_answer_may_be_the_one_of_nearest_length():
    rows = texts((0.9, 50, "m"), (0.5, 45, "m"), (0.3, 20, "m"), (0.05, 10, "m"))
    assert pairs(rows, **PLAIN) == [("0", "3")]
    assert pairs(rows, **PLAIN, match_length=True, max_pairs_per_prompt=9) == [
        ("0", "1"), ("2", "3"), ("1", "2"),
    ]  # fmt: skip
    assert pairs(rows, **PLAIN, match_length=True, min_margin=0.5) == [("0", "2")]
    # Without it a bound finds no partner for the best answer, with it the best that there is.
    assert pairs(rows, **PLAIN, max_length_ratio=2.4, max_pairs_per_prompt=9) == [("1", "2")]
    found = pairs(rows, **PLAIN, match_length=True, max_length_ratio=2.4, max_pairs_per_prompt=9)
    assert found == [("0", "1"), ("2", "3"), ("1", "2")]


def test_pairs_may_be_made_across_two_models_only():
    rows = texts((0.9, 9, "m"), (0.5, 9, "m"), (0.3, 9, "n"), (0.1, 9, "m"), (0.05, 9, None))
    assert pairs(rows, **PLAIN) == [("0", "4")]
    assert pairs(rows, **PLAIN, across="model_name", max_pairs_per_prompt=9) == [
        ("0", "2"), ("1", "2"), ("2", "3"),
    ]  # fmt: skip
    assert dropped(rows, **PLAIN, across="model_name")["4"] == "no value in model_name"


def test_quantiles_spread_the_grades():
    rows = pl.concat(
        sampled(0.1, 0.1 + 0.8 * i / 40).with_columns(
            row_id=pl.format("{}-{}", pl.lit(i), "row_id"), prompt=pl.lit(f"p{i}")
        )
        for i in range(1, 41)
    )
    absolute = graded(rows, thresholds=(0.05, 0.02, 0.01)).facts
    assert absolute["grades"]["significantly better"] == 38
    assert absolute["warning"].startswith("38 of 40 pairs are significantly better: the grades say")
    assert "`thresholds: quantiles`" in absolute["warning"]
    assert absolute["in_short"] == "38 of 40 pairs are significantly better; set thresholds"
    made = graded(rows, thresholds="quantiles")
    assert list(made.facts["grades"].values()) == [11, 10, 10, 9]
    assert made.facts["thresholds"] == pytest.approx([0.6, 0.4, 0.2])
    assert "warning" not in made.facts
    steep = graded(rows, thresholds="quantiles", quantiles=(0.9, 0.8, 0.7)).facts
    assert list(steep["grades"].values()) == [5, 4, 4, 27]
    assert list(graded(rows.clear(), thresholds="quantiles").facts["grades"].values()) == [0] * 4


def test_equal_margins_are_one_grade_and_that_is_said():
    rows = pl.concat(
        sampled(1.0, 0.0).with_columns(
            row_id=pl.format("{}-{}", pl.lit(i), "row_id"), prompt=pl.lit(f"p{i}")
        )
        for i in range(30)
    )
    facts = graded(rows, thresholds="quantiles").facts
    assert facts["warning"].endswith("all margins are equal, so the grades say nothing; score on a"
                                     " finer scale")  # fmt: skip
    assert facts["in_short"] == "30 of 30 pairs are significantly better"


def test_weights_follow_strengths_or_margins():
    rows = sampled(0.9, 0.2, 0.3, 0.6)
    made = graded(rows, max_pairs_per_prompt=2).rows
    assert made["weight"].to_list() == [1.0, 0.5]
    own = {"strength_weights": (4.0, 3.0, 2.0, 1.0), "max_pairs_per_prompt": 2}
    assert graded(rows, **own).rows["weight"].to_list() == [4.0, 2.0]
    made = graded(rows, weight_by="margin", max_pairs_per_prompt=2).rows
    assert made["weight"].to_list() == pytest.approx([0.7, 0.3])
    assert graded(sampled(0.5, 0.499), weight_by="margin").rows["weight"].to_list() == [0.01]
    with pytest.raises(ValueError, match="strength_weights must be above 0"):
        GradedConfig(strength_weights=(1.0, 0.5, 0.2, 0.0))


def test_a_trusted_edit_gives_all_three_pairs_whatever_it_scores():
    rows = answers(
        ("c", "p", "fair", 0.6, "sampled", False), ("r", "p", "bad", 0.1, "sampled", False),
        ("e", "p", "good", None, "edited", None),
    )  # fmt: skip
    assert pairs(rows, max_pairs_per_prompt=3) == [("c", "r")]
    made = graded(rows, max_pairs_per_prompt=3, trust_edits=True)
    assert [tuple(ids) for ids in made.rows["parent_ids"]] == [("c", "r"), ("e", "r"), ("e", "c")]
    assert made.rows["margin"].to_list() == pytest.approx([0.5, 0.5, 0.0])
    assert made.rows["chosen_score"].to_list() == [0.6, None, None]
    assert (made.rows["weight"] > 0).all()
    alone = answers(("e", "p", "good", None, "edited", None), ("c", "p", "x", 1.0, "sampled", True))
    assert pairs(alone, trust_edits=True) == [("e", "c")]


def test_prompts_without_a_pair_are_counted_by_reason():
    rows = pl.concat(
        table.with_columns(
            row_id=pl.format("{}-{}", pl.lit(name), "row_id"), prompt=pl.lit(name)
        )
        for name, table in {
            "equal": sampled(0.5, 0.5, 0.5), "flat": sampled(0.25, 0.25), "one": sampled(0.5),
            "good": sampled(0.9, 0.1), "none": sampled(None, NAN), "close": sampled(0.5, 0.45),
            "mixed": sampled(0.5, 0.5, None),
        }.items()
    )  # fmt: skip
    facts = graded(rows, min_margin=0.1).facts
    assert facts["prompts"] == 7
    assert facts["prompts_without_pair"] == {
        "all scores equal": 3, "no margin of 0.1": 1, "no usable answers": 1, "only one answer": 1,
    }  # fmt: skip


SCORES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]), st.integers(1, 12), st.sampled_from("mn")
    ),
    max_size=9,
)


@settings(deadline=None, max_examples=60)
@given(SCORES, st.sampled_from([0.0, 0.2]), st.sampled_from([None, 1.5]), st.booleans(),
       st.integers(1, 3))  # fmt: skip
def test_a_search_finds_what_trying_all_pairs_finds(rows, least, ratio, by_length, per_chosen):
    rows = sorted(rows, key=lambda one: -one[0])
    score, chars, model = (
        (np.array(c) for c in zip(*rows, strict=True)) if rows else [np.zeros(0)] * 3
    )
    ranked = matching.Ranked(
        np.zeros(len(rows), np.int64), score, chars, (model == "m").astype(np.int64)
    )
    found = matching.searched(ranked, matching.Rule(least, per_chosen, ratio, by_length))
    expected = []
    for i in range(len(rows)):
        able = [
            j for a, j in combinations(range(len(rows)), 2)
            if a == i and score[i] > score[j] and score[i] - score[j] >= least - 1e-9
            and model[i] != model[j]
            and (ratio is None or max(chars[i], chars[j]) <= ratio * min(chars[i], chars[j]))
        ]  # fmt: skip
        able.sort(key=lambda j: (abs(chars[i] - chars[j]) if by_length else 0, score[j], -j))
        expected += [(i, j) for j in able[:per_chosen]]
    assert list(zip(*(side.tolist() for side in found), strict=True)) == expected


def test_a_search_in_chunks_is_a_search_at_once(monkeypatch):
    rng = np.random.default_rng(2)
    prompt = np.sort(rng.integers(0, 20, 200))
    score = rng.random(200)
    score = score[np.lexsort([-score, prompt])]
    ranked = matching.Ranked(prompt, score, rng.integers(1, 50, 200))
    rule = matching.Rule(0.1, 2, 1.5, by_length=True)
    whole = matching.searched(ranked, rule)
    monkeypatch.setattr(matching, "CHUNK", 7)
    pieces = matching.searched(ranked, rule)
    assert all((a == b).all() for a, b in zip(whole, pieces, strict=True))
    assert len(whole[0]) > 100
