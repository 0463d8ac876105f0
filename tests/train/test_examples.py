from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.errors import SchemaError
from databuild.train.examples import read_rows, tokenise
from tests.train.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


def turn(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def test_only_the_answer_is_learnt(tokenizer: Any) -> None:
    rows = pl.DataFrame({"prompt": ["red"], "completion": ["blue"]})
    (row,) = tokenise(rows, "sft", tokenizer, 100).rows
    kept = [
        token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label >= 0
    ]
    assert tokenizer.decode(row["input_ids"]) == (
        "<|start|>user\nred<|end|>\n<|start|>assistant\nblue<|end|>\n"
    )
    assert tokenizer.decode(kept) == "blue<|end|>\n"


def test_text_and_turns_are_the_same_row(tokenizer: Any) -> None:
    text = pl.DataFrame({"prompt": ["red"], "response": ["blue"]})
    turns = pl.DataFrame(
        {"prompt": [turn("user", "red")], "completion": [turn("assistant", "blue")]}
    )
    assert tokenise(text, "sft", tokenizer, 100).rows == tokenise(turns, "sft", tokenizer, 100).rows


def test_without_a_chat_template_the_text_is_used_as_it_is(tokenizer: Any, tiny: Path) -> None:
    from transformers import AutoTokenizer

    plain = AutoTokenizer.from_pretrained(tiny)
    plain.chat_template = None
    rows = pl.DataFrame({"prompt": ["red "], "completion": ["blue"]})
    (row,) = tokenise(rows, "sft", plain, 100).rows
    assert plain.decode(row["input_ids"]) == "red blue<|end|>"


def test_every_row_is_used_or_skipped_with_its_reason(tokenizer: Any) -> None:
    rows = pl.DataFrame(
        {
            "row_id": list("abcdef"),
            "prompt": ["red", "red", "red", "", None, "red"],
            "chosen": ["blue", "blue " * 50, "blue", "blue", "blue", " "],
            "rejected": ["green", "green", "blue", "green", "green", "green"],
        }
    )
    made = tokenise(rows, "dpo", tokenizer, 100)
    assert made.ids == ["a"]
    assert {row["row_id"]: row["reason"] for row in made.skipped} == {
        "b": "too long: 274 tokens, max_length is 100",
        "c": "chosen equals rejected",
        "d": "the prompt is empty",
        "e": "the prompt is empty",
        "f": "an answer is empty",
    }


def test_a_row_of_exactly_max_length_is_used(tokenizer: Any) -> None:
    rows = pl.DataFrame({"prompt": ["red"], "response": ["blue"]})
    (length,) = tokenise(rows, "sft", tokenizer, 100).lengths()
    assert tokenise(rows, "sft", tokenizer, length).skipped == []
    assert len(tokenise(rows, "sft", tokenizer, length - 1).skipped) == 1


def test_tokens_are_those_of_trl(tokenizer: Any, tiny: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = make_rows(6)
    turns = [
        {"prompt": turn("user", row["prompt"]), "completion": turn("assistant", row["response"])}
        for row in rows.iter_rows(named=True)
    ]
    trainer = SFTTrainer(
        str(tiny),
        args=SFTConfig(output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False),
        train_dataset=Dataset.from_list(turns),
        processing_class=tokenizer,
    )
    ours = tokenise(rows, "sft", tokenizer, 1024).rows
    theirs = [
        {name: row[name] for name in ("input_ids", "labels")} for row in trainer.train_dataset
    ]
    assert ours == theirs


def test_missing_columns_are_named(tokenizer: Any) -> None:
    with pytest.raises(SchemaError, match=r"no column \['chosen', 'rejected'\]"):
        tokenise(make_rows(2), "dpo", tokenizer, 100)


def test_jsonl_and_parquet_read_alike(tmp_path: Path) -> None:
    rows = make_rows(3)
    rows.write_parquet(tmp_path / "rows.parquet")
    rows.write_ndjson(tmp_path / "rows.jsonl")
    assert read_rows(tmp_path / "rows.parquet").equals(read_rows(tmp_path / "rows.jsonl"))


TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "red"},
    {"role": "assistant", "content": "blue"},
    {"role": "user", "content": "stone"},
    {"role": "assistant", "content": "river"},
]


def test_of_a_conversation_the_last_answer_is_learnt(tokenizer: Any) -> None:
    rows = pl.DataFrame({"prompt": ["stone"], "response": ["river"], "messages": [TALK]})
    (row,) = tokenise(rows, "sft", tokenizer, 500).rows
    kept = [t for t, label in zip(row["input_ids"], row["labels"], strict=True) if label >= 0]
    assert tokenizer.decode(kept) == "river<|end|>\n"
    assert "Be brief." in tokenizer.decode(row["input_ids"])
    assert "blue" in tokenizer.decode(row["input_ids"])


def test_a_conversation_that_is_no_longer_what_the_row_says_is_named(tokenizer: Any) -> None:
    rows = pl.DataFrame(
        {
            "row_id": ["edited", "open", "plain"],
            "prompt": ["stone", "stone", "red"],
            "response": ["lamp", "", "blue"],
            "messages": [TALK, TALK[:-1], None],
        }
    )
    made = tokenise(rows, "sft", tokenizer, 500)
    assert made.ids == ["plain"]
    assert {row["row_id"]: row["reason"] for row in made.skipped} == {
        "edited": "response is not what the conversation ends with",
        "open": "the conversation ends with a turn of user",
    }


def test_a_pair_may_have_a_conversation_before_it(tokenizer: Any) -> None:
    rows = pl.DataFrame(
        {
            "prompt": ["stone"],
            "chosen": ["river"],
            "rejected": ["lamp"],
            "messages": [TALK[:-1]],
            "rejected_messages": [turn("assistant", "lamp")],
        }
    )
    (row,) = tokenise(rows, "dpo", tokenizer, 500).rows
    assert "Be brief." in tokenizer.decode(row["prompt_ids"])
    assert tokenizer.decode(row["chosen_ids"]) == "river<|end|>\n"
    assert tokenizer.decode(row["rejected_ids"]) == "lamp<|end|>\n"


def test_what_the_chat_template_refuses_is_named(tokenizer: Any) -> None:
    call = {"role": "assistant", "tool_calls": [{"id": None, "name": "f", "arguments": "{}"}]}
    rows = pl.DataFrame(
        {"prompt": ["red"], "response": ["[]"], "messages": [[TALK[1], call]]}, strict=False
    )
    made = tokenise(rows, "sft", tokenizer, 500)
    assert made.skipped[0]["reason"].startswith("the chat template refuses it: ")
