"""The packaged embedding model knows what texts are about, in any company."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from databuild.models.embedder import open_embedder
from databuild.models.packaged import packaged_folder, packaged_identity
from databuild.models.pooling import WAYS, pooled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live


def test_texts_of_one_meaning_are_nearer_than_texts_of_one_spelling(tmp_path: Path):
    assert packaged_identity("all-minilm-l6-v2").startswith("all-minilm-l6-v2@hf@")
    log = tmp_path / "log"
    embedder = open_embedder(packaged_folder("all-minilm-l6-v2", tmp_path / "m", log=log), log=log)
    texts = ["How do I cook rice?", "Instructions for boiling grains", "How do I rob a bank?", "?"]
    try:
        vectors = embedder.embed(texts)
        alone = embedder.embed(texts[1:2])
    finally:
        embedder.close()
        embedder.close()
    assert vectors.shape == (4, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert alone[0] == pytest.approx(vectors[1], abs=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_tokens_are_pooled_as_is_said(side: str):
    """By hand: two texts of three tokens and one, whatever side the padding is on."""
    torch = pytest.importorskip("torch")
    long, short = torch.tensor([[1.0, 2], [3, 4], [5, 9]]), torch.tensor([[7.0, 8]])
    padding = torch.full((2, 2), 99.0)
    pieces = [short, padding] if side == "right" else [padding, short]
    hidden = torch.stack([long, torch.cat(pieces)])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0] if side == "right" else [0, 0, 1]])
    wanted = {
        "cls": [[1, 2], [7, 8]],
        "lasttoken": [[5, 9], [7, 8]],
        "max": [[5, 9], [7, 8]],
        "mean": [[3, 5], [7, 8]],
        "mean_sqrt_len_tokens": [[9 / 3**0.5, 15 / 3**0.5], [7, 8]],
        "weightedmean": [[22 / 6, 37 / 6], [7, 8]],
    }
    assert set(wanted) == set(WAYS)
    for way, vectors in wanted.items():
        assert pooled(hidden, mask, (way,)).numpy() == pytest.approx(np.array(vectors), abs=1e-5)
    both = pooled(hidden, mask, ("cls", "mean"))
    assert both.tolist() == [[1, 2, 3, 5], [7, 8, 7, 8]]


PARAPHRASES = [
    (
        "What can I cook tonight with rice and eggs?",
        "What can I make for dinner from eggs and rice?",
    ),
    ("How do I fix a flat tire on my bike?", "How can I repair a flat tire on my bicycle?"),
    ("What is the capital of Norway?", "Which city is the capital of Norway?"),
    ("List three ways to save water at home.", "Name three ways of saving water in the house."),
]
UNRELATED = [
    "Write a poem about the sea.",
    "How do I rob a bank?",
    "Translate this sentence into French.",
    "What is the capital of Peru?",
    "Name three ways to save money on holiday.",
]


def test_paraphrases_are_dropped_and_unrelated_prompts_are_kept(tmp_path: Path):
    """At 0.8; a Chinese pair too is near, but this English model says so of any Chinese text."""
    from databuild.dedup.semantic import SemanticConfig, drop_similar

    texts = [text for pair in PARAPHRASES for text in pair] + UNRELATED + ["word " * 400]
    ids = [f"r{i:02d}" for i in range(len(texts))]
    rows = pl.DataFrame({"row_id": ids, "prompt": texts, "q": range(len(texts))})
    log = tmp_path / "log"
    embedder = open_embedder(packaged_folder("all-minilm-l6-v2", tmp_path / "m", log=log), log=log)
    config = SemanticConfig(model="m", threshold=0.8, prefer="q")
    try:
        found = drop_similar(rows, config, embedder=embedder, scratch=tmp_path)
        chinese = embedder.embed(["请写一首关于大海的诗", "巴黎是法国的首都吗"])
        prefixed, whole = embedder.read(["a cat"], "query: "), embedder.read(["query: a cat"])
    finally:
        embedder.close()
    assert np.array_equal(prefixed.vectors_ND, whole.vectors_ND)
    gone = found.table.filter(part="dropped").sort("row_id")
    assert gone["row_id"].to_list() == ["r00", "r02", "r04", "r06"]
    told = gone["evidence"].str.json_decode(pl.Struct({"kept": pl.String, "cosine": pl.Float64}))
    assert told.struct.field("kept").to_list() == ["r01", "r03", "r05", "r07"]
    assert (told.struct.field("cosine") >= 0.8).all()
    assert (found.facts["max_tokens"], found.facts["rows_cut"]) == (256, 1)
    assert chinese[0] @ chinese[1] > 0.5  # a poem of the sea, and a question about Paris
