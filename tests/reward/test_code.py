from __future__ import annotations

import doctest

import polars as pl
import pytest

from databuild.errors import SchemaError
from databuild.reward.code import CodeConfig, measure_code

ADD = "Here you are:\n```python\ndef add(a, b):\n    return a + b\n```\nTry it:\n```\nprint(add(1, 2))\n```\n"


def run(said: list, tests: list, extra: dict | None = None, **options):
    rows = pl.DataFrame(
        {
            "row_id": [str(n) for n in range(len(said))],
            "response": pl.Series(said, dtype=pl.String),
            "tests": tests,
            **(extra or {}),
        }
    )
    return measure_code(rows, CodeConfig(**options), workers=2)


def test_every_test_counts_and_all_are_a_pass():
    tests = [["assert add(1, 2) == 3", "assert add('a', 'b') == 'ab'"]] * 2 + [["add(1)"]]
    made = run([ADD, "def add(a, b): return 3", ADD], tests)
    assert made.table["code_score"].to_list() == [1.0, 0.5, 0.0]
    assert made.table["code_pass"].to_list() == [True, False, False]
    assert made.table["code_reason"].to_list()[:2] == [None, "test 2: AssertionError"]
    assert made.table["error"].null_count() == 3
    assert made.facts["network"] in {"seccomp", "seccomp and an empty network namespace"}


def test_which_block_is_run_is_an_option():
    tests = ["assert add(1, 2) == 3"]
    assert run([ADD], tests, block="last").table["code_reason"][0].startswith("the code: NameError")
    both = run([ADD], tests, block="all").table
    assert (both["code_pass"][0], both["code_output"][0]) == (True, "3\n")


def test_a_column_of_code_may_stand_before():
    head = {"head": ["def add(a, b):\n    '''The sum.'''"]}
    assert run(["    return a + b"], ["assert add(1, 2) == 3"], head, before="head").table[
        "code_pass"
    ][0]


def test_what_cannot_be_run_has_nulls_and_an_error():
    made = run([None, ADD, ADD, ADD], [["pass"], None, [], [" ", None]]).table
    assert made["error"].to_list() == ["there is no answer"] + ["there are no tests"] * 3
    assert made["code_score"].null_count() == made["code_pass"].null_count() == 4


def test_a_gold_answer_must_pass_every_test():
    gold = {"gold": [ADD, "def add(a, b): return a", None]}
    made = run([ADD] * 3, ["assert add(1, 2) == 3"] * 3, gold, gold="gold").table
    assert made["code_pass"].to_list() == [True, None, None]
    assert made["error"].to_list() == [
        None,
        "the gold answer fails: test 1: AssertionError",
        "the gold answer fails: there is none",
    ]


def test_tests_that_are_no_text_are_refused():
    with pytest.raises(SchemaError, match=r"'tests' is of type Int64"):
        run([ADD], [3])


def test_gold_solutions_get_full_marks(shared_data):
    sets = pl.read_parquet(shared_data / "bench_testsets.parquet")
    sets = sets.filter(pl.col("benchmark") == "humaneval")
    rows = []
    for name, head, answer in sets.select("id", "text", "answer").iter_rows():
        examples = doctest.DocTestParser().get_examples(head.replace('"""', "\n"))
        tests = [
            f"assert repr({one.source.strip()}) == repr({one.want.strip()})"
            for one in examples
            if "print" not in one.source and one.source.count("\n") == 1 and one.want.strip()
        ]
        if tests:
            rows.append({"row_id": name, "head": head, "response": answer, "tests": tests})
    table = pl.DataFrame(rows).head(12)
    made = measure_code(table, CodeConfig(before="head"), workers=2).table
    wrong = made.filter(~pl.col("code_pass"))
    assert table.height == 12
    assert wrong.is_empty(), wrong.select("row_id", "code_reason").rows()
