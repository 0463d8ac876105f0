from __future__ import annotations

import polars as pl

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
    out = select_best_answers(rows, BestConfig(**options))
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
