"""What asking costs the tool that asks: databuild beside distilabel's Self-Instruct.

    python tests/bench/generation_peers.py <python with distilabel> <out.json> [requests] [runs]

All ask one HTTP server on this machine, a process of its own that answers in OpenAI's form within a
millisecond, with ten made-up instructions. Three sides, each in a fresh process:

- `distilabel`: a `Pipeline` of `LoadDataFromDicts` and its task `SelfInstruct` (one prompt, ten
  lines back), through its `OpenAILLM`, no cache;
- `respond`: the same prompts, word for word, through `generate.respond`, k = 1: journalled, and rows
  with their parents committed. It leaves the ten lines in one answer;
- `self_instruct`: `generate.self_instruct`, which asks more: whether each new task is one of
  classification, and an example of it. Duplicates and faulty tasks are refused; rows count.

A side's cost is the CPU seconds of its process and its children, user and system; each side runs with
few and with many requests, in turns, and the best of each counts: their difference is the cost of the
work, what remains is the start. Of 1,000 instructions the first two sides ask 100 requests, the third
about 2,100 and those for tasks that it refused. The server's own CPU seconds are not in it.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

LINES, FEW, CONCURRENCY = 10, 20, 16
SEEDS = tuple(
    f"{verb} {thing}."
    for verb in ("Describe", "Compare", "Question", "Plan", "Review", "Teach")
    for thing in ("a walk by the river", "the evening train", "how bread is made", "a small garden")
)
SYLLABLES = tuple(consonant + vowel for consonant in "bdklmnr" for vowel in "aeio")
RESPOND = """
name: bench
models: {{peer: {{endpoint: "{url}", identity: made@1, options: {{model: made-up, max_concurrency: {most}}}}}}}
steps:
  raw: {{use: ingest.files, path: prompts.jsonl}}
  answers: {{use: generate.respond, from: raw, model: peer, k: 1, temperature: 0.9, max_tokens: 400}}
"""
SELF_INSTRUCT = """
name: bench
models: {{peer: {{endpoint: "{url}", identity: made@1, options: {{model: made-up, max_concurrency: {most}}}}}}}
steps:
  raw: {{use: ingest.files, path: seeds.jsonl}}
  made: {{use: generate.self_instruct, from: raw, model: peer, target: {n}, new_per_head: 10, heads: 16, temperature: 0.9}}
"""


def serve() -> None:
    """The server: a task is a verb and ten words of made-up syllables, so that few are alike."""
    from databuild.models import fake_tasks

    draw, lock = np.random.default_rng(0), threading.Lock()

    def task(_language: str, _draw: np.random.Generator) -> str:
        with lock:
            words = ["".join(draw.choice(SYLLABLES, size=3)) for _ in range(11)]
        return f"{words[0].title()} {' '.join(words[1:])}."

    vars(fake_tasks)["_task"] = task

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = asked["messages"][-1]["content"]
            said = fake_tasks.answer_about_tasks(prompt, draw)
            text = said or "\n".join(task("en", draw) for _ in range(LINES))
            usage = {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350}
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            body = json.dumps(
                {
                    "id": "x", "object": "chat.completion", "created": 0, "model": "made-up",
                    "choices": [choice], "usage": usage,
                }
            ).encode()  # fmt: skip
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        sys.stdout.write(f"http://127.0.0.1:{http.server_address[1]}/v1\n")
        sys.stdout.flush()
        http.serve_forever()


def distilabel(url: str, n: int, home: Path) -> int:
    """Its pipeline; the first call of all also writes the prompts for `respond`."""
    from distilabel.models import OpenAILLM  # type: ignore[import-not-found]
    from distilabel.pipeline import Pipeline  # type: ignore[import-not-found]
    from distilabel.steps import LoadDataFromDicts  # type: ignore[import-not-found]
    from distilabel.steps.tasks import SelfInstruct  # type: ignore[import-not-found]

    rows = [{"input": f"{SEEDS[i % len(SEEDS)]} Number {i}."} for i in range(n)]

    def task() -> Any:
        settings = {"temperature": 0.9, "max_new_tokens": 400}
        llm = OpenAILLM(model="made-up", base_url=url, api_key="none", generation_kwargs=settings)
        return SelfInstruct(llm=llm, num_instructions=LINES)

    drawn = task()
    drawn.load()
    asked = [{"prompt": drawn.format_input(row)[0]["content"]} for row in rows]
    (home / "prompts.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in asked), "utf-8")
    with Pipeline(name="bench", cache_dir=home / "cache") as pipeline:
        load = LoadDataFromDicts(data=rows)
        load >> task()
    table = pipeline.run(use_cache=False)["default"]["train"]
    return sum(len(row) for row in table["instructions"])


def ours(side: str, url: str, n: int, home: Path) -> int:
    """A recipe of one step."""
    from databuild import api

    recipe = home / "r.yaml"
    text = RESPOND if side == "respond" else SELF_INSTRUCT
    recipe.write_text(text.format(url=url, most=CONCURRENCY, n=n * LINES), "utf-8")
    seeds = [json.dumps({"instruction": one}) + "\n" for one in SEEDS]
    (home / "seeds.jsonl").write_text("".join(seeds), "utf-8")
    api.run(recipe, runs=home / "runs", workers=1)
    if side == "respond":
        answers = api.show("answers", recipe="bench", runs=home / "runs")["response"]
        return int(answers.str.count_matches("\n").sum()) + answers.len()
    return int(api.show("made", recipe="bench", runs=home / "runs").height)


def one(python: str, side: str, url: str, n: int, prompts: Path) -> tuple[float, int]:
    """CPU seconds of a fresh process and its children, and the instructions that it made."""
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        if side == "respond":
            lines = prompts.read_text("utf-8").splitlines(keepends=True)[:n]
            Path(home, "prompts.jsonl").write_text("".join(lines), "utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [python, __file__, "-", side, url, str(n), home], capture_output=True, text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=False,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{side}: {done.stderr[-3000:]}")
        if side == "distilabel" and not prompts.exists():
            prompts.write_text(Path(home, "prompts.jsonl").read_text("utf-8"), "utf-8")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, int(done.stdout.split()[-1])


def compared(python: str, url: str, many: int, runs: int, prompts: Path) -> dict[str, Any]:
    """All sides with many and few requests, in turns."""
    sides = {"distilabel": python, "respond": sys.executable, "self_instruct": sys.executable}
    found: dict[tuple[str, int], list[tuple[float, int]]] = {}
    for _ in range(runs):
        for side, interpreter in sides.items():
            for n in (many, FEW):
                cost = one(interpreter, side, url, n, prompts)
                found.setdefault((side, n), []).append(cost)
                print(side, n, cost, flush=True)
    told: dict[str, Any] = {}
    for side in sides:
        (most_s, most), (least_s, least) = (min(found[side, n]) for n in (many, FEW))
        told[side] = {
            "instructions": most,
            "cpu_s": round(most_s, 2),
            "start_cpu_s": round(least_s - (most_s - least_s) / (most - least) * least, 2),
            "cpu_s_per_1000_instructions": round((most_s - least_s) / (most - least) * 1000, 3),
            "all_runs_cpu_s": [round(cost, 2) for cost, _ in found[side, many]],
        }
    return told


def main() -> None:
    """Measure and write the file, or be the server or one of the runs."""
    if sys.argv[1:] == ["serve"]:
        return serve()
    if sys.argv[1] == "-":
        side, url, n, home = sys.argv[2], sys.argv[3], int(sys.argv[4]), Path(sys.argv[5])
        made = distilabel(url, n, home) if side == "distilabel" else ours(side, url, n, home)
        print(f"\n{made}")
        return None
    python, out = sys.argv[1], Path(sys.argv[2])
    many, runs = (*map(int, sys.argv[3:5]), *(420, 3)[len(sys.argv[3:5]) :])
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            url = server.stdout.readline().strip()
            figures = compared(python, url, many, runs, Path(folder) / "prompts.jsonl")
    finally:
        server.kill()
    peer = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('distilabel'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    facts = {
        "what": __doc__.splitlines()[0] if __doc__ else "",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"distilabel": peer, "polars": version("polars")},
        "requests": many,
        "instructions_per_request": LINES,
        "runs": runs,
        "sides": figures,
    }
    out.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    print(json.dumps(facts, indent=1))
    return None


if __name__ == "__main__":
    main()
