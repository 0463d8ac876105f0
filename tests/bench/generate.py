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
LIVE_PROMPTS, LIVE_TOKENS, LIVE_ROUNDS = 8, 32, 4
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


class Engines:
    """The sides that are compared, on the same prompts, with the same weights and dtype (float32).

    `step` is the whole recipe step: read the prompts, render, sample in vLLM's own process,
    journal, make rows and ids, commit. `raw` is `LLM.chat` with n = 16 in this process, `seeded` the
    same with a seed for each prompt, without which no answer comes again. `plain` is
    `transformers`: one batch of all prompts, padded, through `model.generate`, 16 sequences each.
    """

    def __init__(self, home: Path) -> None:
        from databuild.models.packaged import packaged_folder
        from databuild.models.services import LocalServices
        from databuild.models.vllm import VllmOptions
        from databuild.models.vllm_arguments import cpu_environment

        name, given = "smollm2-135m-instruct", {"max_model_len": 512, "kv_cache_gib": 1}
        self.home = home
        model = json.dumps({"packaged": name, "options": given})
        self.recipe = write_recipe(home, LIVE_PROMPTS, model, LIVE_TOKENS)
        self.folder = packaged_folder(name, home / "model", log=home / "packaged.log")
        self.options = VllmOptions(model=self.folder, **given)
        os.environ.update(cpu_environment(self.options))
        self.services = LocalServices(home / "runs", "cpu")
        lines = (home / "prompts.jsonl").read_text().splitlines()
        prompts = [json.loads(line)["prompt"] for line in lines]
        self.talks: Any = [[{"role": "user", "content": prompt}] for prompt in prompts]
        self.llm: Any = None
        self.model: Any = None
        self.turn = 0

    def step(self, most: int) -> int:
        """One run of the recipe under a new seed, so that the journal knows none of it."""
        from databuild import api
        from databuild.engine.execute import Settings
        from databuild.engine.resources import Silence
        from databuild.engine.run import run_nodes

        self.turn += 1
        given = [f"seed={self.turn}", f"answers.max_tokens={most}"]
        checked = api.check(self.recipe, given)
        outputs = api._outputs(checked, self.home / "runs", None)
        outputs.store.open()
        result = run_nodes(checked.nodes, outputs, self.services, Silence(), Settings(workers=1))
        rows = result["answers"].manifest.rows
        assert rows.rows_out == LIVE_PROMPTS * K
        return int(rows.tokens_out)

    def raw(self, most: int) -> int:
        """The same answers by `LLM.chat`; the engine has the arguments of the step's."""
        return self._chat(most, [None] * LIVE_PROMPTS)

    def seeded(self, most: int) -> int:
        """As `raw`, but with seeds, as the step has them: other draws, the same work."""
        return self._chat(most, list(range(LIVE_PROMPTS)))

    def _chat(self, most: int, seeds: list[int | None]) -> int:
        from vllm import LLM, SamplingParams

        from databuild.models.vllm_arguments import engine_arguments

        if self.llm is None:
            arguments = engine_arguments(self.folder, self.options, "cpu")
            for own in ("may_sleep", "seed_bits"):
                del arguments[own]
            self.llm = LLM(**arguments, disable_log_stats=True)
        sampling = [
            SamplingParams(n=K, temperature=0.9, max_tokens=most, seed=seed) for seed in seeds
        ]
        made = self.llm.chat(self.talks, sampling, use_tqdm=False)
        return sum(len(one.token_ids) for output in made for one in output.outputs)

    def plain(self, most: int) -> int:
        """The same answers by `model.generate` of transformers, as one padded batch."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if self.model is None:
            self.model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32)
            self.tokenizer = AutoTokenizer.from_pretrained(self.folder, padding_side="left")
        given = self.tokenizer.apply_chat_template(
            self.talks, add_generation_prompt=True, tokenize=True, padding=True,
            return_tensors="pt", return_dict=True,
        )  # fmt: skip
        with torch.inference_mode():
            made = self.model.generate(
                **given, do_sample=True, temperature=0.9, top_p=1.0, top_k=0,
                max_new_tokens=most, num_return_sequences=K,
            )  # fmt: skip
        new = made[:, given["input_ids"].shape[1] :]
        ends = (new == self.model.generation_config.eos_token_id).int()
        return int((ends.cumsum(1) - ends == 0).sum())  # up to the end token, it counted

    def timed(self, side: str, most: int = LIVE_TOKENS) -> dict[str, float]:
        """Tokens, CPU seconds of all processes, wall seconds of one turn."""
        cpu, wall = tree_cpu_s(), time.monotonic()
        tokens = getattr(self, side)(most)
        cpu, wall = tree_cpu_s() - cpu, time.monotonic() - wall
        return {"tokens": tokens, "cpu_s": round(cpu, 2), "wall_s": round(wall, 2)}


def summary(sides: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """The best round of each side, and the step's ratio to the others."""
    told: dict[str, Any] = {"prompts": LIVE_PROMPTS, "k": K, "max_tokens": LIVE_TOKENS}
    told["rounds"] = sides
    for of in ("cpu_s", "wall_s"):
        best = {
            side: max(one["tokens"] / one[of] for one in rounds) for side, rounds in sides.items()
        }
        told[f"tokens_per_{of}"] = {side: round(value, 1) for side, value in best.items()}
        for other in sorted(set(best) - {"step"}):
            told[f"step_to_{other}_{of}"] = round(best["step"] / best[other], 3)
    return told | {"target_step_to_raw": 0.95}


def vllm(home: Path) -> dict[str, Any]:
    """Tokens per second of the whole step, of `LLM.chat` twice, and of `transformers` (once)."""
    engines = Engines(home)
    sides: dict[str, list[dict[str, float]]] = {"step": [], "raw": [], "seeded": [], "plain": []}
    for side in sides:
        engines.timed(side, 2)  # starts it, and warms it up
    for turn in range(LIVE_ROUNDS):
        order = list(sides) if turn % 2 == 0 else list(sides)[-2::-1]  # none is always the first
        for side in order:
            if side != "plain" or turn == 0:
                sides[side].append(engines.timed(side))
                print(side, sides[side][-1], flush=True)  # a run that is stopped has told so much
    engines.services.close()
    return summary(sides)


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
