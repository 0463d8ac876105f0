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


PIECES = """\
name: pieces
plugins: [toy.py]
steps:
  raw: {use: toy.chunks, path: in.txt, lines: 40, max_failure_ratio: 0.5}
"""


@pytest.mark.kill
def test_a_source_that_is_killed_between_its_pieces_ends_the_same(tmp_path: Path) -> None:
    """One split of 50 pieces, in which every row stands several times."""
    toy = Path(__file__).parents[1] / "engine" / "toy.py"
    (tmp_path / "toy.py").write_text(toy.read_text())
    (tmp_path / "r.yaml").write_text(PIECES)
    (tmp_path / "in.txt").write_text("".join(f"line {i * i % 701}\n" for i in range(2000)))
    loop = Path(__file__).with_name("loop.py")
    command = [sys.executable, str(loop), str(tmp_path / "r.yaml"), str(tmp_path), "15", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["kills"] >= 15
    straight = _contents(tmp_path / "straight", "pieces")
    for name in report["finished"]:
        assert _contents(tmp_path / name, "pieces") == straight
        assert api.status("pieces", runs=tmp_path / name)["raw"].rows.rows_out == 2000


def _contents(runs: Path, recipe: str = "quickstart") -> dict[str, tuple[str, str]]:
    manifests = api.status(recipe, runs=runs)
    assert all(manifest.status == "complete" for manifest in manifests.values())
    return {name: (manifest.key, manifest.digest) for name, manifest in manifests.items()}


def _asked_twice(runs: Path) -> list[str]:
    """Keys that stand more than once in a journal: a request was paid for twice."""
    again = []
    for journal in (runs / "journals").glob("*/*.jsonl"):
        keys = [json.loads(line)[0] for line in journal.read_text().splitlines()]
        again += [key for key in set(keys) if keys.count(key) > 1]
    return again
