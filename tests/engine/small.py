"""A small flywheel on the fake model: everything that happens to a row happens in it, in seconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from databuild import api
from databuild.models.fake import FakeOptions
from databuild.models.fake_training import save_fake

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.execute import Settings
    from databuild.engine.run import RunResult

RECIPE = """\
name: small
seed: 3
models:
  start: {fake: {skill_ratio: 0.4}}
steps:
  raw:     {use: ingest.files, path: prompts.jsonl, max_failure_ratio: 0.5}
  tidy:    {use: fix.normalize, from: raw, columns: prompt}
  facts:   {use: measure.basics, from: tidy, column: prompt}
  clean:   {use: sample.where, from: facts, keep: "prompt_words >= 3"}
  unique:  {use: dedup.exact, from: clean, columns: prompt}
  pools:   {use: sample.parts, from: unique, column: pool, parts: [train, dev, held]}
  answers: {use: generate.respond, from: pools.train, model: best, k: 3, max_failure_ratio: 0.9}
  scored:  {use: reward.verify, from: answers}
  chosen:  {use: pairs.best, from: scored}
  graded:  {use: pairs.graded, from: scored}
  sft:     {use: train.sft, from: chosen, model: best}
  dpo:     {use: train.dpo, from: graded, model: sft}
  exam:    {use: generate.respond, from: "${exam.part}", model: "${exam.model}", temperature: 0}
  marks:   {use: reward.verify, from: exam}
flywheel:
  rounds: 1
  best: start
  repeat: [answers, scored, chosen, graded, sft, dpo]
  candidate: dpo
  exam: [exam, marks]
  gate: {part: pools.dev, metric: verify_score}
  final: {parts: [pools.held]}
"""
TOPICS = ("tea", "rain", "bread", "chess", "ships", "glass", "moths", "paper", "salt", "tides")


def prompts() -> list[str]:
    """Twenty good records, one too short, one that stands twice, one broken line, one other pool."""
    records: list[Any] = [
        {
            "prompt": f"Tell me about {topic} in small letters only, please. ({pool})",
            "pool": pool,
            "about": [topic],
            "topic": topic,
            "constraints": [{"kind": "lowercase", "value": ""}],
        }
        for pool, topics in (("train", TOPICS), ("dev", TOPICS[:5]), ("held", TOPICS[5:]))
        for topic in topics
    ]
    short = {**records[0], "prompt": "Tea?"}
    other = {**records[0], "prompt": "What do you know about old clocks?", "pool": "attic"}
    lines = [json.dumps(record) for record in (*records, short, records[0], other)]
    return [*lines, '{"prompt": broken']


def write(folder: Path, recipe: str = RECIPE) -> Path:
    (folder / "prompts.jsonl").write_text("".join(f"{line}\n" for line in prompts()))
    (folder / "r.yaml").write_text(recipe)
    return folder / "r.yaml"


def run(path: Path, *overrides: str, settings: Settings | None = None) -> RunResult:
    return api.run(path, overrides, runs=path.parent / "runs", workers=1, settings=settings)


def fake_folder(folder: Path, **options: Any) -> Path:
    """A fake model in a model folder: its options may change while its identity, the weights, stays."""
    save_fake(FakeOptions(**options), folder)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder
