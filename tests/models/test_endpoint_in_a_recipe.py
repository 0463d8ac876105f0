"""A server that misbehaves under a whole recipe: rows are named, kept, and asked for again alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild import api
from databuild.errors import ServiceError

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.run import RunResult

RECIPE = """
name: r
models: {far: {endpoint: "%s", identity: fake@1, options: {model: fake, backoff_s: 0.01, max_retries: 1}}}
steps:
  raw: {use: ingest.files, path: p.jsonl}
  answers: {use: generate.respond, from: raw, model: far, k: 2, max_failure_ratio: 0.5}
"""
N = 6


def write(folder: Path, url: str, n: int = N) -> Path:
    prompts = [{"prompt": f"Tell me about tea {i}."} for i in range(n)]
    (folder / "p.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in prompts))
    (folder / "r.yaml").write_text(RECIPE % url)
    return folder / "r.yaml"


def run(recipe: Path) -> RunResult:
    return api.run(recipe, runs=recipe.parent / "runs", workers=1)


def table(recipe: Path, part: str = "") -> pl.DataFrame:
    found = list((recipe.parent / "runs/r").glob(f"answers-*/{part}part-*.parquet"))
    return pl.concat([pl.read_parquet(one) for one in found]) if found else pl.DataFrame()


def about(number: int, payload: dict[str, Any]) -> bool:
    return payload["messages"][-1]["content"] == f"Tell me about tea {number}."


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((429, {}, b"slow down"), "429"),
        ((500, {}, b"oops"), "500"),
        ((200, {}, b"<html>login</html>"), "no chat completion"),
        ((200, {"Content-Length": "5000"}, b'{"choices": [{"mess'), "RemoteProtocolError"),
    ],
    ids=["429", "500", "garbage", "half-closed"],
)
def test_one_prompt_that_meets_trouble_is_named_and_later_asked_alone(
    server, tmp_path, reply, error
):
    recipe = write(tmp_path, server.url)
    server.trouble = lambda _n, payload: reply if about(3, payload) else None
    run(recipe)
    failed = table(recipe, "failed/")
    assert (table(recipe).height, failed.height) == (2 * N - 2, 2)
    assert failed["retry"].all()
    assert failed["error"].str.contains(error).all()
    server.trouble, before = lambda _n, _payload: None, len(server.payloads)
    run(recipe)
    assert [about(3, one) for one in server.payloads[before:]] == [True, True]
    assert table(recipe).height == 2 * N
    assert table(recipe, "failed/").is_empty()


def test_a_prompt_too_long_for_the_context_is_one_row_and_not_asked_again(server, tmp_path):
    recipe = write(tmp_path, server.url)
    said = b'{"error": {"message": "maximum context length is 64 tokens"}}'
    server.trouble = lambda _n, payload: (400, {}, said) if about(0, payload) else None
    run(recipe)
    failed = table(recipe, "failed/")
    assert (table(recipe).height, failed.height) == (2 * N - 2, 2)
    assert failed["error"].str.contains("maximum context length is 64 tokens").all()
    assert not failed["retry"].any()
    before = len(server.payloads)
    run(recipe)
    assert len(server.payloads) == before


def test_a_server_that_goes_down_stops_the_run_and_what_was_answered_is_kept(server, tmp_path):
    recipe = write(tmp_path, server.url, 150)
    server.trouble = lambda n, _payload: (503, {}, b"gone") if n >= 5 else None
    with pytest.raises(ServiceError, match="503") as caught:
        run(recipe)
    assert caught.value.exit_code == 5
    (journal,) = (tmp_path / "runs").glob("journals/*/requests.jsonl")
    kept = len(journal.read_text().splitlines())
    assert 1 <= kept <= 5
    server.trouble = lambda _n, _payload: None
    run(recipe)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len({key for key, *_ in lines}) == len(lines) == 300
    usage = api.ledger("r", runs=tmp_path / "runs").total.usage
    assert (usage.paid, usage.tokens_out) == (300, sum(v["completion_tokens"] for _, v, _ in lines))
    assert table(recipe).height == 300
    (tmp_path / "b").mkdir()
    nobody = write(tmp_path / "b", "http://127.0.0.1:9/v1")
    with pytest.raises(ServiceError, match=r"http://127.0.0.1:9/v1 does not answer"):
        run(nobody)
