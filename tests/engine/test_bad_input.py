"""Bad input is a clear error, or a row in `dropped` or `failed`: never a crash and never a gap."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild import api
from databuild.engine.execute import Settings
from databuild.engine.step import DROPPED
from databuild.errors import (
    DatabuildError,
    LawError,
    RecipeError,
    SchemaError,
    StepError,
    StoreError,
)
from tests.engine.small import fake_folder, prompts, run, write

if TYPE_CHECKING:
    from databuild.engine.run import RunResult

SHORT = """\
name: small
models:
  start: {path: model}
steps:
  raw:     {use: ingest.files, path: prompts.jsonl, max_failure_ratio: 0.9}
  answers: {use: generate.respond, from: raw, model: start, k: 4, max_failure_ratio: 0.9}
  scored:  {use: reward.verify, from: answers, max_failure_ratio: 1.0}
  chosen:  {use: pairs.best, from: scored}
"""
PLUGIN = """\
import polars as pl
from databuild import StepConfig, step

class OddConfig(StepConfig):
    pass

@step("mine.odd", kind="measure", sees="row", version=1, reads=("response",), adds=("odd",))
def measure_oddly(rows: pl.DataFrame, config: OddConfig) -> pl.DataFrame:
    n = pl.int_range(pl.len())
    odd = pl.when(n % 3 == 0).then(float("nan")).when(n % 3 == 1).then(None).otherwise(0.5)
    return rows.select("row_id", odd=odd)

@step("mine.unsaid", kind="measure", sees="row", version=1, reads=("prompt",), adds=None)
def measure_unsaid(rows: pl.DataFrame, config: OddConfig) -> pl.DataFrame:
    return rows.select("row_id", prompt=pl.lit("another"))

@step("mine.broken", kind="measure", sees="row", version=1, reads=("prompt",), adds=("x",))
def measure_brokenly(rows: pl.DataFrame, config: OddConfig) -> pl.DataFrame:
    return rows.select("row_id", x=pl.col("prompt").cast(pl.Int64))
"""


def failed(result: RunResult, step: str) -> pl.DataFrame:
    return pl.read_parquet(Path(result[step].folder) / "failed" / "part-*.parquet")


def with_plugin(folder: Path, *steps: str) -> Path:
    (folder / "mine.py").write_text(PLUGIN)
    recipe = SHORT.replace("name: small", "name: small\nplugins: [mine.py]")
    fake_folder(folder / "model")
    return write(folder, recipe + "".join(f"  {step}\n" for step in steps))


# ------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, RecipeError, r"r\.yaml:5: no file matches 'prompts\.jsonl'"),
        (b"", SchemaError, r"r\.yaml:6, step answers: the input 'rows' has no column 'prompt'"),
        (b"\n\n", SchemaError, "the input 'rows' has no column 'prompt'"),
        (b'{"question": "Hi"}\n', SchemaError, r"r\.yaml:6: .*needs the column 'prompt'.*known: .*question"),
        (b"{broken\n", DatabuildError, "failed|prompt"),
        (b'{"prompt": "Hi", "row_id": 3}\n', RecipeError, "the column 'row_id' has a name that databuild keeps"),
    ],
)  # fmt: skip
def test_a_bad_file_is_a_clear_error(
    tmp_path: Path, content: bytes | None, error: type[DatabuildError], message: str
) -> None:
    recipe = write(tmp_path, SHORT)
    fake_folder(tmp_path / "model")
    (tmp_path / "prompts.jsonl").unlink()
    if content is not None:
        (tmp_path / "prompts.jsonl").write_bytes(content)
    with pytest.raises(error, match=message):
        run(recipe)


def test_an_unreadable_file_is_a_clear_error(tmp_path: Path) -> None:
    recipe = write(tmp_path, SHORT)
    fake_folder(tmp_path / "model")
    (tmp_path / "prompts.jsonl").unlink()
    (tmp_path / "prompts.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match="no file matches"):
        run(recipe)
    (tmp_path / "prompts.jsonl").unlink()
    (tmp_path / "prompts.jsonl").mkdir()
    with pytest.raises((RecipeError, StoreError), match=r"prompts\.jsonl"):
        run(recipe)


def test_broken_lines_are_in_failed_with_their_place(tmp_path: Path) -> None:
    recipe = write(tmp_path, SHORT)
    fake_folder(tmp_path / "model")
    result = run(recipe)
    lost = failed(result, "raw").to_dicts()
    assert len(lost) == 1
    assert lost[0]["source_file"] == "prompts.jsonl"
    assert lost[0]["raw"].startswith('{"prompt": broken')
    rows = result["raw"].manifest.rows
    assert rows.rows_out + rows.failed == len(prompts())


# ------------------------------------------------------------------------------------------ models


def test_a_prompt_longer_than_the_context_is_a_failed_row(tmp_path: Path) -> None:
    recipe = write(tmp_path, SHORT)
    fake_folder(tmp_path / "model", max_model_len=40)
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write(
            "\n" + json.dumps({"prompt": "word " * 50, "about": [], "constraints": []}) + "\n"
        )
    result = run(recipe, "answers.k=1")
    rows = result["answers"].manifest.rows
    assert (rows.rows_in, rows.rows_out + rows.failed) == (24, 24)
    assert rows.by_reason == {"the prompt has 50 tokens, the context 40": 1}
    assert (rows.failed, rows.retry) == (1, 0)
    assert set(failed(result, "answers")["error"].str.contains("the context 40")) == {True}
    assert all(step.cached for step in run(recipe, "answers.k=1").steps)


def test_failed_requests_are_tried_again_and_only_those(tmp_path: Path) -> None:
    recipe = write(tmp_path, SHORT)
    model = fake_folder(tmp_path / "model", time_out_ratio=0.3, skill_ratio=0.9)
    first = run(recipe)
    old = set(answers(first))
    n_failed = first["answers"].manifest.rows.failed
    assert n_failed == first["answers"].manifest.rows.retry > 5
    (journal,) = (tmp_path / "runs" / "journals").glob("*/requests.jsonl")
    before = journal.read_text()
    (plan,) = (p for p in api.plan(recipe, runs=tmp_path / "runs") if p.name == "answers")
    assert (plan.status, plan.reason) == ("retry", f"{n_failed} failed requests are tried again")
    fake_folder(model, skill_ratio=0.9)  # it is well again
    second = run(recipe)
    asked = journal.read_text().removeprefix(before).splitlines()
    assert len(asked) == n_failed
    keys = Counter(json.loads(line)[0] for line in journal.read_text().splitlines())
    assert set(keys.values()) == {1}
    rows = second["answers"].manifest.rows
    assert (rows.rows_out, rows.failed, rows.retry) == (4 * rows.rows_in, 0, 0)
    assert old < set(answers(second))
    assert all(step.cached for step in run(recipe).steps)


GRADES = """\
import polars as pl
from databuild import StepConfig, step
from databuild.models.protocol import Message, Request, Sampling
from databuild.recipe.options import ModelRef

class GradeConfig(StepConfig):
    model: ModelRef = "start"

@step("mine.grade", kind="measure", sees="row", version=1, reads=("prompt",), adds=("grade",))
def measure_grade(rows: pl.DataFrame, config: GradeConfig, *, generator) -> pl.DataFrame:
    asked = [
        Request(id=row_id, messages=(Message("user", prompt),), sampling=Sampling(), seed=1)
        for row_id, prompt in rows.select("row_id", "prompt").rows()
    ]
    got = generator(asked)
    made = [got[one.id] for one in asked]
    return rows.select("row_id").with_columns(
        grade=pl.Series([one.text for one in made], dtype=pl.String),
        error=pl.Series([one.error for one in made], dtype=pl.String),
        retry=pl.Series([one.finish_reason == "error" for one in made]),
    )

@step("mine.strange", kind="measure", sees="row", version=1, reads=("prompt",), adds=("x",))
def measure_strangely(rows: pl.DataFrame, config: GradeConfig) -> pl.DataFrame:
    return rows.select("row_id", x=1, retry=pl.lit("yes"))
"""


def graded(folder: Path, step: str = "grade") -> Path:
    (folder / "mine.py").write_text(GRADES)
    return write(
        folder,
        "name: small\nplugins: [mine.py]\nmodels:\n  start: {path: model}\nsteps:\n"
        "  raw: {use: ingest.files, path: prompts.jsonl}\n"
        f"  grades: {{use: mine.{step}, from: raw, max_failure_ratio: 0.9}}\n",
    )


def test_rows_that_a_measure_lost_are_measured_again_and_only_their_parts(tmp_path: Path) -> None:
    recipe = graded(tmp_path)
    model = fake_folder(tmp_path / "model", time_out_ratio=0.3, skill_ratio=0.9)
    small = Settings(shard_rows=4, shard_bytes=400)
    first = run(recipe, settings=small)["grades"]
    still_ill = run(recipe, settings=small)
    lost = failed(still_ill, "grades")
    assert first.manifest.rows.retry == first.manifest.rows.failed == lost.height > 0
    assert not still_ill["grades"].cached  # tried again, and failed again
    parts = {p.name: p.stat().st_mtime_ns for p in Path(first.folder).glob("part-*.parquet")}
    ill = {p.name for p in (Path(first.folder) / "failed").glob("part-*.parquet")}
    assert 0 < len(ill) < len(parts)
    (plan,) = (p for p in api.plan(recipe, runs=tmp_path / "runs") if p.name == "grades")
    assert (plan.status, plan.reason) == ("retry", f"{lost.height} failed rows are tried again")
    fake_folder(model, skill_ratio=0.9)  # it is well again
    second = run(recipe, settings=small)["grades"]
    rows = second.manifest.rows
    assert (rows.rows_in, rows.rows_out, rows.failed, rows.retry) == (23, 23, 0, 0)
    now = {p.name: p.stat().st_mtime_ns for p in Path(second.folder).glob("part-*.parquet")}
    assert {name for name, at in now.items() if at != parts[name]} == ill
    assert all(step.cached for step in run(recipe, settings=small).steps)


def test_a_column_retry_that_says_nothing_of_errors_is_refused(tmp_path: Path) -> None:
    fake_folder(tmp_path / "model")
    with pytest.raises(LawError, match="its column 'retry' is String"):
        run(graded(tmp_path, "strange"))


def answers(result: RunResult) -> list[str]:
    folder = Path(result["answers"].folder)
    return pl.read_parquet(folder / "part-*.parquet")["row_id"].to_list()


def test_refusals_are_failed_rows_and_not_tried_again(tmp_path: Path) -> None:
    recipe = write(tmp_path, SHORT)
    fake_folder(tmp_path / "model", refuse_ratio=0.3)
    rows = run(recipe)["answers"].manifest.rows
    assert rows.rows_out + rows.failed == 4 * rows.rows_in
    assert rows.failed > 5
    assert rows.retry == 0
    assert all(step.cached for step in run(recipe).steps)


def test_a_model_that_dies_is_a_service_error_and_the_run_goes_on(tmp_path: Path) -> None:
    recipe = write(tmp_path, SHORT)
    model = fake_folder(tmp_path / "model", die_after=11)
    with pytest.raises(DatabuildError, match="died after 11") as caught:
        run(recipe)
    assert caught.value.exit_code == 5
    fake_folder(model)
    result = run(recipe)
    straight = tmp_path / "straight"
    straight.mkdir()
    fake_folder(straight / "model")
    assert answers(result) == answers(run(write(straight, SHORT)))


# ------------------------------------------------------------------------------------------ scores


def test_a_score_that_is_no_number_never_wins_and_never_passes(tmp_path: Path) -> None:
    recipe = with_plugin(
        tmp_path,
        "odd: {use: mine.odd, from: answers, max_failure_ratio: 1.0}",
        "top: {use: pairs.best, from: odd, score: odd}",
        "high: {use: sample.where, from: odd, keep: odd >= 0.1}",
        "not_low: {use: sample.where, from: odd, keep: not (odd < 0.1)}",
        "pairs: {use: pairs.graded, from: odd, score: odd, passes: null}",
    )
    result = run(recipe)
    n = result["answers"].manifest.rows.rows_out
    rows = result["odd"].manifest.rows
    assert (rows.rows_out, rows.failed, rows.by_reason) == (
        n,
        -(-n // 3),
        {"not a number": -(-n // 3)},
    )
    table = api.show("odd", "small", runs=tmp_path / "runs")
    assert table["odd"].is_nan().sum() == 0
    assert table["odd"].null_count() > rows.failed
    for step in ("top", "high", "not_low"):
        kept = api.show(step, "small", runs=tmp_path / "runs")
        assert kept.height > 0
        assert set(kept["odd"]) == {0.5}
    assert result["pairs"].manifest.rows.rows_out == 0


def test_a_measure_that_nearly_always_fails_stops_the_run(tmp_path: Path) -> None:
    recipe = with_plugin(tmp_path, "odd: {use: mine.odd, from: answers}")
    with pytest.raises(
        StepError, match=r"odd: 31 of 92 rows failed.*0\.1 allows: 31 × not a number"
    ):
        run(recipe)


def test_a_column_that_only_the_run_can_see_is_not_overwritten(tmp_path: Path) -> None:
    recipe = with_plugin(tmp_path, "unsaid: {use: mine.unsaid, from: raw}")
    with pytest.raises(
        SchemaError,
        match=r"r\.yaml:\d+, step unsaid: mine\.unsaid would overwrite the column 'prompt'",
    ):
        run(recipe)


def test_a_step_of_ones_own_that_raises_is_named_with_its_line(tmp_path: Path) -> None:
    recipe = with_plugin(tmp_path, "broken: {use: mine.broken, from: raw}")
    with pytest.raises(
        StepError, match=r"(?s)mine\.broken: your step raised Invalid.*mine\.py:19\)"
    ):
        run(recipe)


# ------------------------------------------------------------------------------------- empty tables


@pytest.mark.parametrize("use", ["sft", "dpo"])
def test_training_on_an_empty_part_is_a_clear_error(tmp_path: Path, use: str) -> None:
    empty = "sample.where, from: scored, keep: verify_score > 5"
    recipe = write(tmp_path).read_text()
    recipe = recipe.replace(
        "pairs.best, from: scored" if use == "sft" else "pairs.graded, from: scored", empty
    )
    if use == "dpo":
        recipe = recipe.replace(
            "keep: verify_score > 5}",
            "keep: verify_score > 5}\n  none: {use: pairs.graded, from: graded}",
        )
        recipe = recipe.replace("train.dpo, from: graded", "train.dpo, from: none").replace(
            "graded, sft", "graded, none, sft"
        )
    (tmp_path / "r.yaml").write_text(recipe)
    with pytest.raises(
        StepError, match=rf"train\.{use}\): there are no rows to train on.*\. Fix: look"
    ) as caught:
        run(tmp_path / "r.yaml")
    assert caught.value.exit_code == 4


def test_an_empty_gate_is_a_clear_error(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    lines = [line for line in prompts() if '"pool": "dev"' not in line]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    with pytest.raises(StepError, match=r"flywheel\.promote\): candidate and best share no prompt"):
        run(recipe)


def test_an_empty_held_out_part_is_a_clear_error(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    lines = [line for line in prompts() if '"pool": "held"' not in line]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    with pytest.raises(StepError, match=r"evaluate\.compare\): the two exams share no prompt"):
        run(recipe)


EMPTY = """\
name: small
models:
  start: {fake: {}}
steps:
  raw:     {use: ingest.files, path: prompts.jsonl, max_failure_ratio: 0.9}
  none:    {use: sample.where, from: raw, keep: len(prompt) > 100000}
  tidy:    {use: fix.normalize, from: none, columns: prompt}
  facts:   {use: measure.basics, from: tidy, column: prompt}
  exact:   {use: dedup.exact, from: facts, columns: prompt}
  near:    {use: dedup.minhash, from: exact, column: prompt}
  parts:   {use: sample.parts, from: near, column: pool, parts: [train]}
  split:   {use: sample.split, from: parts.train, parts: {a: 0.5, b: 0.5}, stratify: pool}
  answers: {use: generate.respond, from: split.a, model: start, k: 2}
  edits:   {use: fix.edit, from: answers}
  mixed:   {use: sample.mix, from: {rows: answers, others: edits}}
  scored:  {use: reward.verify, from: mixed}
  chosen:  {use: pairs.best, from: scored, require: strict_pass}
  graded:  {use: pairs.graded, from: scored}
  reading: {use: evaluate.perplexity, from: none, model: start, column: prompt}
  fluency: {use: evaluate.fluency, from: {rows: reading, base: reading}}
"""


def test_every_step_copes_with_no_rows(tmp_path: Path) -> None:
    result = run(write(tmp_path, EMPTY))
    for step in result.steps[1:]:
        rows = step.manifest.rows
        kept_none = step.name == "none"
        assert (rows.rows_out, rows.failed) == (0, 0), step.name
        assert rows.dropped == (23 if kept_none else 0), step.name
    assert api.show("graded", "small", runs=tmp_path / "runs").is_empty()
    assert "verify_score" in api.show("chosen", "small", runs=tmp_path / "runs").columns
    assert result["fluency"].manifest.metrics["perplexity"] == {"model": None, "base": None}


def test_dropped_rows_can_be_taken_as_a_part(tmp_path: Path) -> None:
    recipe = write(
        tmp_path,
        EMPTY.partition("  tidy:")[0] + f"  back: {{use: sample.mix, from: none.{DROPPED}}}\n",
    )
    assert run(recipe)["back"].manifest.rows.rows_out == 23
