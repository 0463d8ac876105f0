"""The packaged model is whole, and texts are read as transformers reads them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from databuild.models.identity import folder_identity
from databuild.models.perplexity import perplexity_of, read_texts

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live
TEXTS = [
    "The river runs through the old town and under three stone bridges.",
    "",
    "a",
    "Bees carry pollen from flower to flower, which is how apples come to grow. " * 3,
    "Zürich, 日本語 and 👩‍🔬 are all text.",
]


def test_the_folder_is_complete(smollm2: Path):
    names = {path.name for path in smollm2.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    template = (smollm2 / "chat_template.jinja").read_text()
    assert "You are a helpful AI assistant named SmolLM, trained by Hugging Face" in template
    assert json.loads((smollm2 / "config.json").read_text())["dtype"] == "bfloat16"
    tokenizer = json.loads((smollm2 / "tokenizer_config.json").read_text())
    assert (tokenizer["pad_token"], tokenizer["eos_token"]) == ("<|endoftext|>", "<|im_end|>")
    generation = json.loads((smollm2 / "generation_config.json").read_text())
    assert generation["eos_token_id"] != generation["pad_token_id"]
    assert folder_identity(smollm2) == folder_identity(smollm2)


def test_texts_are_read_as_transformers_reads_them(smollm2: Path, tmp_path: Path):
    rows = read_texts(smollm2, TEXTS, log=tmp_path / "log", dtype="float32", batch_tokens=64)
    assert [row["error"] is None for row in rows] == [True, False, False, True, True]

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
    for text, row in zip(TEXTS, rows, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]], dtype=torch.long)
        if ids.shape[1] < 2:
            continue
        with torch.inference_mode():
            mean = float(model(input_ids=ids, labels=ids).loss)
        assert row["n_tokens"] == ids.shape[1] - 1
        assert row["nll_sum"] == pytest.approx(mean * row["n_tokens"], rel=1e-4)
    value = perplexity_of(rows)
    assert value is not None
    assert 2 < value < 200
    assert math.isfinite(value)


def test_an_answer_is_read_given_its_prompt_over_the_same_tokens(smollm2: Path, tmp_path: Path):
    answer = " The capital of France is Paris."
    pairs = [("What is the capital of France?", answer), ("", answer), ("Sing a song.", answer)]
    asked = [*pairs, answer, ("a", "")]
    found = read_texts(smollm2, asked, log=tmp_path / "log", dtype="float32")
    given, alone, other, plain, empty = found
    assert given["n_tokens"] == alone["n_tokens"] == other["n_tokens"] == plain["n_tokens"] > 3
    assert alone["nll_sum"] == pytest.approx(plain["nll_sum"], rel=1e-4)
    assert given["nll_sum"] < 0.6 * alone["nll_sum"]
    assert given["nll_sum"] < other["nll_sum"]
    assert empty["error"] is not None
