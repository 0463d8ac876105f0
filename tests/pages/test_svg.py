"""Plots: well-formed, and true to their numbers."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.pages import svg

numbers = st.floats(-1e6, 1e6)


def texts(picture):
    return [element.text for element in ET.fromstring(picture).iter() if element.tag == "text"]


@given(st.lists(numbers, min_size=1, max_size=20), st.booleans())
def test_an_axis_holds_every_value(values, zero):
    axis = svg.axis(values, 0, 100, zero=zero)
    hair = 1e-6 * (axis.high - axis.low)
    assert axis.low - hair <= min(values)
    assert max(values) <= axis.high + hair
    assert 2 <= len(axis.ticks) <= 9
    assert all(-1e-6 <= axis.at(value) <= 100 + 1e-6 for value in values)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=50))
def test_lines_are_well_formed_for_any_numbers(points):
    assert ET.fromstring(svg.lines([("loss", svg.BLUE, points)], "x")).tag == "svg"


def test_intervals_say_their_numbers():
    told = texts(svg.intervals([("holdout, best", svg.BLUE, 0.35, 0.285, 0.415)], "x"))
    assert "35.0 [28.5, 41.5]" in told


def test_names_are_escaped():
    picture = svg.bars([("<a & b>", 2.0)], "<x>", tell=svg.plain)
    assert "<a & b>" in texts(picture)


@pytest.mark.parametrize("n_rounds", [1, 2, 12])
def test_bars_of_many_rounds_stay_apart(n_rounds):
    groups = [f"round {n}" for n in range(n_rounds)]
    picture = svg.grouped_bars(groups, [("a", svg.BLUE, [0.5] * n_rounds)], "x")
    labels = [e for e in ET.fromstring(picture).iter("text") if (e.text or "").startswith("round")]
    places = [float(e.attrib["x"]) for e in labels]
    assert all(b - a > 45 for a, b in pairwise(places))


def test_values_that_are_all_zero_can_be_drawn():
    assert ET.fromstring(svg.grouped_bars(["a"], [("s", svg.BLUE, [0])], "x")).tag == "svg"
