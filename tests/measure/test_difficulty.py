from __future__ import annotations

import math

import polars as pl
import pytest

from databuild.measure.difficulty import DifficultyConfig, measure_difficulty

ROWS = pl.DataFrame(
    {
        "row_id": list("abcdef"),
        "q": ["one two", "one two", None, "one", " ", "!"],
        "a": ["two three", "two three", "x y", "", "x y", "x"],
    }
)
CONFIG = DifficultyConfig(model="m", prompt="q", response="a", before="<", after=">")


class Reader:
    """A token costs 2 nats, half of that when it stands in the context."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, texts):
        self.asked += texts
        return [self.read(*one) for one in texts]

    def read(self, context: str, text: str):
        tokens = text.split()
        if len(tokens) < 2:
            return {"nll_sum": None, "n_tokens": 0, "error": "nothing to predict"}
        known = context.strip("<>").split()
        return {"nll_sum": sum(1.0 if t in known else 2.0 for t in tokens), "n_tokens": len(tokens)}


def test_it_is_the_ratio_of_the_two_perplexities():
    reader = Reader()
    found = measure_difficulty(ROWS, CONFIG, reader=reader)
    first = found.row(0, named=True)
    assert (first["a_nll"], first["a_given_nll"]) == (2.0, 1.5)
    assert first["a_ifd"] == pytest.approx(math.exp(1.5) / math.exp(2.0))
    assert ("<one two>", "two three") in reader.asked
    assert reader.asked.count(("", "two three")) == 1, "an answer is read alone once"


def test_what_is_missing_is_null_and_what_cannot_be_read_is_an_error():
    found = measure_difficulty(ROWS, CONFIG, reader=Reader())
    assert found["row_id"].to_list() == ROWS["row_id"].to_list()
    assert found["a_ifd"].is_null().to_list() == [False, False, True, True, True, True]
    assert found["error"].to_list() == [None] * 5 + ["nothing to predict"]


def test_without_a_whole_row_the_model_is_not_asked():
    reader = Reader()
    for rows in (ROWS.head(0), ROWS.filter(pl.col("row_id") == "c")):
        found = measure_difficulty(rows, CONFIG, reader=reader)
        assert found["a_ifd"].to_list() == [None] * rows.height
        assert found.schema["a_ifd"] == pl.Float64
    assert reader.asked == []
