"""The quickstart data: pools that share nothing, readable constraints, mess on purpose."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from databuild.text.constraints import TRAINED, UNTRAINED, validate

HERE = Path(__file__).parents[2] / "recipes" / "quickstart"
POOLS = {"train": 660, "dev": 120, "holdout": 200, "ood": 60}


def lines(name: str) -> list[str]:
    return (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("pool", ["dev", "holdout", "ood"])
def test_measured_pools_are_clean(pool: str) -> None:
    rows = [json.loads(line) for line in lines(pool)]
    assert len({row["prompt"] for row in rows}) == len(rows) == POOLS[pool]
    kinds = set(UNTRAINED if pool == "ood" else TRAINED)
    assert {row["family"] for row in rows} == kinds
    for row in rows:
        assert row["pool"] == pool
        assert row["constraints"][0]["kind"] == row["family"]
        assert row["about"]
        for rule in row["constraints"]:
            validate(rule["kind"], rule["value"])


def test_families_are_even_and_a_quarter_has_two_constraints() -> None:
    rows = [json.loads(line) for line in lines("holdout")]
    counts = Counter(row["family"] for row in rows)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert 0.15 < sum(len(row["constraints"]) == 2 for row in rows) / len(rows) < 0.35


def test_the_train_file_has_good_rows_and_bad_ones() -> None:
    good, unreadable = [], 0
    for line in lines("train"):
        try:
            good.append(json.loads(line))
        except ValueError:
            unreadable += 1
    assert unreadable == 2
    prompts = [row["prompt"] for row in good if isinstance(row["prompt"], str)]
    assert len(prompts) - len(set(prompts)) >= 6
    assert any(not prompt.strip() for prompt in prompts)
    assert max(map(len, prompts)) > 10_000
    assert any(not isinstance(row["prompt"], str) for row in good)
    assert any("constraints" not in row for row in good)


def test_no_two_pools_share_a_topic_an_ask_a_wording_or_a_value() -> None:
    material = YAML(typ="safe").load(HERE / "material.yaml")
    seen: dict[str, str] = {}
    for pool, held in material.items():
        kinds = held["wordings"].values()
        values = [
            part
            for name, phrases in held["phrases"].items()
            for phrase in phrases
            for part in (phrase.split(",") if name == "json_keys" else [phrase])
        ]
        own = {text for group in (held.get("topics", []), held.get("asks", []), *kinds, values)
               for text in group}  # fmt: skip
        for text in own:
            assert seen.setdefault(text, pool) == pool, text


def test_prose_is_forty_paragraphs() -> None:
    texts = [json.loads(line)["text"] for line in lines("prose")]
    assert len(set(texts)) == 40
    assert min(len(text.split()) for text in texts) >= 40
