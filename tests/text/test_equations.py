from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.text.equations import equations, work_out


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20), ("2 ^ 3 ^ 2", 512), ("2**3", 8), ("-2 ^ 2", -4), ("10 - 2 - 3", 5),
        ("24 / 4 / 2", 3), ("1,250 / 5", 250), ("20% * 50", 10), ("3(2 + 1)", 9), ("(1 + 1)(2)", 4), (".5 * 4", 2),
        ("2 * -3", -6), ("7", 7),
    ],
)  # fmt: skip
def test_expressions_are_worked_out(text, value):
    assert work_out(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 +",
        "(1",
        "1)",
        "1 / 0",
        "2 ^ 0.5",
        "9 ^ 999",
        "9 ^ 64" + " * 9 ^ 64" * 9,
        "x + 1",
        "1 2",
        "()",
        "1..2",
        "=" * 9,
    ],
)
def test_what_cannot_be_worked_out_is_none(text):
    assert work_out(text) is None


@given(st.text(alphabet="0123456789+-*/^().,% ", max_size=30))
def test_no_text_breaks_it(text):
    assert work_out(text) is None or isinstance(work_out(text), Fraction)
    list(equations(text + "=" + text))


@given(st.integers(0, 10**6), st.integers(1, 10**4), st.integers(-3, 3))
def test_a_sum_holds_when_it_is_one(a, b, off):
    assert [holds for _, holds in equations(f"so {a:,} + {b} = {a + b + off}.")] == [off == 0]


@pytest.mark.parametrize(
    "line",
    [
        "3 + 4 = 7", "$5 x 3 = $15", "3 × 4 = 12", "12 ÷ 4 = 3", "10 / 3 = 3.3", "10 / 3 = 3.34", "10 / 3 = 3",
        "2 / 3 = 0.6667", "2/3 = 66.7%", "(5 / 20) * 100 = 25%", "7 - 9 = −2", "5² = 25", "1,000 * 3 = 3,000",
        "2 + 3 = 5 = 10 / 2", "7 / 3 = 2.3333333333333335", "48/2 = <<48/2=24>>24", "(3 + 4 = 7)", "3 + 4 = 7 cm",
    ],
)  # fmt: skip
def test_right_ones_hold(line):
    judged = list(equations(line))
    assert judged
    assert all(holds for _, holds in judged)


@pytest.mark.parametrize(
    "line",
    [
        "3 + 4 = 8",
        "3 + 4 = 7.5",
        "10 / 3 = 3.5",
        "2 + 2 = 4 + 1 = 5",
        "1,000 * 3 = 300",
        "5 * 20% = 2",
    ],
)
def test_wrong_ones_do_not(line):
    assert False in [holds for _, holds in equations(line)]


@pytest.mark.parametrize(
    "line",
    [
        "2x + 3 = 8", "x^2 + 2 = 7", "f(2) = 5", "3 + 4 = 8x", "3 + 4 = 8!", "7 / 2 = 3 remainder 1", "2.1 * 2 = 4.2 million",
        "3,5 + 1 = 9,5", "9:30 + 1 = 11", "100 - 20% = 80", "0900 - 0130 = 0730", "10 / 1/2 = 20", "a2 + 3 = 9",
        "1 + 1 = 4:00", "of 60 people 2/3 = 40", "x - 45 = 65 - 45", "5 = 5", "a = b",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_not_judged(line):
    assert list(equations(line)) == []
