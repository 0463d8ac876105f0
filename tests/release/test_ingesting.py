"""A recipe begins with a released version; what is trained on it is known by the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild import api
from databuild.engine.store import Store, read_manifest
from databuild.errors import RecipeError, StoreError
from databuild.release.models import model_of, models_of
from databuild.release.versions import Versions
from tests.release.conftest import tickets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.release.conftest import Shop

TRAINING = """
name: tune
seed: 1
models: {start: {MODEL}}
steps:
  rows: {use: ingest.release, version: VERSION, config: sft, split: train}
  facts: {use: measure.basics, from: rows, column: response}
  sft: {use: train.sft, from: facts, model: start}
  exam: {use: generate.respond, from: rows, model: sft, k: 1}
"""


def train(
    shop: Shop, version: str = "shop@1.0.0", model: str = "fake: {skill_ratio: 0.2}", **changes
):
    """Run the training recipe; return the manifests of its last run by step."""
    text = TRAINING.replace("VERSION", version).replace("MODEL", model)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = shop.folder / "tune.yaml"
    path.write_text(text)
    api.run(path, runs=shop.folder / "runs", workers=1)
    store = Store(shop.folder / "runs", "tune")
    return {n: (store.root / f, read_manifest(store.root / f))
            for n, f in store.latest()["steps"].items()}  # fmt: skip


def break_a_byte(folder: Path) -> None:
    [file] = (folder / "data/sft").glob("train-*")
    file.chmod(0o644)
    held = bytearray(file.read_bytes())
    held[len(held) // 2] ^= 1
    file.write_bytes(held)


def test_rows_keep_their_ids_and_parents(shop: Shop) -> None:
    shop.run(tickets(30))
    folder = shop.release("shop@1.0.0")
    train(shop)
    rows = api.show("rows", "tune", runs=shop.folder / "runs")
    released = pl.read_parquet(folder / "data/sft/train-*.parquet")
    assert rows.sort("row_id").equals(released.select(rows.columns).sort("row_id"))


def test_a_model_says_what_it_was_trained_on_and_the_store_knows_it(shop: Shop) -> None:
    shop.run(tickets(30))
    shop.release("shop@1.0.0")
    done = train(shop, "shop@latest")
    versions = Versions(shop.store, "shop")
    fingerprint = versions.read("1.0.0").fingerprint
    folder, manifest = done["sft"]
    assert manifest.versions == {"shop@1.0.0": fingerprint}
    beside = json.loads((folder / "best/databuild.json").read_text())
    assert (beside["trained_on"], beside["identity"]) == (
        manifest.versions,
        manifest.model.identity,
    )
    assert done["exam"][1].versions == manifest.versions
    [model] = models_of(versions)
    assert (model.identity, model.versions) == (manifest.model.identity, manifest.versions)
    train(shop, "shop@latest")
    assert models_of(versions) == [model]
    # One that is trained on top of it has seen the rows, too.
    again = train(shop, model="released: shop@1.0.0", **{"split: train": "split: dev"})
    assert len(models_of(versions)) == 2
    assert model_of(versions, "1.0.0").identity == again["sft"][1].model.identity


def test_the_key_is_the_fingerprint(shop: Shop) -> None:
    shop.run(tickets(30))
    shop.release("shop@1.0.0")
    before = train(shop)["rows"][1]
    shop.release("shop@1.1.0")  # the same data under another number
    assert train(shop, "shop@1.1.0")["rows"][1].key == before.key
    shop.run(tickets(31))
    shop.release("shop@1.2.0")
    assert train(shop, "shop@latest")["rows"][1].key != before.key


def test_a_changed_file_is_refused(shop: Shop) -> None:
    shop.run(tickets(30))
    break_a_byte(shop.release("shop@1.0.0"))
    with pytest.raises(StoreError, match=r"train-00000.parquet is not as it was released"):
        train(shop)
    assert models_of(Versions(shop.store, "shop")) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"config: sft": "config: stf"}, "did you mean 'sft'"),
        ({"split: train": "split: test"}, "has no split 'test'"),
        ({"config: sft, ": ""}, "several configurations"),
        ({"shop@1.0.0": "shop@9.0.0"}, "no version '9.0.0'"),
        ({"split: train": "split: train, fingerprint: abc"}, "not abc"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(shop: Shop, change, what: str) -> None:
    shop.run(tickets(20))
    shop.release("shop@1.0.0")
    with pytest.raises((RecipeError, StoreError), match=what):
        train(shop, **change)


def test_a_version_of_a_version_leads_back_to_the_first_source(shop: Shop) -> None:
    shop.run(tickets(30))
    shop.release("shop@1.0.0")
    text = """
name: second
steps:
  rows: {use: ingest.release, version: shop@1.0.0, config: sft}
  some: {use: sample.where, from: rows, keep: "prompt_words >= 2"}
  clean: {use: fix.normalize, from: some, columns: response}
release: {configs: {sft: {train: clean}}}
"""
    (shop.folder / "second.yaml").write_text(text)
    runs = shop.folder / "runs"
    api.run(shop.folder / "second.yaml", runs=runs, workers=1)
    made, folder = api.release(
        shop.folder / "second.yaml", "second@1.0.0", store=shop.store, runs=runs
    )
    came = pl.read_parquet(f"{folder}/lineage/sources-*.parquet")
    assert set(came["source_file"]) == {"rows.jsonl"}
    assert came.height == made.configs["sft"]["train"].rows
    rows = pl.read_parquet(f"{folder}/lineage/rows-*.parquet")
    assert set(rows.filter(step="raw")["version"]) == {"shop@1.0.0"}
