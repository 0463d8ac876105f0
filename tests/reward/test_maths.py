from __future__ import annotations

import sys

import polars as pl
import pytest

from databuild.errors import StepError
from databuild.reward.maths import MathsConfig, final_answer, measure_maths
from databuild.reward.symbolic import Comparer


def check(said: list, right: list, gold: list | None = None, **options) -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            "row_id": [str(n) for n in range(len(said))],
            "response": pl.Series(said, dtype=pl.String),
            "answer": pl.Series(right, dtype=pl.String),
            "gold": pl.Series(gold or [None] * len(said), dtype=pl.String),
        }
    )
    return measure_maths(rows, MathsConfig(gold="gold" if gold else None, **options))


PLAIN = [
    ("540", "60 * 9 = 540.\nThe answer is 540 meters.", True),
    ("540", "60 * 9 = 530", False),
    ("1,250.50", r"\boxed{\$1250.5}", True),
    ("42 km", "The answer is 42 kilometers.", True),
    ("42 km", "The answer is 42 m.", False),
    ("50%", r"\boxed{0.5}", True),
    ("50%", r"\boxed{50}", True),
    ("50%", r"\boxed{5}", False),
    ("0.5", r"\boxed{50\%}", True),
    ("3/2", "Answer: 1 1/2", True),
    ("1 1/2", r"\boxed{3/2}", True),
    ("10/3", "Answer: 3.33", True),
    ("-5", r"\boxed{5}", False),
    ("5", "x = 5", True),
    ("B", "The answer is (B).", True),
    ("B", "The answer is (C).", False),
    ("The Nile", "Answer: nile", True),
    ("12", "一共有12个苹果。\n答案是12个。", True),
    ("12", "答案：13", False),
    ("So 6 * 7 = 42\n#### 42", "I get\n#### 42.0", True),
]


@pytest.mark.parametrize(("right", "said", "same"), PLAIN)
def test_answers_that_need_no_algebra(right, said, same, monkeypatch):
    monkeypatch.setattr(Comparer, "_start", lambda _: pytest.fail("it asked for algebra"))
    found = check([said], [right]).row(0, named=True)
    assert (found["maths_pass"], found["maths_score"]) == (same, float(same))


ALGEBRA = [
    (r"\frac{1}{2}", "0.5", True),
    ("0.5", r"\frac{2}{4}", True),
    (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2", True),
    (r"\sqrt{8}", r"2\sqrt{2}", True),
    ("x^2+2x+1", "(x+1)^2", True),
    ("x^2+2x+1", "(x-1)^2", False),
    ("2x", "2", False),
    ("[1,2)", "[1, 2)", True),
    ("[1,2)", "(1, 2]", False),
    (r"\{1,2\}", r"\{2,1\}", True),
    (r"\{1,2\}", r"\{1,3\}", False),
    ("5", "[1, 5]", False),
    ("32", "2^5", True),
    ("5", "2^5", False),
    (r"10\text{ cm}", "10", True),
]


@pytest.mark.slow
def test_expressions_sets_and_intervals_are_compared_as_such():
    found = check(
        [rf"So it is \boxed{{{said}}}." for _, said, _ in ALGEBRA], [a for a, *_ in ALGEBRA]
    )
    assert found["maths_pass"].to_list() == [same for *_, same in ALGEBRA]
    assert found["error"].null_count() == len(ALGEBRA)


@pytest.mark.slow
def test_what_never_ends_costs_its_row_and_no_other():
    tower = r"\boxed{9^{9^{9^9}}}"
    found = check([tower, r"\boxed{2^5}"], ["3", "32"], timeout_s=5)
    assert found["maths_pass"].to_list() == [None, True]
    assert found["error"][0] == "the answers cannot be compared: took over 5 s"


def test_where_the_final_answer_stands():
    assert (
        final_answer(r"\boxed{1} no, \boxed{\frac{\sqrt{a}}{b}}. The answer is 7")
        == r"\frac{\sqrt{a}}{b}"
    )
    assert final_answer("The answer is 7, as 3 + 4.") == "7, as 3 + 4"
    assert final_answer("(1, 2]") == "(1, 2]"
    assert final_answer("First 3.\nThen 4 more.\nDone.") == "4"
    assert final_answer("I do not know.\nSorry.") == ""


def test_what_cannot_be_compared_has_nulls_and_an_error():
    found = check([None, "7", "7"], ["7", None, "  "])
    assert found["maths_pass"].null_count() == found["maths_score"].null_count() == 3
    assert (
        found["error"].to_list()
        == ["there is no answer"] + ["there is no right answer to compare it with"] * 2
    )


def test_no_final_answer_is_a_wrong_one():
    found = check(["No.\nIdea.", "", "🌈"], ["7", "7", "7"])
    assert found["maths_pass"].to_list() == [False] * 3
    assert found["maths_reason"].to_list() == ["no final answer", "no final answer", None]


def test_a_gold_solution_must_be_right():
    found = check(["8", "7", "7"], ["7", "7", "7"], gold=["3 + 4 = 7", "8", "?\n?"])
    assert found["maths_pass"].to_list() == [False, None, None]
    assert found["error"].to_list() == [
        None,
        "the gold answer fails: its final answer is '8'",
        "the gold answer fails: no final answer",
    ]


def test_without_the_library_only_expressions_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    monkeypatch.setattr("databuild.reward.symbolic.find_spec", lambda _: None)
    assert check(["7"], ["7"])["maths_pass"].to_list() == [True]
    with pytest.raises(StepError, match=r"databuild\[maths\]"):
        check([r"\boxed{2^5}"], ["32"])


def test_it_agrees_with_the_truth_of_real_solutions(shared_data):
    rows = pl.read_parquet(shared_data / "gsm8k_best_of_4.parquet").with_row_index("row_id")
    rows = rows.with_columns(pl.col("row_id").cast(pl.String))
    found = measure_maths(rows, MathsConfig(response="solution", answer="ground_truth"))
    assert found["error"].null_count() == rows.height == 2604
    assert (found["maths_pass"] == rows["is_correct"]).all()
