from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from databuild.dedup.minhash import MinhashConfig, drop_near_duplicates


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
