"""A run that is killed anywhere, however often, ends as the run that nobody touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from databuild import api

RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"
SMALL = [
    "models.start={fake: {skill_ratio: 0.3, latency_s: 0.0005}}",
    "answers.k=2",
    "raw.path=quickstart/dev.jsonl",
    "pools.parts=[dev]",
    "pools.column=pool",
    "rounds.from=pools.dev",
    "flywheel.gate.part=pools.dev",
    "flywheel.final.parts=[pools.dev]",
    "prose.path=quickstart/dev.jsonl",
    "reading.column=prompt",
]


@pytest.mark.kill
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_hundred_kills_change_nothing(tmp_path: Path, seed: int) -> None:
    """25 kills each; four cases run beside each other."""
    loop = Path(__file__).with_name("loop.py")
    command = [sys.executable, str(loop), str(RECIPE), str(tmp_path), "25", str(seed), *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["kills"] >= 25
    straight = _contents(tmp_path / "straight")
    for name in report["finished"]:
        assert _contents(tmp_path / name) == straight
        assert _asked_twice(tmp_path / name) == []


def _contents(runs: Path) -> dict[str, tuple[str, str]]:
    manifests = api.status("quickstart", runs=runs)
    assert all(manifest.status == "complete" for manifest in manifests.values())
    return {name: (manifest.key, manifest.digest) for name, manifest in manifests.items()}


def _asked_twice(runs: Path) -> list[str]:
    """Keys that stand more than once in a journal: a request was paid for twice."""
    again = []
    for journal in (runs / "journals").glob("*/*.jsonl"):
        keys = [json.loads(line)[0] for line in journal.read_text().splitlines()]
        again += [key for key in set(keys) if keys.count(key) > 1]
    return again
