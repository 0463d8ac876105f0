"""The choosing steps through the engine: named inputs, reported facts, parts of any size, rounds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from databuild import api
from databuild.cli.main import app
from databuild.engine.execute import Settings

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
name: choosing
seed: 5
models: {spelling: {packaged: hashed-ngrams}}
steps:
  human:   {use: ingest.files, path: human.jsonl}
  web:     {use: ingest.files, path: web.jsonl}
  exam:    {use: ingest.files, path: exam.jsonl}
  mixed:   {use: sample.mix, from: {human: human, web: web}, weights: {human: 0.5, web: 0.5}, total: 90, epochs: {human: 2}, unique: prompt, priority: [human]}
  often:   {use: measure.frequency, from: mixed}
  leaks:   {use: measure.leak, from: {rows: often, against: exam, more: exam}, in_columns: question}
  clean:   {use: sample.where, from: leaks, keep: "not prompt_is_leaked and startswith(prompt, 'Tell')"}
  vectors: {use: measure.embedding, from: clean, model: spelling}
  even:    {use: sample.stratify, from: vectors, by: [mixed_from, topic], total: 40, balance: equal}
  far:     {use: sample.diverse, from: even, embedding: prompt_embedding, take: 30}
  varied:  {use: sample.diverse, from: far, text: prompt, take: 24}
  bands:   {use: sample.curriculum, from: varied, by: level, bands: 3}
  parts:   {use: sample.split, from: bands.r1, parts: {train: 0.5, dev: 0.5}, no_leak: prompt}
"""
THINGS = ["rain", "bread", "owls", "rivers", "clocks", "bees", "maps"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def write(name: str, rows: list[dict[str, object]]) -> None:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    topics = ["sky", "sky", "sky", "food"]
    prompts = [f"Tell me {i} things about {THINGS[i % 7]}." for i in range(40)]
    write("human.jsonl", [{"prompt": p, "topic": topics[i % 4], "level": i} for i, p in enumerate(prompts[:25])])  # fmt: skip
    write("web.jsonl", [{"prompt": p.upper().replace("TELL", "Tell"), "topic": "web", "level": i} for i, p in enumerate(prompts[20:])])  # fmt: skip
    write("exam.jsonl", [{"question": "tell me 3 things about  rivers."}])
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


def ids(folder: Path, runs: str, **settings) -> dict[str, str]:
    result = api.run(folder / "r.yaml", runs=folder / runs, settings=Settings(**settings))
    return {step.name: step.manifest.digest for step in result.steps}


def test_the_choice_is_the_same_whatever_the_parts(folder: Path):
    whole = ids(folder, "whole")
    assert ids(folder, "small", shard_rows=40, shard_bytes=3000) == whole


def test_what_a_step_reports_is_kept_and_shown(folder: Path):
    result = api.run(folder / "r.yaml", runs=folder / "runs")
    mixed = result["mixed"].manifest
    assert mixed.metrics["sources"] == [
        {"source": "human", "rows": 25, "duplicates": 0, "wanted": 45, "got": 45},
        {"source": "web", "rows": 20, "duplicates": 5, "wanted": 45, "got": 15},
    ]
    assert result["leaks"].manifest.metrics == {"leaked": {"prompt": 1}}
    assert result["parts"].manifest.metrics["leak_checked"]["prompt"]["in_two_parts"] == 0
    assert sum(band["rows"] for band in result["bands"].manifest.metrics["bands"]) == 24
    shown = CliRunner().invoke(app, ["show", "mixed", "--runs", str(folder / "runs")])
    shortfall = shown.stdout.partition("shortfall")[2]
    assert shortfall.split()[:6] == ["of", "wanted", "got", "web", "45", "15"]
    again = api.run(folder / "r.yaml", runs=folder / "runs")
    assert all(step.cached for step in again.steps)


def test_a_round_takes_its_band(folder: Path):
    text = RECIPE.replace("spelling: {packaged: hashed-ngrams}", "start: {fake: {}}, spelling: {fake: {}}")  # fmt: skip
    text += """\
  answers: {use: generate.respond, from: "bands.r${round}", model: best, k: 2}
  scored:  {use: measure.basics, from: answers, column: response}
  sft:     {use: train.sft, from: scored, model: best}
  asked:   {use: generate.respond, from: "${exam.part}", model: "${exam.model}"}
  marks:   {use: measure.basics, from: asked, column: response}
flywheel:
  rounds: 3
  best: start
  repeat: [answers, scored, sft]
  candidate: sft
  exam: [asked, marks]
  gate: {part: parts.dev, metric: response_words}
  final: {parts: parts.train}
"""
    (folder / "wheel.yaml").write_text(text)
    by_name = {node.name: node for node in api.check(folder / "wheel.yaml").nodes}
    took = [str(by_name[f"answers@{n}"].inputs["rows"]) for n in (1, 2, 3)]
    assert took == ["bands.r1", "bands.r2", "bands.r3"]
