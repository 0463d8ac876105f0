"""Which pairs a reward model is trained on, in which order, and which are held back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from databuild.errors import SchemaError
from databuild.train.reward_judging import Judged, auc, overfit
from databuild.train.reward_options import RewardOptions
from databuild.train.reward_pairs import (
    Pair,
    Pairs,
    hold_back,
    order_pairs,
    other_answers,
    read_pairs,
)
from databuild.train.trainers import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path


def pair(number: int, prompt: int, length: int = 5) -> Pair:
    head = [1000 + prompt]
    return Pair(str(number), prompt, [*head, *[number] * length], [*head, 7], 1)


def test_whole_prompts_are_held_back_whatever_the_share() -> None:
    pairs = Pairs([pair(n, n // 3) for n in range(30)])
    for fraction, prompts in ((0.0, 0), (0.01, 1), (0.3, 3), (0.99, 9)):
        train, held = hold_back(pairs, fraction, seed=4)
        assert len({p.prompt for p in held}) == prompts
        assert not {p.prompt for p in held} & {p.prompt for p in train}
        assert len(train) + len(held) == 30
    assert hold_back(pairs, 0.3, seed=4) != hold_back(pairs, 0.3, seed=5)


def test_one_prompt_alone_is_trained_on() -> None:
    train, held = hold_back(Pairs([pair(0, 0), pair(1, 0)]), 0.5, seed=0)
    assert (len(train), len(held)) == (2, 0)


def test_an_answer_to_another_prompt_stands_behind_this_one() -> None:
    pairs = [pair(n, n // 2) for n in range(8)]
    made = other_answers(pairs, 2.5, seed=1, max_length=50)
    assert len(made) == 20
    for one in made:
        assert one.chosen_ids[0] == one.rejected_ids[0] == 1000 + one.prompt
        answered = one.rejected_ids[1]
        assert answered // 2 != one.prompt
        assert one.rejected_ids[1:] == [answered] * 5
    assert other_answers(pairs, 0.0, seed=1, max_length=50) == []
    assert other_answers(pairs[:2], 1.0, seed=1, max_length=50) == []  # one prompt: no other
    assert other_answers(pairs, 1.0, seed=1, max_length=5) == []  # all too long


def test_pairs_of_one_prompt_share_a_batch_and_all_are_seen_once() -> None:
    rng = np.random.default_rng(0)
    pairs = [pair(n, n // 4, int(rng.integers(1, 60))) for n in range(256)]
    order = order_pairs(pairs, 8, seed=3, epoch=0)
    assert sorted(order) == list(range(256))
    assert order == order_pairs(pairs, 8, seed=3, epoch=0)
    assert order != order_pairs(pairs, 8, seed=3, epoch=1)
    batches = [order[i : i + 8] for i in range(0, 256, 8)]
    assert all(len({pairs[n].prompt for n in batch}) == 2 for batch in batches)
    width = sum(max(pairs[n].length for n in batch) * 8 for batch in batches)
    plain = [list(range(i, i + 8)) for i in range(0, 256, 8)]
    assert width < sum(max(pairs[n].length for n in batch) * 8 for batch in plain)


def test_a_pair_without_margin_or_weight_is_named(tiny: Path) -> None:
    nan = float("nan")
    table = pl.DataFrame(
        {
            "row_id": ["good", "again", "nan", "none", "zero", "same"],
            "prompt": ["p"] * 5 + ["q 🙂"],
            "chosen": ["red lamp", "red stone", "a", "b", "c", "好"],
            "rejected": ["blue", "blue", "d", "e", "f", "好"],
            "m": [0.5, 0.25, nan, None, 1.0, 1.0],
            "w": [1.0, 2.0, 1.0, 1.0, 0.0, 1.0],
        }
    )
    options = RewardOptions(margin="m", margin_scale=2, weight="w", max_length=100)
    found = read_pairs(table, options, load_tokenizer(tiny))
    assert [(p.row_id, p.margin, p.weight) for p in found.rows] == [
        ("good", 1.0, 1.0),
        ("again", 0.5, 2.0),
    ]
    assert found.n_prompts == 1
    assert {one["row_id"]: one["reason"] for one in found.skipped} == {
        "nan": "no margin in m",
        "none": "no margin in m",
        "zero": "no weight above 0 in w",
        "same": "chosen equals rejected",
    }
    text = load_tokenizer(tiny).decode(found.rows[0].chosen_ids)
    assert text == "<|start|>user\np<|end|>\n<|start|>assistant\nred lamp<|end|>\n"
    with pytest.raises(SchemaError, match="no column 'n'"):
        read_pairs(table, RewardOptions(margin="n"), load_tokenizer(tiny))


def test_auc_counts_couples() -> None:
    rng = np.random.default_rng(1)
    better, worse = rng.integers(0, 6, 40).astype(float), rng.integers(0, 5, 30).astype(float)
    couples = [1.0 if b > w else 0.5 if b == w else 0.0 for b in better for w in worse]
    assert auc(better, worse) == pytest.approx(np.mean(couples), abs=1e-6)


def test_a_gap_that_chance_explains_is_no_over_fit() -> None:
    trained = Judged(400, 100, 0.9, 0.9, 0.5, None)
    assert overfit(trained, trained._replace(accuracy=0.7, prompts=10)) is None
    assert "70 % of those held back" in str(overfit(trained, trained._replace(accuracy=0.7)))
