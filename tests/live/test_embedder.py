"""The packaged embedding model knows what texts are about, in any company."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from databuild.models.embedder import open_embedder
from databuild.models.packaged import packaged_folder, packaged_identity

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
