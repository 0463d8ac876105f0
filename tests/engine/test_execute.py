"""What a finished step leaves for those that come after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engine.small import fake_folder, run, write

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
name: small
models:
  start: {path: model, options: {max_model_len: 512}}
  other: {fake: {skill_ratio: 0.1}}
steps:
  raw:     {use: ingest.files, path: prompts.jsonl, max_failure_ratio: 0.5}
  answers: {use: generate.respond, from: raw, model: start}
  sft:     {use: train.sft, from: answers, model: start}
  again:   {use: train.sft, from: answers, model: sft, seed: 1}
  drill:   {use: train.sft, from: answers, model: other}
"""


def test_a_trained_model_is_run_with_the_engine_options_of_the_one_it_grew_from(
    tmp_path: Path,
) -> None:
    fake_folder(tmp_path / "model")
    result = run(write(tmp_path, RECIPE))
    models = {name: result[name].manifest.model for name in ("sft", "again", "drill")}
    assert {name: model.options for name, model in models.items()} == {
        "sft": {"max_model_len": 512}, "again": {"max_model_len": 512}, "drill": {},
    }  # fmt: skip
    for name, model in models.items():
        key = result[name].manifest.key
        assert (model.kind, model.identity) == ("folder", f"{name}:{key}")
        assert (tmp_path / "runs" / model.location / "fake.json").is_file()


def test_the_failed_share_decides_and_raising_it_asks_nothing_again(tmp_path: Path) -> None:
    fake_folder(tmp_path / "model")
    result = run(write(tmp_path, RECIPE))
    again = run(tmp_path / "r.yaml", "raw.max_failure_ratio=0.9", "answers.max_failure_ratio=1.0")
    assert all(step.cached for step in again.steps)
    assert result["raw"].manifest.rows.failed == 1
