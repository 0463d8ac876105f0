from __future__ import annotations

import polars as pl
import pytest

from databuild.pairs.best import BestConfig, select_best_answers

NAN = float("nan")


def answers(*rows: tuple) -> pl.DataFrame:
    """Rows of (row_id, prompt, response, score, origin, strict_pass)."""
    schema = {
        "row_id": pl.String, "prompt": pl.String, "response": pl.String, "verify_score": pl.Float64,
        "origin": pl.String, "strict_pass": pl.Boolean,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def reasons(rows: pl.DataFrame, **options) -> dict[str, str | None]:
    out = select_best_answers(rows, BestConfig(**options)).table
    assert out["row_id"].to_list() == rows["row_id"].to_list()
    return dict(out.select("row_id", "reason").rows())


def test_nan_and_null_scores_never_win():
    rows = answers(
        ("a", "p", "x", NAN, "sampled", True), ("b", "p", "y", 0.1, "sampled", True),
        ("c", "q", "x", NAN, "sampled", True), ("d", "q", "y", None, "sampled", True),
    )  # fmt: skip
    assert reasons(rows) == {"a": "no score", "b": None, "c": "no score", "d": "no score"}
    assert reasons(rows, min_score=0.0)["a"] == "no score"


def test_the_bar_and_the_required_column():
    rows = answers(
        ("a", "p", "x", 0.9, "sampled", False), ("b", "p", "y", 0.4, "sampled", True),
        ("c", "p", "z", 0.6, "sampled", True), ("d", "p", "w", 0.6, "sampled", None),
    )  # fmt: skip
    assert reasons(rows, min_score=0.5, require="strict_pass") == {
        "a": "not strict_pass", "b": "below the bar of 0.5", "c": None, "d": "not strict_pass",
    }  # fmt: skip


def test_one_text_is_kept_once_per_prompt():
    rows = answers(
        ("a", "p", "x ", 0.9, "sampled", True), ("b", "p", " x", 0.8, "sampled", True),
        ("c", "p", "y", 0.7, "sampled", True), ("d", "q", "x", 0.1, "sampled", True),
    )  # fmt: skip
    assert reasons(rows, top=2) == {
        "a": None,
        "b": "same text as a better one",
        "c": None,
        "d": None,
    }


def test_equal_scores_go_by_origin_and_then_by_row_id():
    rows = answers(
        ("d", "p", "x", 1.0, "edited", True), ("c", "p", "y", 1.0, "sampled", True),
        ("b", "p", "z", 1.0, "sampled", True), ("a", "p", "w", 1.0, "human", True),
    )  # fmt: skip
    assert reasons(rows)["b"] is None
    assert reasons(rows, prefer=("human",))["a"] is None
    assert reasons(rows.drop("origin"), origin=None)["a"] is None
    assert reasons(rows)["c"] == "not among the top 1"


def test_a_maximum_over_all_prompts_takes_the_best_scores():
    rows = answers(*((f"r{i}", f"p{i}", "x", i / 10, "sampled", True) for i in range(9)))
    found = reasons(rows, max_rows=2)
    assert [row for row, reason in found.items() if reason is None] == ["r7", "r8"]
    assert found["r0"] == "beyond the best 2 rows"


def skilled(*skills: str | None) -> pl.DataFrame:
    """One answer for each prompt, the first with the best score."""
    rows = answers(*(
        (f"r{i}", f"p{i}", "x", 0.9 - i / 10, "sampled", True) for i in range(len(skills))
    ))  # fmt: skip
    return rows.with_columns(skill=pl.Series(skills, dtype=pl.String))


def test_each_capability_keeps_its_quota_of_the_best():
    rows = skilled("maths", "maths", "chat", "maths", "chat", None)
    found = reasons(rows, per="skill", quota=2)
    assert found == {
        "r0": None, "r1": None, "r2": None, "r3": "beyond the quota of 2 for skill maths",
        "r4": None, "r5": None,
    }  # fmt: skip
    facts = select_best_answers(rows, BestConfig(per="skill", quota=2)).facts
    assert facts["kept"] == {"chat": 2, "maths": 2, "null": 1}
    assert facts["shortfall"] == [{"of": "null", "wanted": 2, "got": 1}]


def test_quotas_may_differ_and_what_has_none_keeps_no_row():
    rows = skilled("maths", "maths", "chat", None)
    options = {"per": "skill", "quota": {"maths": 1, "code": 3}, "min_score": 0.65}
    assert reasons(rows, **options) == {
        "r0": None, "r1": "beyond the quota of 1 for skill maths",
        "r2": "beyond the quota of 0 for skill chat", "r3": "below the bar of 0.65",
    }  # fmt: skip
    facts = select_best_answers(rows, BestConfig(**options)).facts
    assert facts["shortfall"] == [{"of": "code", "wanted": 3, "got": 0}]
    assert reasons(rows, per="skill", quota=2, max_rows=1)["r1"] == "beyond the best 1 rows"


def test_per_and_quota_belong_together():
    with pytest.raises(ValueError, match="per and quota belong together"):
        BestConfig(per="skill")
    with pytest.raises(ValueError, match="per and quota belong together"):
        BestConfig(quota=3)
    with pytest.raises(ValueError, match="a quota is a number of rows, not -1"):
        BestConfig(per="skill", quota={"a": -1})
