from __future__ import annotations

import itertools
import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.dedup.minhash import MinhashConfig, drop_near_duplicates
from databuild.engine.parts import Parts
from databuild.errors import SchemaError
from tests.dedup.corpus import rows


def decide(texts, scores=None, **options) -> pl.DataFrame:
    rows = pl.DataFrame({"row_id": [f"{i:04d}" for i in range(len(texts))], "prompt": texts})
    if scores is not None:
        rows, options = rows.with_columns(q=pl.Series(scores)), {"prefer": "q", **options}
    rows = rows.cast({"prompt": pl.String}).sample(fraction=1.0, shuffle=True, seed=5)
    return drop_near_duplicates(rows, MinhashConfig(**options)).table.sort("row_id")


def kept(texts, scores=None, **options) -> list[int]:
    out = decide(texts, scores, **options)
    return [int(i) for i in out.filter(pl.col("part") == "kept")["row_id"]]


def jaccard(a: str, b: str) -> float:
    def grams(text: str) -> set[tuple[str, ...]]:
        words = text.lower().split()
        return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}

    return len(grams(a) & grams(b)) / len(grams(a) | grams(b))


def random_texts(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(n):
        words = [f"w{i}" for i in rng.integers(0, 400, int(rng.integers(1, 30)))]
        texts.append(" ".join(words))
        while rng.random() < 0.6:
            words = words.copy()
            words[int(rng.integers(0, len(words)))] = f"v{int(rng.integers(0, 400))}"
            texts.append(" ".join(words))
    return texts


@pytest.mark.parametrize("threshold", [0.6, 0.7, 0.9])
@pytest.mark.slow
def test_the_result_is_that_of_comparing_all_pairs(threshold):
    texts = random_texts(120, seed=3)
    expected: list[int] = []
    for i, text in enumerate(texts):
        if all(jaccard(text, texts[j]) < threshold for j in expected):
            expected.append(i)
    found = kept(texts, threshold=threshold)
    # 32 bands of 4 miss one pair of 60 at .6 and fewer above.
    assert len(set(found) ^ set(expected)) <= 2


def test_every_dropped_row_has_a_kept_one_that_is_as_good_and_near():
    texts = random_texts(80, seed=4)
    scores = np.random.default_rng(1).integers(0, 3, len(texts)).astype(float)
    out = decide(texts, scores)
    dropped = out.filter(pl.col("part") == "dropped")
    stay = set(out.filter(pl.col("part") == "kept")["row_id"])
    assert dropped.height > 20
    for row_id, evidence in dropped.select("row_id", "evidence").rows():
        proof = json.loads(evidence)
        assert proof["kept"] in stay
        assert scores[int(proof["kept"])] >= scores[int(row_id)]
        assert proof["jaccard"] == pytest.approx(
            jaccard(texts[int(row_id)], texts[int(proof["kept"])])
        )
        assert proof["jaccard"] >= 0.7


def test_unspaced_scripts_are_compared_by_character():
    near = [
        "请用简单的话解释雨后天空中的彩虹是怎样形成的呢",
        "请用简单的话解释雨后天空中的彩虹是怎样形成的吗",
    ]
    far = [
        "请写一首关于秋天落叶的短诗并且说明它的意思",
        "请写一封关于迟到罚款的长信并且说明它的理由",
    ]
    assert kept(near + far) == [0, 2, 3]


def test_short_blank_and_null_texts():
    assert kept(["hi", "Hi!", "hi you", "?", "!", "", " ", None, None]) == [0, 2, 3, 4, 5, 7, 8]


def test_many_equal_texts_are_collapsed_first():
    texts = ["one two three four five"] * 3000 + ["one two three four five six"]
    out = decide(texts)
    assert kept(texts) == [0]
    told = {"kept": "0000", "jaccard": 0.75, "stage": "near", "cluster": "0000"}
    assert json.loads(out["evidence"][-1]) == told
    assert set(out["reason"].drop_nulls()) == {"duplicate", "near duplicate"}


@pytest.mark.parametrize("threshold", [0, -0.1, 1.0001, 0.01, float("nan")])
def test_a_threshold_outside_its_range_or_out_of_reach_is_refused(threshold):
    with pytest.raises(
        ValueError, match=r"greater than 0|less than or equal to 1|finite|lowest threshold"
    ):
        MinhashConfig(threshold=threshold)


def test_several_columns_are_compared_as_one_text():
    answers = ["The river rises in the hills and ends in the sea."] * 2 + ["It is ten past four."]
    rows = pl.DataFrame({"row_id": list("abc"), "prompt": ["Go on."] * 3, "response": answers})
    assert dropped(rows, column="prompt") == ["b", "c"]
    assert dropped(rows, column=["prompt", "response"]) == ["b"]


def dropped(rows: pl.DataFrame, **options) -> list[str]:
    found = drop_near_duplicates(rows, MinhashConfig(**options)).table
    return found.filter(part="dropped")["row_id"].to_list()


@pytest.mark.slow
def test_how_rows_are_cut_into_parts_does_not_matter():
    table = rows(300, seed=7)
    config = MinhashConfig(prefer="quality")
    whole = drop_near_duplicates(table, config).table
    for cuts in ((1,), (100, 250), (0, 299)):
        bounds = [0, *cuts, 300]
        parts = Parts.of(*(table.slice(a, b - a) for a, b in pairwise(bounds)))
        found = drop_near_duplicates.run(parts, config, workers=2)
        assert pl.concat(found.frames).equals(whole)


@given(st.lists(st.sampled_from(["a b c d", "A b c d!", "a b c e", "x", "", "天地", None]), max_size=12),
       st.sampled_from(["fast", "datasketch"]))  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_every_row_is_kept_or_has_a_kept_one_and_no_two_kept_are_near(texts, scheme):
    out = decide(texts, threshold=0.3, recall=0.99, scheme=scheme)
    stay = out.filter(part="kept")["row_id"].to_list()
    for row_id, evidence in out.filter(part="dropped").select("row_id", "evidence").rows():
        proof = json.loads(evidence)
        assert proof["kept"] in stay
        assert proof["kept"] < row_id
        assert texts[int(row_id)] is not None
    grams = {"a b c d": {1, 2}, "A b c d!": {1, 2}, "a b c e": {1, 3}}
    for one, other in itertools.combinations(stay, 2):
        first, second = texts[int(one)], texts[int(other)]
        if first in grams and second in grams:
            assert len(grams[first] & grams[second]) / len(grams[first] | grams[second]) < 0.3
        assert first is None or first != second


def test_rows_of_earlier_tables_are_kept_first_and_not_returned():
    old = rows(150, seed=8).with_columns(row_id=pl.lit("old-") + pl.col("row_id"))
    new = pl.concat([rows(150, seed=9), old.sample(40, seed=1).with_columns(
        row_id=pl.col("row_id").str.replace("old-", "new-"))])  # fmt: skip
    config = MinhashConfig(prefer="quality")
    found = drop_near_duplicates(new, config, before=old)
    assert sorted(found.table["row_id"]) == sorted(new["row_id"])
    earlier = found.table.filter(reason="duplicate of an earlier row")
    assert found.facts["earlier"] == earlier.height >= 38  # texts of null stay
    kept = [json.loads(one)["kept"] for one in earlier["evidence"]]
    assert all(one.startswith("old-") for one in kept)
    assert {one for one in earlier["row_id"] if one.startswith("new-")} == {
        row["row_id"] for row in new.tail(40).iter_rows(named=True) if row["prompt"] is not None
    }
    alone = drop_near_duplicates(new.join(earlier, on="row_id", how="anti"), config).table
    rest = found.table.join(earlier, on="row_id", how="anti")
    assert (
        alone.select("row_id", "part")
        .sort("row_id")
        .equals(rest.select("row_id", "part").sort("row_id"))
    )


def test_facts_account_for_every_row_and_show_the_largest_clusters():
    texts = ["one two three four five six"] * 3 + ["one two three four five", "else", None]
    table = pl.DataFrame({"row_id": list("abcdef"), "prompt": texts})
    facts = drop_near_duplicates(table, MinhashConfig()).facts
    assert (facts["rows"], facts["exact"], facts["near"], facts["earlier"]) == (6, 2, 1, 0)
    assert facts["in_short"] == "2 exact, 1 near"
    assert facts["largest_clusters"] == [{"rows": 4, "kept": "a", "text": texts[0]}]
    long = pl.DataFrame({"row_id": ["a", "b"], "prompt": ["very " * 40] * 2})
    (told,) = drop_near_duplicates(long, MinhashConfig()).facts["largest_clusters"]
    assert (len(told["text"]), told["text"][-1]) == (80, "…")


def test_of_many_alike_the_best_is_kept_and_what_is_left_of_them_is_compared():
    texts = [f"the same long template of many words stands here number {n}" for n in range(300)]
    out = decide(texts, threshold=0.7)
    found = drop_near_duplicates(
        pl.DataFrame({"row_id": [f"{n:04d}" for n in range(300)], "prompt": texts}),
        MinhashConfig(),
    )
    assert found.facts["skipped_pairs"] == 0
    assert found.facts["candidates"] < 300 * 299 // 2
    assert out.filter(part="kept")["row_id"].to_list() == ["0000"]


def test_a_column_that_is_not_text_is_refused():
    table = pl.DataFrame({"row_id": ["a"], "prompt": [1.5]})
    with pytest.raises(SchemaError, match="'prompt' is of type Float64, not text"):
        drop_near_duplicates(table, MinhashConfig())


@pytest.mark.slow
def test_dates_texts_and_flags_can_say_which_row_is_the_better_one():
    table = pl.DataFrame({
        "row_id": list("abc"), "prompt": ["same words here"] * 3, "flag": [False, True, None],
        "day": ["2024-01-02", "2024-01-01", "2024-10-01"], "n": [2**62, 2**62 + 1, None],
    }).with_columns(at=pl.col("day").str.to_datetime())  # fmt: skip
    for prefer, best in {"flag": "b", "day": "c", "n": "b", "at": "c"}.items():
        out = drop_near_duplicates(table, MinhashConfig(prefer=prefer)).table
        assert out.filter(part="kept")["row_id"].to_list() == [best]


def test_the_memory_that_many_rows_take_is_said_before(monkeypatch):
    said = []

    class Watching:
        def total(self, n, unit):
            said.append((n, unit))

        def tick(self, n=1, note=""):
            pass

    monkeypatch.setattr("databuild.dedup.minhash.WORTH_SAYING", 3)
    rows = pl.DataFrame({"row_id": list("abcd"), "prompt": ["tea " * 2**18] * 4})
    drop_near_duplicates(rows, MinhashConfig(), progress=Watching())
    assert said[0] == (4, "rows (peak 372 to 500 MiB)")
