from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.measure.answer import measure_answer
from databuild.measure.arithmetic import measure_arithmetic
from databuild.measure.characters import measure_characters
from databuild.measure.language import measure_language
from databuild.measure.markup import measure_markup
from databuild.measure.pair import measure_pair
from databuild.measure.prompt import measure_prompt
from databuild.measure.reasoning import measure_reasoning

STEPS = {
    measure_answer: {"input": "input"},
    measure_arithmetic: {"input": "input"},
    measure_characters: {},
    measure_language: {},
    measure_markup: {"prompt": "prompt"},
    measure_pair: {"chosen": "response", "rejected": "input", "prompt": "prompt"},
    measure_prompt: {"input": "input"},
    measure_reasoning: {},
}
PIECES = (
    "sum of", "3, 4", " + ", "1 = ", "2 * ", "```", "<p>", "&amp;", "**", "<think>", "</think>", "\n", "\n- ",
    "\n1. ", "list three", "following text", ": ", "(", "“", "“", "def f():", "玫瑰", "バラ", "🌹", "\u200b", "$$",
    r"\frac{", "Human: ", "February 30", "1940-1890", "alphabetical", "N/A", "http://", "%", "^", "…",
)  # fmt: skip
TEXT = st.one_of(
    st.none(), st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@settings(max_examples=12)
@given(texts=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=5))
def test_any_text_is_measured_and_rows_do_not_touch_each_other(step, texts):
    rows = pl.DataFrame(
        texts, schema=dict.fromkeys(("prompt", "input", "response"), pl.String), orient="row"
    )
    rows = rows.select(pl.Series("row_id", [str(i) for i in range(rows.height)]), pl.all())
    config = step.config(**STEPS[step])
    found = step(rows, config)
    assert tuple(found.columns[1:]) == step.columns_added(config)
    for name in found.columns:
        if name.endswith("faults"):
            assert found[name].null_count() == 0
    alone = pl.concat([step(rows[i : i + 1], config) for i in range(rows.height)])
    assert found.equals(alone)
