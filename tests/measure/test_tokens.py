from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.api import run, show
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
    found = measure_tokens(rows.cast({"response": pl.String}), config, files=(path,), model=None)
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
        measure_tokens(rows, TokensConfig(tokenizer="gone/*.json"), files=(), model=None)


def test_a_models_folder_is_named_as_well_as_its_file(tokenizer):
    others = [tokenizer.with_name(name) for name in ("config.json", "vocab.txt")]
    rows = pl.DataFrame({"row_id": ["a"], "response": ["rain and sun"]})
    config = TokensConfig(tokenizer=str(tokenizer.parent))
    found = measure_tokens(rows, config, files=(others[0], tokenizer, others[1]), model=None)
    assert found["response_tokens"].to_list() == [3]


def test_a_model_counts_with_its_own_tokenizer(tokenizer, tmp_path):
    rows = pl.DataFrame({"row_id": ["a", "b"], "response": ["rain and sun", None]})
    config = TokensConfig(model="start")
    found = measure_tokens(rows, config, files=(), model=tokenizer.parent)
    assert found["response_tokens"].to_list() == [3, 0]
    with pytest.raises(StepError, match="the model 'start' has no tokenizer"):
        measure_tokens(rows, config, files=(), model=tmp_path / "other")


@pytest.mark.parametrize("options", [{}, {"model": "start", "tokenizer": "t.json"}])
def test_one_of_model_and_tokenizer_is_named(options):
    with pytest.raises(ValidationError, match="name one of `model` and `tokenizer`"):
        TokensConfig(**options)


def test_in_a_recipe_the_model_is_named_and_another_one_counts_anew(tokenizer, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "rows.jsonl").write_text('{"response": "rain, and sun."}\n')
    recipe = tmp_path / "r.yaml"
    steps = (
        "steps:\n  raw: {use: ingest.files, path: rows.jsonl}\n"
        "  sizes: {use: measure.tokens, from: raw, model: start}\n"
        "  own: {use: measure.tokens, from: raw, tokenizer: tokenizer.json}\n"
    )
    counts, cached = [], []
    for start in ("fake: {}", "path: .", "path: ."):
        recipe.write_text(f"name: sizes\nmodels: {{start: {{{start}}}}}\n" + steps)
        result = run(recipe, runs=tmp_path / "runs")
        rows = [show(name, "sizes", runs=tmp_path / "runs") for name in ("sizes", "own")]
        counts.append([one["response_tokens"].item() for one in rows])
        cached.append([result[name].cached for name in ("sizes", "own")])
    assert counts == [[5, 5], [5, 5], [5, 5]]
    assert cached == [[False, False], [False, True], [True, True]]
