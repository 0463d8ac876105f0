"""How quickly the engines answer: a re-run over a full journal, and the whole step against vLLM.

    python tests/bench/generate.py journal     # CPU only, half a minute
    python tests/bench/generate.py vllm        # the real 135M model, some minutes

Both write their part of tests/bench/generate.json. Times are CPU seconds of this process (journal),
and of this process and all its children (vllm), as well as wall seconds; the best of several rounds,
the two sides of a ratio in turn. `reference_s` is a fixed loop of plain Python, for comparing machines
and how busy they are.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).with_name("generate.json")
K = 16
N_PROMPTS, ROUNDS = 4000, 7
LIVE_PROMPTS, LIVE_TOKENS, LIVE_ROUNDS = 16, 32, 3
TEXT = "The quick brown fox jumps over the lazy dog, and then it sits down and waits. " * 4
RECIPE = """
name: bench
seed: {seed}
models:
  start: {model}
steps:
  raw: {{use: ingest.files, path: prompts.jsonl}}
  answers: {{use: generate.respond, from: raw, model: start, k: 16, temperature: 0.9, max_tokens: {tokens}}}
"""


def reference_s() -> float:
    """CPU seconds of a million dictionary writes, the best of five."""

    def loop() -> None:
        found: dict[str, int] = {}
        for i in range(1_000_000):
            found[str(i & 1023)] = i

    return min(_cpu(loop) for _ in range(5))


def _cpu(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def write_recipe(home: Path, n: int, model: str, tokens: int, seed: int = 0) -> Path:
    """A folder with n prompts and a recipe that answers each 16 times."""
    prompts = [
        {
            "prompt": f"Question {i}: tell me in three sentences how tea and bread go with number {i}."
        }
        for i in range(n)
    ]
    (home / "prompts.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in prompts))
    (home / "r.yaml").write_text(RECIPE.format(model=model, tokens=tokens, seed=seed))
    return home / "r.yaml"


def journal(home: Path) -> dict[str, Any]:
    """Rows per CPU second of `generate.respond` when the journal has every answer.

    Counted is the whole run of the recipe: start, loading the journal, keys, rows, ids, commit.
    """
    from databuild import api
    from databuild.models.fake import FakeGenerator
    from databuild.models.protocol import Answer

    def quick(_self: object, request: Any) -> Answer:
        return Answer(request.id, f"{request.seed} {TEXT}", "stop", 20, 70)

    FakeGenerator.answer = quick  # type: ignore[method-assign, assignment]
    recipe = write_recipe(home, N_PROMPTS, "{fake: {}}", 256)
    api.run(recipe, runs=home / "runs", workers=1)

    def again() -> None:
        api.run(recipe, runs=home / "runs", workers=1, from_step="answers")

    seconds = [_cpu(again) for _ in range(ROUNDS)]
    return {
        "rows": N_PROMPTS * K,
        "answer_chars": len(TEXT),
        "cpu_s": round(min(seconds), 3),
        "rows_per_cpu_s": round(N_PROMPTS * K / min(seconds)),
        "all_rounds_cpu_s": [round(one, 3) for one in seconds],
        "reference_s": round(reference_s(), 3),
        "target_rows_per_s": 50_000,
    }


def tree_cpu_s() -> float:
    """CPU seconds of this process and of all that it started and that still lives."""
    import psutil

    here = psutil.Process()
    total = 0.0
    for process in [here, *here.children(recursive=True)]:
        spent = process.cpu_times()
        total += spent.user + spent.system
    return total


def _timed(work: Callable[[], int]) -> dict[str, float]:
    cpu, wall = tree_cpu_s(), time.monotonic()
    tokens = work()
    cpu, wall = tree_cpu_s() - cpu, time.monotonic() - wall
    return {"tokens": tokens, "cpu_s": round(cpu, 2), "wall_s": round(wall, 2)}


def vllm(home: Path) -> dict[str, Any]:
    """Tokens per second of the whole step, and of `LLM.chat` with n = 16 on the same prompts."""
    from databuild import api
    from databuild.engine.execute import Settings
    from databuild.engine.resources import Silence
    from databuild.engine.run import run_nodes
    from databuild.models.packaged import packaged_folder
    from databuild.models.services import LocalServices
    from databuild.models.vllm import VllmOptions, cpu_environment, engine_arguments

    name = "smollm2-135m-instruct"
    given = {"max_model_len": 512, "kv_cache_gib": 1}
    model = json.dumps({"packaged": name, "options": given})
    recipe = write_recipe(home, LIVE_PROMPTS, model, LIVE_TOKENS)
    services = LocalServices(home / "runs", "cpu")

    def step(seed: int) -> int:
        checked = api.check(recipe, [f"seed={seed}"])
        outputs = api._outputs(checked, home / "runs", None)
        outputs.store.open()
        result = run_nodes(checked.nodes, outputs, services, Silence(), Settings(workers=1))
        assert result["answers"].manifest.rows.rows_out == LIVE_PROMPTS * K
        return result["answers"].manifest.rows.tokens_out

    step(100)  # starts vLLM, and warms it up
    folder = packaged_folder(name, home / "model", log=home / "packaged.log")
    options = VllmOptions(model=folder, **given)
    os.environ.update(cpu_environment(options))
    arguments = engine_arguments(folder, options, "cpu")
    for own in ("may_sleep", "seed_bits"):
        del arguments[own]
    from vllm import LLM, SamplingParams

    llm = LLM(**arguments, disable_log_stats=True)
    lines = (home / "prompts.jsonl").read_text().splitlines()
    talks: Any = [[{"role": "user", "content": json.loads(line)["prompt"]}] for line in lines]

    def raw() -> int:
        sampling = SamplingParams(n=K, temperature=0.9, max_tokens=LIVE_TOKENS)
        made = llm.chat(talks, sampling, use_tqdm=False)
        return sum(len(one.token_ids) for output in made for one in output.outputs)

    raw()
    sides: dict[str, list[dict[str, float]]] = {"step": [], "raw": []}
    for turn in range(LIVE_ROUNDS):
        sides["step"].append(_timed(lambda turn=turn: step(turn)))  # type: ignore[misc]
        sides["raw"].append(_timed(raw))
    services.close()
    best = {
        of: {side: max(one["tokens"] / one[of] for one in rounds) for side, rounds in sides.items()}
        for of in ("cpu_s", "wall_s")
    }
    return {
        "prompts": LIVE_PROMPTS,
        "k": K,
        "max_tokens": LIVE_TOKENS,
        "rounds": sides,
        "tokens_per_cpu_s": {side: round(value, 1) for side, value in best["cpu_s"].items()},
        "tokens_per_wall_s": {side: round(value, 1) for side, value in best["wall_s"].items()},
        "ratio_cpu": round(best["cpu_s"]["step"] / best["cpu_s"]["raw"], 3),
        "ratio_wall": round(best["wall_s"]["step"] / best["wall_s"]["raw"], 3),
        "target_ratio": 0.95,
    }


def main() -> None:
    """Measure the parts that are named, and write them into the results."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in sys.argv[1:] or ["journal", "vllm"]:
        with tempfile.TemporaryDirectory(prefix="bench-") as home:
            known[name] = {"journal": journal, "vllm": vllm}[name](Path(home))
        RESULTS.write_text(json.dumps(known, indent=1) + "\n")
        print(json.dumps(known[name], indent=1))


if __name__ == "__main__":
    main()
