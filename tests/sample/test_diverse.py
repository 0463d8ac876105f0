from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.sample.coverage import choose_covering
from databuild.sample.diverse import DiverseConfig, select_diverse
from databuild.text.grams import number_grams

PROMPTS = [
    "Name a red fruit.", "Name a green fruit.", "Name a red fruit, please.", "Sing me a song",
    "Sing me a short song", "写一首诗", "写一首歌", "name a RED fruit", "?", None,
]  # fmt: skip


def table(prompts: list[str | None] = PROMPTS, **columns) -> pl.DataFrame:
    ids = [f"r{i:02d}" for i in range(len(prompts))]
    rows = pl.DataFrame({"row_id": ids, "prompt": prompts}, schema={"row_id": pl.String, "prompt": pl.String})  # fmt: skip
    return rows.with_columns(**columns)


def choose(rows: pl.DataFrame, seed: int = 1, **options):
    return select_diverse(rows, DiverseConfig.model_validate(options), seed=seed)


def kept(found) -> list[str]:
    return found.table.filter(part="kept")["row_id"].sort().to_list()


def points(vectors: list[list[float] | None], **columns) -> pl.DataFrame:
    ids = [f"r{i:02d}" for i in range(len(vectors))]
    column = pl.Series("v", vectors, dtype=pl.List(pl.Float32))
    return pl.DataFrame([pl.Series("row_id", ids, dtype=pl.String), column]).with_columns(**columns)


def test_three_rows_come_from_three_groups():
    for seed in range(5):
        found = kept(choose(table(), seed, take=3, text="prompt", n=1))
        groups = [{"r00", "r01", "r02", "r07"}, {"r03", "r04"}, {"r05", "r06"}]
        assert [len(group & set(found)) for group in groups] == [1, 1, 1]


def test_a_row_that_is_left_out_says_what_it_would_have_added():
    rows = table(q=pl.Series([1.0] + [0.0] * 9))
    found = choose(rows, take=1, text="prompt", n=1, prefer="q").table
    told = dict(found.filter(part="dropped").select("row_id", "evidence").rows())
    assert json.loads(told["r07"]) == {"new_ratio": 0.0}
    assert json.loads(told["r02"]) == {"new_ratio": 0.2}
    assert json.loads(told["r05"]) == {"new_ratio": 1.0}
    reasons = dict(found.select("row_id", "reason").rows())
    assert reasons["r00"] is None
    assert reasons["r07"] == "adds less than the rows kept"
    assert reasons["r08"] == reasons["r09"] == "nothing to compare"


def test_coverage_beats_a_draw_and_a_shortfall_is_told():
    found = choose(table(), take=3, text="prompt", n=1)
    assert found.facts["covered_ratio"] >= found.facts["drawn_covered_ratio"]
    everything = choose(table(), take=1.0, text="prompt", n=1)
    assert everything.facts["covered_ratio"] == 1.0
    assert everything.facts["shortfall"] == [{"of": "rows", "wanted": 10, "got": 8}]


def test_a_weight_of_nothing_comes_last_and_the_best_of_equals_first():
    rows = table(
        ["a b", "c d", "e f"], w=pl.Series([0.0, 1.0, None]), q=pl.Series([None, 1.0, 2.0])
    )
    assert kept(choose(rows, take=1, text="prompt", weight="w")) == ["r01"]
    assert kept(choose(rows, take=1, text="prompt", prefer="q")) == ["r02"]


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from("abcde"), max_size=5).map(" ".join), max_size=12),
    take=st.integers(0, 12),
    power=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_the_choice_is_that_of_trying_all(texts, take, power):
    grams = number_grams(pl.DataFrame({"t": texts}, schema={"t": pl.String}), ["t"], 1)
    worth, chosen = np.ones(grams.n_grams), []
    can = [row for row in range(len(texts)) if grams.lengths[row]]
    scale = np.ones(len(texts)) / np.maximum(grams.lengths, 1) ** power
    while len(chosen) < min(take, len(can)):
        best = max((r for r in can if r not in chosen), key=lambda r: (worth[grams.of(r)].sum() * scale[r], -r))  # fmt: skip
        worth[grams.of(best)] /= 2
        chosen.append(best)
    found = choose_covering(grams, take, np.ones(len(texts)), power)
    assert np.flatnonzero(found.is_kept_N).tolist() == sorted(chosen)


def test_centres_lie_far_apart_and_others_name_their_nearest():
    rows = points([[1, 0], [2, 0.1], [0, 3], [-1, 0], None, [0, 0], [float("nan"), 1]])
    found = choose(rows, take=3, embedding="v")
    assert len({"r00", "r01"} & set(kept(found))) == 1
    assert {"r02", "r03"} <= set(kept(found))
    told = dict(found.table.select("row_id", "evidence").rows())
    (left,) = {"r00", "r01"} - set(kept(found))
    nearest = json.loads(told[left])
    assert nearest["nearest"] in {"r00", "r01"}
    assert nearest["distance"] == pytest.approx(0.05, abs=0.001)
    assert found.facts["radius"] == nearest["distance"]
    assert found.table.filter(reason="nothing to compare").height == 3
    short = choose(rows, take=9, embedding="v").facts["shortfall"]
    assert short == [{"of": "rows", "wanted": 9, "got": 4}]


def test_the_first_centre_is_the_preferred_one_and_weights_pull():
    rows = points([[1, 0], [0, 1], [-1, 0]], q=pl.Series([0.1, 0.9, 0.2]))
    assert kept(choose(rows, take=1, embedding="v", prefer="q")) == ["r01"]
    rows = points([[1, 0], [0, 1], [-1, 0]], q=pl.Series([9, 0, 0]), w=pl.Series([1.0, 1.0, 0.1]))
    assert kept(choose(rows, take=2, embedding="v", prefer="q", weight="w")) == ["r00", "r01"]


def test_any_kind_of_vector_column_says_the_same():
    rows = points([[1, 0], [2, 1], [0, 3], [-1, 0]])
    as_array = rows.with_columns(pl.col("v").cast(pl.Array(pl.Float64, 2)))
    assert choose(rows, take=2, embedding="v").table.equals(choose(as_array, take=2, embedding="v").table)  # fmt: skip


def test_columns_that_hold_no_vectors_are_refused():
    with pytest.raises(SchemaError, match="'prompt' holds String, not vectors"):
        choose(table(), take=1, embedding="prompt")
    with pytest.raises(SchemaError, match=r"have the lengths \[1, 2\]"):
        choose(points([[1], [1, 2]]), take=1, embedding="v")


@pytest.mark.parametrize("options", [{"take": 1}, {"take": 1, "text": "prompt", "embedding": "v"}])
def test_there_is_one_thing_to_compare(options):
    with pytest.raises(ValueError, match="either `text` columns or an `embedding` column"):
        DiverseConfig.model_validate(options)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), n=st.integers(1, 25), take=st.integers(1, 25), by=st.sampled_from(["text", "embedding"]))  # fmt: skip
def test_the_order_of_rows_does_not_matter(data, n, take, by):
    words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=4).map(" ".join)
    draw = np.random.default_rng(data.draw(st.integers(0, 9)))
    vectors = [None if i % 7 == 6 else row for i, row in enumerate(draw.normal(size=(n, 37)).tolist())]  # fmt: skip
    rows = points(vectors, prompt=pl.Series(data.draw(st.lists(words, min_size=n, max_size=n))))
    options = {"take": take, by: {"text": "prompt", "embedding": "v"}[by]}
    one = choose(rows, **options)
    other = choose(rows[data.draw(st.permutations(range(n)))], **options)
    assert one.table.sort("row_id").equals(other.table.sort("row_id"))
    assert one.facts == other.facts
    assert len(kept(one)) <= take
