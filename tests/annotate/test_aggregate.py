"""annotate.aggregate."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from databuild.annotate.aggregate import AggregateConfig, aggregate_votes
from databuild.errors import SchemaError
from tests.annotate.votes import preference_votes, table, vote


def made(rows: pl.DataFrame, **options: Any) -> pl.DataFrame:
    return aggregate_votes(rows, AggregateConfig(**options)).rows.sort("record")


def grades(*of: tuple[str, int | None], **given: Any) -> pl.DataFrame:
    return table([vote(0, who, grade, **given) for who, grade in of])


@pytest.mark.parametrize(
    ("said", "verdict", "grade", "strength", "agreement"),
    [
        ([3, 2, -1], "a", 2.5, "better", 2 / 3),
        ([-4, -4, -3], "b", -11 / 3, "significantly better", 1.0),
        ([1], "a", 1.0, "marginally better", 1.0),
        ([2, -2], "tie", 0.0, None, 0.0),  # evenly split: a tie that nobody voted for
        ([4, -1], "a", 4.0, "significantly better", 0.5),  # evenly split: the mean decides
        ([0, 0, 3], "tie", 0.0, None, 2 / 3),
    ],
)
def test_majority_says_what_most_say(
    said: list[int], verdict: str, grade: float, strength: str | None, agreement: float
) -> None:
    row = made(grades(*((f"p{n}", g) for n, g in enumerate(said)))).row(0, named=True)
    assert row["vote"] == verdict
    assert row["grade"] == pytest.approx(grade)
    assert row["strength"] == strength
    assert row["weight"] == pytest.approx(abs(grade) / 4)
    assert row["agreement"] == pytest.approx(agreement)
    assert row["n_votes"] == len(said)


@pytest.mark.parametrize(
    ("said", "verdict", "grade"),
    [([4, -1, -1], "a", 2 / 3), ([1, 0], "tie", 0.0), ([1, 0, -4], "b", -1.0), ([2, 1], "a", 1.5)],
)
def test_mean_is_the_signed_mean_strength(said: list[int], verdict: str, grade: float) -> None:
    rows = grades(*((f"p{n}", g) for n, g in enumerate(said)))
    row = made(rows, method="mean").row(0, named=True)
    assert (row["vote"], row["grade"]) == (verdict, pytest.approx(grade))


def test_dawid_skene_believes_the_able_more_than_the_many() -> None:
    votes = preference_votes(200, (0.95, 0.95, 0.4, 0.4, 0.4), seed=5)
    truth = votes.group_by("record").agg(pl.col("truth").first())

    def right(method: str) -> float:
        found = made(votes, method=method).join(truth, on="record")
        sign = pl.when(pl.col("vote") == "a").then(1).when(pl.col("vote") == "b").then(-1)
        return float(found.select((sign == pl.col("truth").sign()).mean()).item())

    assert right("majority") < 0.8
    assert right("dawid_skene") > 0.92
    skill = aggregate_votes(votes, AggregateConfig(method="dawid_skene")).facts["skill"]
    assert min(skill["person0"], skill["person1"]) > 0.9
    assert max(skill["person2"], skill["person3"], skill["person4"]) < 0.55


def test_a_result_never_contradicts_its_grade() -> None:
    votes = preference_votes(150, (0.6, 0.6, 0.6), seed=9)
    for method in ("majority", "mean", "dawid_skene"):
        found = made(votes, method=method)
        sign = found["grade"].sign().cast(pl.Int64)
        assert (sign == found["vote"].replace_strict({"a": 1, "b": -1, "tie": 0})).all(), method
        assert ((found["strength"].is_null()) == (found["vote"] == "tie")).all(), method


def test_no_vote_is_lost_and_the_last_of_a_person_counts() -> None:
    rows = table(
        [
            vote(1, "ann", 4, row_id="early", voted_at="2026-01-01T00:00:00Z"),
            vote(1, "ann", -2, row_id="late", voted_at="2026-01-02T00:00:00Z"),
            vote(1, "bo", None, row_id="none"),
            vote(1, "cy", 9, row_id="nine"),
            vote(1, None, 1, row_id="nobody"),
            vote(1, "dee", 1, row_id="nowhere", record=None),
            vote(2, "ann", 3, row_id="golden", gold=3),
        ]
    )
    found = aggregate_votes(rows, AggregateConfig())
    assert found.rows.select("parent_ids", "vote").rows() == [(["late"], "b")]
    assert dict(found.dropped.select("row_id", "reason").iter_rows()) == {
        "early": "replaced by a later vote of the same annotator",
        "none": "no grade from -4 to 4",
        "nine": "no grade from -4 to 4",
        "nobody": "no annotator",
        "nowhere": "no record",
        "golden": "a gold question",
    }
    kept = aggregate_votes(rows, AggregateConfig(gold="keep"))
    assert kept.rows["gold"].to_list() == [None, 3]


def test_what_people_wrote_and_rated_comes_along() -> None:
    rows = table(
        [
            vote(1, "ann", 2, edited="by ann", accuracy=5, issues=["too long"], comment="Good.",
                 voted_at="2026-01-01T00:00:00Z"),
            vote(1, "bo", 1, edited=" ", accuracy=3, issues=["wrong", "too long"], comment=None),
            vote(1, "cy", -1, edited="by cy", comment="No.", voted_at="2026-01-03T00:00:00Z"),
        ]
    )  # fmt: skip
    row = made(rows).row(0, named=True)
    assert row["edited"] == "by ann"  # cy's is later, but cy prefers the other answer
    assert row["accuracy"] == 4.0
    assert row["issues"] == ["too long", "wrong"]
    assert row["comment"] == "Good.\n\nNo."
    assert row["annotators"] == ["ann", "bo", "cy"]
    assert row["seconds"] == 37.5
    assert made(rows.filter(annotator="cy"))["edited"].item() == "by cy"
    alone = rows.with_columns(edited=pl.when(annotator="cy").then("edited"))
    assert made(alone)["edited"].item() == "by cy"  # nobody who agrees wrote one


def test_ratings_become_scores() -> None:
    rows = pl.DataFrame(
        {
            "row_id": list("abcd"), "record": ["r"] * 3 + ["s"], "annotator": list("xyzx"),
            "voted_at": ["t"] * 4, "prompt": ["p"] * 4, "response": ["q"] * 4,
            "rating": pl.Series([5, 5, 2, 1], dtype=pl.Int8),
        }
    )  # fmt: skip
    mean = made(rows, task="rating", method="mean")
    assert mean.select("rating", "score", "agreement").rows() == [
        (4.0, 0.75, 0.0), (1.0, 0.0, 1.0),
    ]  # fmt: skip
    assert made(rows, task="rating")["rating"].to_list() == [5.0, 1.0]


def test_thumbs_become_feedback_and_verdicts_a_verdict() -> None:
    base = {
        "row_id": list("abc"), "record": ["r"] * 3, "annotator": list("xyz"), "voted_at": ["t"] * 3,
        "prompt": ["p"] * 3, "response": ["q"] * 3,
    }  # fmt: skip
    thumbs = made(pl.DataFrame({**base, "label": [True, False, True]}), task="thumbs")
    assert thumbs.select("label", "agreement").rows() == [(True, pytest.approx(2 / 3))]
    said = pl.DataFrame(
        {**base, "verdict": ["partly", "correct", "correct"], "edited": ["", "better", None]}
    )
    said = said.rename({"prompt": "question", "response": "answer"}).with_columns(
        passage=pl.lit("s")
    )
    found = made(said, task="verification")
    assert found.select("verdict", "edited").rows() == [("correct", "better")]


def test_a_ranking_becomes_preferences_of_every_two_answers() -> None:
    rows = pl.DataFrame(
        {
            "row_id": ["u", "v", "w"], "record": ["r"] * 3, "annotator": list("xyz"),
            "voted_at": ["t"] * 3, "prompt": ["p"] * 3, "responses": [["one", "two", "three"]] * 3,
            "ranks": [[1, 2, 2], [1, 3, 2], [1, None, 2]],
        }
    )  # fmt: skip
    found = aggregate_votes(rows, AggregateConfig(task="ranking"))
    told = {
        (row["response_a"], row["response_b"]): (row["vote"], row["grade"])
        for row in found.rows.to_dicts()
    }
    assert told == {
        ("one", "two"): ("a", 1.5), ("one", "three"): ("a", 1.0), ("two", "three"): ("b", -1.0),
    }  # fmt: skip
    assert found.dropped.rows() == [("w", "no rank of every answer")]
    assert set(found.rows["parent_ids"].explode()) == {"u", "v"}


def test_a_vote_of_another_task_is_said_at_once() -> None:
    rows = grades(("ann", 1)).with_columns(grade=pl.lit("a_much"))
    with pytest.raises(SchemaError, match="'grade' is String, not a number"):
        aggregate_votes(rows, AggregateConfig())


def test_no_votes_make_no_rows() -> None:
    for method in ("majority", "mean", "dawid_skene"):
        found = aggregate_votes(table([]), AggregateConfig(method=method))
        assert found.rows.is_empty()
        assert found.rows.schema == made(preference_votes(3), method=method).schema
