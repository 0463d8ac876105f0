from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from databuild.measure.relevance import RelevanceConfig, measure_relevance
from databuild.models.embedder import Embedded

VECTORS = {
    "rain?": [3, 4],
    "Wet.": [6, 8],
    "Dry.": [-3, -4],
    "Soup.": [4, -3],
    "rain?\nin May": [0, 2],
    "zero": [0, 0],
    "nan": [float("nan"), 1],
}


class Spy:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def read(self, texts: list[str], prefix: str | None = None) -> Embedded:  # noqa: ARG002
        self.asked.append(list(texts))
        vectors_ND = np.array([VECTORS[text] for text in texts], dtype=np.float32)
        return Embedded(vectors_ND, np.zeros(len(texts), dtype=np.bool_))


def rows(responses, prompts=None, inputs=None):
    n = len(responses)
    return pl.DataFrame(
        {
            "row_id": [str(i) for i in range(n)],
            "prompt": prompts or ["rain?"] * n,
            "input": inputs or [None] * n,
            "response": responses,
        },
        schema_overrides={"prompt": pl.String, "input": pl.String, "response": pl.String},
    )


def measure(table, embedder=None, **options):
    config = RelevanceConfig(model="m", **options)
    return measure_relevance(table, config, embedder=embedder or Spy())


def test_it_is_the_cosine_whatever_the_lengths():
    found = measure(rows(["Wet.", "Dry.", "Soup."]))["response_relevance"]
    assert found.to_list() == pytest.approx([1, -1, 0], abs=1e-7)


def test_material_counts_with_the_prompt_and_blank_material_does_not():
    table = rows(["Wet.", "Wet."], inputs=["in May", "  "])
    assert measure(table, input="input")["response_relevance"].to_list() == pytest.approx([0.8, 1])
    assert measure(table)["response_relevance"].to_list() == pytest.approx([1, 1])


def test_blank_texts_are_not_asked_and_have_no_value():
    spy = Spy()
    table = rows(["Wet.", None, " \n", "Wet."], prompts=["rain?", "rain?", "rain?", None])
    found = measure(table, spy)
    assert spy.asked == [["Wet.", "rain?"]]
    assert found["response_relevance"].is_null().to_list() == [False, True, True, True]
    assert found["error"].null_count() == 4
    assert measure(table.tail(1), spy)["response_relevance"].to_list() == [None]
    assert measure(table.head(0), spy).height == 0
    assert len(spy.asked) == 1


def test_a_vector_without_direction_is_an_error_not_a_number():
    found = measure(rows(["zero", "nan", "Wet."]))
    assert found["response_relevance"].is_null().to_list() == [True, True, False]
    assert found["error"].to_list() == ["no token", "the vector has a number that is not finite", None]  # fmt: skip
