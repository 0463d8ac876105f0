from __future__ import annotations

import polars as pl
import pytest

from databuild.measure.arithmetic import ArithmeticConfig, measure_arithmetic
from tests.measure.columns import measured


def measure(response, prompt=None, **options):
    columns = {"response": [response], "prompt": [prompt]}
    return measured(measure_arithmetic, "response", columns, **options)


def faults(response, prompt=None, **options):
    [found] = measure(response, prompt, **options)["arithmetic_faults"]
    return found


def test_equations_are_counted_and_the_first_wrong_one_is_shown():
    found = measure("3 + 4 = 7.\nSo 7 * 2 = 15, and 15 - 1 = 13.")
    assert found["n_equations"] == [3]
    assert found["n_wrong_equations"] == [2]
    assert found["wrong_equation"] == ["7 * 2 = 15"]
    assert found["arithmetic_faults"] == [["wrong_equation"]]


def test_without_equations_all_is_zero_and_null():
    found = measure(None)
    assert found["n_equations"] == [0]
    assert found["n_wrong_equations"] == [0]
    assert found["wrong_equation"] == found["right_result"] == [None]


@pytest.mark.parametrize(
    "response",
    [
        "`1 + 1 = 3` is what he typed",
        "```\n1 + 1 = 3\n```",
        "In binary, 1 + 1 = 10.",
        "On a clock 9 + 5 = 2.",
        "x = 3 + 4",
    ],
)
def test_other_rules_and_code_are_left_alone(response):
    assert faults(response) == []


def test_a_plain_sum_has_a_right_result():
    found = measure("The mean is 6.", "Find the mean.\n3, 4, 8")
    assert found["right_result"] == ["5"]
    assert found["arithmetic_faults"] == [["wrong_result"]]
    assert faults("It is 5.", "Find the mean.\n3, 4, 8") == []


def test_words_out_of_order():
    found = measure("leek, bean", "Sort these alphabetically.\nleek, bean")
    assert found["right_result"] == ["bean, leek"]


def test_rows_do_not_mix():
    columns = {
        "prompt": ["Add 3, 4.", "Hello", "Add 3, 5."],
        "response": ["8", "2 + 2 = 5", "8"],
    }
    found = measured(measure_arithmetic, "response", columns)
    assert found["arithmetic_faults"] == [["wrong_result"], ["wrong_equation"], []]


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("List three roses.", "1. Alba\n2. Gallica\n3. Damask\n4. Musk"),
        ("Give me 5 tips for roses", "- sun\n- rain"),
        ("列出三种花。", "1. 玫瑰\n2. 月季"),
        (None, "Three roses:\n\n1. Alba\n2. Gallica"),
        (None, "Here are four tools:\n- spade\n- rake\n- hoe"),
    ],
)
def test_lists_of_another_length(prompt, response):
    assert faults(response, prompt) == ["wrong_count"]


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("List three roses.", "1. Alba\n2. Gallica\n3. Damask"),
        ("List three roses.", "Alba, Gallica, Damask"),
        ("List at least three roses.", "1. Alba\n2. Gallica\n3. Damask\n4. Musk"),
        ("List three roses and two beans.", "- Alba\n- Musk\n- Damask\n- broad\n- runner"),
        ("List two roses.", "1. Alba\n  - white\n2. Gallica\n  - red"),
        ("Write two lines on roses.", "- Roses are red\n- Beans are green\n- Rain is wet"),
        (None, "Three roses:\n1. Alba\n2. Musk\n3. Damask"),
        (None, "I have three gardens. Tools:\n- spade\n- rake"),
    ],
)
def test_lists_of_the_right_length(prompt, response):
    assert faults(response, prompt) == []


@pytest.mark.parametrize(
    "response",
    [
        "She lived long (1940-1890).",
        "He ruled from 1750 to 1740.",
        "He was born in 1950 in Rome and died in 1940.",
    ],
)
def test_years_in_reverse(response):
    assert faults(response) == ["reversed_years"]


@pytest.mark.parametrize(
    "response",
    [
        "due on February 30",
        "on 31 June 2020",
        "2021-13-01",
        "2021-02-32",
        "2月30日",
        "May 32, 2020",
    ],
)
def test_days_that_no_calendar_has(response):
    assert faults(response) == ["impossible_date"]


@pytest.mark.parametrize(
    "response",
    [
        "(1890-1940)", "from 1740 to 1750", "born in 1890, died in 1950", "ruled 500-480 BC (1900-1890 BC)",
        "February 29", "2021-12-31", "31 May", "phone 2021-99", "12月31日", "May 31, 2020",
    ],
)  # fmt: skip
def test_honest_dates(response):
    assert faults(response) == []


def test_faults_can_be_left_out():
    assert faults("2 + 2 = 5", ignore="wrong_equation") == []
    with pytest.raises(ValueError, match="did you mean 'wrong_count'"):
        faults("x", ignore="wrong_counts")


def test_correct_solutions_are_hardly_ever_accused(shared_data):
    rows = pl.read_parquet(shared_data / "gsm8k_train.parquet").head(1500)
    rows = rows.with_row_index("row_id").with_columns(pl.col("row_id").cast(pl.String))
    config = ArithmeticConfig(response="answer", prompt="question")
    found = measure_arithmetic(rows, config)
    assert found["answer_n_equations"].sum() > 3000
    assert found["answer_n_wrong_equations"].sum() <= 0.003 * found["answer_n_equations"].sum()


def test_letters_have_a_right_count():
    found = measure("There are 4 vowels.", "How many vowels are in the word?\ngarden")
    assert found["right_result"] == ["2"]
    assert found["arithmetic_faults"] == [["wrong_result"]]
    assert faults("There are 2 vowels.", "How many vowels are in the word?\ngarden") == []
