from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild import api
from databuild.dedup.cluster import ClusterConfig, cluster_rows
from databuild.errors import StepError
from tests.dedup.corpus import rows

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
name: whole
seed: 7
steps:
  raw:     {use: ingest.files, path: rows.parquet}
  cluster: {use: dedup.cluster, from: raw, threshold: 0.5}
  split:   {use: sample.split, from: cluster, parts: {train: 0.7, dev: 0.3}, together: cluster_id}
  seen:    {use: dedup.index, from: split.train}
"""
LATER = """\
name: later
steps:
  raw:    {use: ingest.files, path: rows.parquet}
  unique: {use: dedup.minhash, from: raw, index: runs/whole/seen-*/*%s}
"""


def test_a_chain_is_one_cluster_and_a_lonely_row_is_in_none() -> None:
    words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
    texts = [" ".join(words[:10]), " ".join(words[:11]), " ".join(words), "else", None]
    table = pl.DataFrame({"row_id": ["c", "b", "a", "d", "e"], "prompt": texts})
    found = cluster_rows(table, ClusterConfig(threshold=0.85))
    assert found.table["cluster_id"].to_list() == ["a", "a", "a", None, None]
    assert (found.facts["clusters"], found.facts["rows_in_clusters"]) == (1, 3)
    assert found.facts["in_short"] == "3 rows in 1 clusters"


def test_clusters_stay_whole_in_a_split_and_an_index_serves_a_later_recipe(tmp_path: Path) -> None:
    rows(400).drop("row_id").write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "r.yaml").write_text(RECIPE)
    ran = api.run(tmp_path / "r.yaml", runs=tmp_path / "runs", workers=1)
    clusters = ran["cluster"].manifest.metrics["clusters"]
    checked = ran["split"].manifest.metrics["leak_checked"]
    assert checked == {"cluster_id": {"values": clusters, "in_two_parts": 0}}
    assert clusters > 50
    (tmp_path / "later.yaml").write_text(LATER % "")
    later = api.run(tmp_path / "later.yaml", runs=tmp_path / "runs", workers=1)["unique"]
    n_train = ran["seen"].manifest.metrics["rows"]
    # Every row of train is dropped now, and so is what is near one of them.
    assert later.manifest.metrics["earlier"] >= n_train > 200
    evidence = pl.read_parquet(f"{later.folder}/dropped/*.parquet")["evidence"]
    kept = evidence.str.json_path_match("$.kept")
    assert set(kept.str.len_chars()) == {32}
    (tmp_path / "later.yaml").write_text(LATER % ", ngram: 2")
    with pytest.raises(StepError, match=r"index was made with ngram 3 \(now 2\)\. Fix: use the"):
        api.run(tmp_path / "later.yaml", runs=tmp_path / "runs", workers=1)
