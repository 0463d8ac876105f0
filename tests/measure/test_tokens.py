from __future__ import annotations

import polars as pl
import pytest

from databuild.errors import StepError
from databuild.measure.tokens import TokensConfig, measure_tokens

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture
def tokenizer(tmp_path):
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0, "[B]": 1}, unk_token="?"))  # noqa: S106
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[B] $A", special_tokens=[("[B]", 1)]
    )
    made.enable_truncation(2)
    made.enable_padding(length=9)
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    return path


def measure(path, *texts, **options):
    rows = pl.DataFrame({"row_id": [str(i) for i in range(len(texts))], "response": texts})
    config = TokensConfig(tokenizer=str(path), **options)
    found = measure_tokens(rows.cast({"response": pl.String}), config, files=(path,))
    return found["response_tokens"].to_list()


def test_all_tokens_are_counted_and_none_is_added(tokenizer):
    assert measure(tokenizer, "rain and sun, now", "", None, "雨 🌧") == [5, 0, 0, 2]


def test_special_tokens_count_when_asked(tokenizer):
    assert measure(tokenizer, "rain", None, special=True) == [2, 1]


def test_batches_keep_their_order(tokenizer, monkeypatch):
    monkeypatch.setattr("databuild.measure.tokens._BATCH", 2)
    assert measure(tokenizer, "a", "a b", "a b c", "a b c d", "") == [1, 2, 3, 4, 0]


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(StepError, match="cannot be read as a tokenizer"):
        measure(path, "rain")


def test_no_file_is_refused():
    rows = pl.DataFrame({"row_id": ["a"], "response": ["rain"]})
    with pytest.raises(StepError, match="is no file"):
        measure_tokens(rows, TokensConfig(tokenizer="gone/*.json"), files=())


def test_a_models_folder_is_named_as_well_as_its_file(tokenizer):
    others = [tokenizer.with_name(name) for name in ("config.json", "vocab.txt")]
    rows = pl.DataFrame({"row_id": ["a"], "response": ["rain and sun"]})
    config = TokensConfig(tokenizer=str(tokenizer.parent))
    found = measure_tokens(rows, config, files=(others[0], tokenizer, others[1]))
    assert found["response_tokens"].to_list() == [3]
