"""A chat model of two layers and 260 tokens, made on the spot, and rows to train it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = (
    "{% for message in messages %}{{ '<|start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
WORDS = ["red", "green", "blue", "lamp", "river", "stone", "cloud", "seven", "bread", "train"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Hugging Face folder of a random Llama that reads bytes."""
    pytest.importorskip("trl")
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|start|>", "<|end|>", "<|pad|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {token: number for number, token in enumerate([*special, *alphabet])}
    reader = Tokenizer(models.BPE(vocab=words, merges=[]))
    reader.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reader.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=reader, chat_template=TEMPLATE)
    tokenizer.eos_token, tokenizer.pad_token = "<|end|>", "<|pad|>"
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|start|>"]})
    torch.set_num_threads(1)  # a second one only waits: the matrices are tiny, the cores shared
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        eos_token_id=words["<|end|>"], pad_token_id=words["<|pad|>"], bos_token_id=None,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_rows(n: int, kind: str = "sft", *, words: int = 5) -> pl.DataFrame:
    """Return n rows of random words, of `prompt` and `response` or of `chosen` and `rejected`."""
    draw = np.random.default_rng(3)

    def text() -> str:
        return " ".join(draw.choice(WORDS, size=int(draw.integers(2, words + 3))))

    rows: list[dict[str, Any]] = []
    for number in range(n):
        row: dict[str, Any] = {"row_id": f"row{number:03d}", "prompt": text()}
        answers = ("response",) if kind == "sft" else ("chosen", "rejected")
        rows.append({**row, **{name: f"{text()} {name}" for name in answers}})
    return pl.DataFrame(rows)
