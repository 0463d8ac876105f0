"""Run a recipe again and again, killing it at random moments, until it was killed often enough.

A process of its own: it loads databuild once and forks a child per attempt, so that a hundred kills
fall into the run and not into Python's start. Polars starts its worker threads on first use, hence
in the child only (what runs before is the allocator's, which knows about forks).

    python loop.py <recipe> <folder> <kills> <seed> [key=value ...]
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from databuild import api


def attempt(recipe: str, runs: Path, overrides: list[str], patience_s: float) -> bool:
    """Run the recipe in a child; kill it after `patience_s`. Return whether the kill met it."""
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            api.run(recipe, overrides, runs=runs, workers=1)
        except BaseException as error:  # noqa: BLE001 -- the child must not return into the loop
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(3)
        os._exit(0)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise SystemExit(f"the run failed with status {status}")
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)  # one process: a run with one worker has no children
    os.waitpid(child, 0)
    return True


def main() -> None:
    recipe, folder, kills, seed, *overrides = sys.argv[1:]
    draw = np.random.default_rng(int(seed))
    started = time.monotonic()
    assert not attempt(recipe, Path(folder) / "straight", overrides, 600)
    whole_s = time.monotonic() - started
    met, finished, runs = 0, [], 0
    while met < int(kills) or not finished:
        place = Path(folder) / f"killed-{runs}"
        runs += 1
        hits = 0
        while attempt(recipe, place, overrides, float(draw.uniform(0, whole_s / 4))) and hits < 40:
            met, hits = met + 1, hits + 1
        attempt(recipe, place, overrides, 600)
        finished.append(place.name)
    print(json.dumps({"kills": met, "finished": finished, "seconds": whole_s}))


if __name__ == "__main__":
    main()
