"""Self-Instruct beside distilabel's: CPU seconds of the client for each task with an answer.

    python tests/bench/self_instruct.py PYTHON    # an interpreter that has distilabel[openai] and requests

Both ask one server on this machine, the fake model behind the OpenAI protocol, which answers at
once: what is measured is what the clients take, start of the process and all, not a model. For
distilabel (SelfInstruct with 8 instructions, then TextGeneration) the server gives the same kind of
tasks without their numbers. CPU seconds of the client's processes. distilabel judges no task;
`new_by_our_rules` counts those of its rows that databuild's rules of form and novelty let pass,
which is what its own step counts as `rows`. Writes self_instruct.json.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
SEEDS = HERE.parents[2] / "recipes" / "self_instruct" / "seeds.en.jsonl"
HEADS, TARGET = 40, 100
PEER = """
import json, sys
from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import ExpandColumns, LoadDataFromDicts
from distilabel.steps.tasks import SelfInstruct, TextGeneration
if __name__ == "__main__":
    url, seeds, n, out = sys.argv[1:]
    rows = [json.loads(line) for line in open(seeds)]
    inputs = [{"input": rows[i % len(rows)]["instruction"]} for i in range(int(n))]
    def llm():
        kwargs = {"temperature": 0.7, "max_new_tokens": 120}
        return OpenAILLM(model="m", base_url=url, api_key="none", generation_kwargs=kwargs)
    with Pipeline(name="self-instruct") as pipeline:
        load = LoadDataFromDicts(data=inputs, batch_size=50)
        made = SelfInstruct(llm=llm(), num_instructions=8, input_batch_size=50)
        each = ExpandColumns(columns={"instructions": "instruction"})
        load >> made >> each >> TextGeneration(llm=llm(), input_batch_size=50)
    found = pipeline.run(use_cache=False)["default"]["train"]
    with open(out, "w") as file:
        for row in found:
            said = {"instruction": row["instruction"], "response": row["generation"]}
            file.write(json.dumps(said) + "\\n")
"""
RECIPE = """
name: bench
seed: 7
models: {{start: {{endpoint: "{url}", identity: fake-1, options: {{model: m}}}}}}
steps:
  seeds: {{use: ingest.files, path: "{seeds}"}}
  made: {{use: generate.self_instruct, from: seeds, model: start, target: {target}, temperature: 0.7, max_tokens: 120}}
"""


def serve() -> None:
    """Be the server: say the port, then answer."""
    from databuild.generate.self_instruct import _PROMPTS
    from databuild.models.fake import FakeGenerator, FakeOptions
    from databuild.models.protocol import Message, Request, Sampling

    model, prompt = FakeGenerator(FakeOptions()), _PROMPTS.read()["instructions", "en"]
    counts = [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            counts[0] += 1
            turns = tuple(Message(one["role"], one["content"]) for one in asked["messages"])
            _, is_peer, after = turns[-1].content.partition("# Context\n")
            if is_peer:
                context = after.partition("\n")[0]
                turns = prompt.messages(tasks=[context] * 8, first=9, last=16)
            request = Request("r", turns, Sampling(max_tokens=200), asked.get("seed", counts[0]))
            text = model.answer(request).text or ""
            if is_peer:
                text = "\n".join(line.partition(". ")[2] for line in text.splitlines())
            choice = {"index": 0, "message": {"role": "assistant", "content": text},
                      "finish_reason": "stop"}  # fmt: skip
            usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
            body = json.dumps(
                {"id": "x", "object": "chat.completion", "created": 1, "model": "m",
                 "choices": [choice], "usage": usage}
            ).encode()  # fmt: skip
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        sys.stdout.write(f"{http.server_address[1]}\n")
        sys.stdout.flush()
        http.serve_forever()


def spent(command: list[str]) -> dict[str, float]:
    """Run a command to its end; CPU seconds of it and all that it started, and wall seconds."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": round(cpu, 2), "wall_s": round(time.monotonic() - begun, 1)}


def rows_of_ours(home: Path) -> int:
    """Rows that our step made."""
    import polars as pl

    return pl.read_parquet(str(home / "runs" / "bench" / "made-*" / "part-*.parquet")).height


def new_ones(path: Path) -> tuple[int, int]:
    """Rows of the peer, and those that our rules of form and novelty let pass, in their order."""
    from databuild.generate.self_instruct_texts import BANNED
    from databuild.text.rouge import Novelty

    told = [json.loads(line)["instruction"] for line in path.read_text().splitlines()]
    seeds = [json.loads(line)["instruction"] for line in SEEDS.read_text().splitlines()]
    fit = [
        one
        for one in told
        if 4 <= len(one.split()) <= 150 and not any(word in one.lower() for word in BANNED)
    ]
    novelty = Novelty(0.7)
    novelty.add(seeds)
    return len(told), sum(near is None for near in novelty.judge(fit))


def main() -> None:
    """Measure both sides, in turns, and write."""
    if sys.argv[1] == "--serve":
        serve()
        return
    server = subprocess.Popen(
        [sys.executable, str(HERE), "--serve"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    told: dict[str, Any] = {"databuild": [], "distilabel": []}
    try:
        for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 2):
            with tempfile.TemporaryDirectory() as folder:
                home = Path(folder)
                (home / "r.yaml").write_text(RECIPE.format(url=url, seeds=SEEDS, target=TARGET))
                run = [sys.executable, "-m", "databuild", "run", str(home / "r.yaml"), "--runs"]
                cost: dict[str, Any] = spent([*run, str(home / "runs")])
                cost["rows"] = rows_of_ours(home)
                told["databuild"].append(cost)
                (home / "peer.py").write_text(PEER)
                out = home / "out.jsonl"
                cost = spent(
                    [sys.argv[1], str(home / "peer.py"), url, str(SEEDS), str(HEADS), str(out)]
                )
                cost["rows"], cost["new_by_our_rules"] = new_ones(out)
                told["distilabel"].append(cost)
    finally:
        server.terminate()
    text = json.dumps(told, indent=1) + "\n"
    HERE.with_suffix(".json").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
