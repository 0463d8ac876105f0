"""A key changes with everything that determines a step's output, and with nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from databuild import api
from databuild.engine.keys import FileDigests, differences, key_of, key_parts, step_seed
from databuild.engine.store import ModelTarget
from databuild.errors import RecipeError, StoreError
from tests.engine.harness import Toy

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
name: keyed
seed: 7
plugins: [mine.py]
models:
  start: {fake: {}}
steps:
  raw:     {use: ingest.files, path: a.jsonl}
  answers: {use: generate.respond, from: raw, model: start, k: 2}
  greedy:  {use: generate.respond, from: raw, model: start, temperature: 0}
  mixed:   {use: sample.mix, from: {rows: raw, others: raw}}
  sft:     {use: train.sft, from: answers, model: start, lora: {r: 16}}
  loud:    {use: mine.loud, from: raw}
"""
PLUGIN = """\
import polars as pl
from databuild import StepConfig, step

class LoudConfig(StepConfig):
    least: int = 1

@step("mine.loud", kind="measure", sees="row", version=1, reads=("prompt",), adds=("loud",))
def measure_loud(rows: pl.DataFrame, config: LoudConfig) -> pl.DataFrame:
    return rows.select("row_id", loud=pl.col("prompt").str.len_chars() > config.least)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "a.jsonl").write_text('{"prompt": "hi"}\n')
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


def parts(folder: Path, name: str, *overrides: str, **given: Any) -> dict[str, Any]:
    """What the key of a step is made of; inputs and models are made up where none are given."""
    checked = api.check(folder / "r.yaml", overrides)
    node = next(node for node in checked.nodes if node.name == name)
    digests = FileDigests(folder / "digests.json")
    known: dict[str, Any] = {
        "inputs": {slot: f"digest of {ref}" for slot, ref in node.inputs.items()},
        "models": {option: ModelTarget(identity="fake@1", kind="fake") for option in node.models},
        "files": tuple(digests.of(path) for path in node.paths),
        "seed": step_seed(checked.recipe.seed, node),
        "limit": None,
    }
    step = given.pop("step", checked.steps[node.use])
    return key_parts(node, step, **{**known, **given})


def key(folder: Path, name: str, *overrides: str, **given: Any) -> str:
    return key_of(parts(folder, name, *overrides, **given))


def test_optional_columns_count_where_they_are_there(folder: Path) -> None:
    """So a step that learns to read `messages` reruns for tables that have it, and no others."""
    assert key(folder, "answers", also=()) == key(folder, "answers")
    assert key(folder, "answers", also=("messages",)) != key(folder, "answers")


def test_equal_questions_have_equal_keys(folder: Path) -> None:
    for name in ("raw", "answers", "mixed", "sft", "loud"):
        assert key(folder, name) == key(folder, name)
        assert len(key(folder, name)) == 32


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("answers", "answers.k=3"),
        ("answers", "answers.system=Be brief."),
        ("answers", "answers.stop=[x]"),
        ("answers", "seed=8"),
        ("sft", "sft.lora.r=8"),
        ("sft", "sft.lora=null"),
        ("sft", "sft.seed=1"),
        ("raw", "raw.key=prompt"),
        ("loud", "loud.least=2"),
    ],
)
def test_an_option_or_a_seed_that_is_drawn_from_changes_the_key(
    folder: Path, name: str, override: str
) -> None:
    assert key(folder, name, override) != key(folder, name)


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("answers", "answers.temperature=1.0"),
        ("answers", "answers.max_tokens=256"),
        ("answers", "answers.max_failure_ratio=0.9"),
        ("answers", "models.start.fake={skill_ratio: 0.5}"),
        ("sft", "sft.lora.alpha=32"),
        ("sft", "sft.lora={}"),
        ("sft", "sft.weight_decay=0"),
        ("sft", "seed=8"),
        ("raw", "seed=8"),
        ("raw", "raw.format=auto"),
        ("raw", "raw.path=[a.jsonl]"),
        ("raw", "raw.path='*.jsonl'"),
        ("loud", "seed=8"),
        ("loud", "name=other"),
    ],
)
def test_a_default_that_is_written_down_and_what_is_not_used_change_nothing(
    folder: Path, name: str, override: str
) -> None:
    assert key(folder, name, override) == key(folder, name)


def test_two_steps_of_one_kind_draw_from_different_seeds(folder: Path) -> None:
    assert parts(folder, "answers")["seed"] != parts(folder, "greedy")["seed"]


def test_a_step_of_another_version_or_name_has_another_key(folder: Path) -> None:
    step = api.check(folder / "r.yaml").steps["generate.respond"]
    before = key(folder, "answers")
    assert key(folder, "answers", step=replace(step, version=step.version + 1)) != before
    assert key(folder, "answers", step=replace(step, name="generate.other")) != before


def test_the_content_of_inputs_counts_by_slot(folder: Path) -> None:
    a, b = {"rows": "1", "others": "2"}, {"rows": "2", "others": "1"}
    assert key(folder, "mixed", inputs=a) != key(folder, "mixed", inputs=b)
    assert key(folder, "mixed", inputs=a) == key(folder, "mixed", inputs=dict(reversed(a.items())))


def test_a_model_counts_by_its_identity_and_not_by_its_name_or_place(folder: Path) -> None:
    def of(identity: str, **place: Any) -> str:
        target = ModelTarget(identity=identity, kind="endpoint", **place)
        return key(folder, "answers", models={"model": target})

    assert of("m@1") != of("m@2")
    assert of("m@1", location="http://here/v1") == of("m@1", location="http://there/v1")
    renamed = (folder / "r.yaml").read_text().replace("start", "beginning")
    before = key(folder, "answers")
    (folder / "r.yaml").write_text(renamed)
    assert key(folder, "answers") == before


def test_a_plugins_source_counts_for_its_own_steps_only(folder: Path) -> None:
    loud, raw = key(folder, "loud"), key(folder, "raw")
    (folder / "mine.py").write_text(PLUGIN + "\n# a remark\n")
    assert key(folder, "loud") != loud
    assert key(folder, "raw") == raw


def test_a_file_counts_by_its_content_and_not_by_its_path(folder: Path) -> None:
    before = key(folder, "raw")
    (folder / "b.jsonl").write_bytes((folder / "a.jsonl").read_bytes())
    assert key(folder, "raw", "raw.path=b.jsonl") == before
    assert key(folder, "raw", "raw.path=[a.jsonl, b.jsonl]") != before
    (folder / "a.jsonl").write_text('{"prompt": "hi!"}\n')
    assert key(folder, "raw") != before


def test_a_preview_has_keys_of_its_own_at_the_sources(folder: Path) -> None:
    assert key(folder, "raw", limit=3) != key(folder, "raw")
    assert key(folder, "raw", limit=3) != key(folder, "raw", limit=4)
    assert key(folder, "loud", limit=3) == key(folder, "loud")


def test_how_a_run_is_carried_out_is_in_no_key(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    toy.run("raw.max_failure_ratio=0.2", shard_bytes=10_000)
    (tmp_path / "copy.txt").write_bytes((tmp_path / "in.txt").read_bytes())
    overrides = ("raw.path=copy.txt", "raw.max_failure_ratio=0.9")
    result = toy.run(*overrides, workers=2, shard_rows=3, shard_bytes=5, device="cuda")
    assert all(step.cached for step in result.steps)


def test_differences_say_what_changed(folder: Path) -> None:
    old = parts(folder, "answers")
    new = parts(folder, "answers", "answers.k=3", "answers.temperature=0.5", "seed=8")
    lines = differences(old, new)
    assert lines[:2] == ["options.k: 2 -> 3", "options.temperature: default -> 0.5"]
    assert lines[2].startswith("seed: ")
    assert len(lines) == 3
    assert differences(old, old) == []
    models = {"model": ModelTarget(identity="fake@2", kind="fake")}
    assert differences(old, parts(folder, "answers", models=models)) == [
        "models.model: fake@1 -> fake@2"
    ]


def test_differences_shorten_digests(folder: Path) -> None:
    old, new = ({"inputs": {"rows": digit * 32}} for digit in "ab")
    assert differences(old, new) == [f"inputs.rows: {'a' * 12}… -> {'b' * 12}…"]
    assert differences({"step": "a v1"}, {"step": "a v2"}) == ["step: a v1 -> a v2"]
    assert differences({}, {"limit": 3}) == ["limit: default -> 3"]


def test_a_digest_is_remembered_by_path_size_and_time(tmp_path: Path) -> None:
    path, memory = tmp_path / "a.txt", tmp_path / "memory" / "digests.json"
    path.write_text("one")
    os.utime(path, ns=(1, 1))
    digests = FileDigests(memory)
    first = digests.of(path)
    digests.save()
    path.write_text("two")
    os.utime(path, ns=(1, 1))  # what nobody can notice without reading the file again
    assert FileDigests(memory).of(path) == first
    os.utime(path, ns=(1, 2))
    second = FileDigests(memory).of(path)
    assert second != first
    path.write_text("three")
    os.utime(path, ns=(1, 2))
    assert FileDigests(memory).of(path) not in {first, second}


def test_a_file_that_cannot_be_read_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(StoreError, match=r"cannot be read: .*Fix: make the file readable"):
            FileDigests(tmp_path / "digests.json").of(path)


BRINGING = """\
from pathlib import Path

import polars as pl
from databuild import StepConfig, step
from databuild.errors import RecipeError

HERE = Path(__file__).parent

class CallConfig(StepConfig):
    loud: bool = False

def brings(config):
    return [HERE / ("loud.md" if config.loud else "soft.md")]

def checks(config, files):
    if config.loud and not (HERE / "loud.md").is_file():
        raise RecipeError(str(HERE / "loud.md"), "there is no such prompt", fix="write it")

@step("mine.call", kind="measure", sees="row", version=1, adds=("call",), brings=brings, checks=checks)
def measure_call(rows: pl.DataFrame, config: CallConfig) -> pl.DataFrame:
    return rows.select("row_id", call=pl.lit(brings(config)[0].read_text()))
"""


def test_a_file_that_a_step_brings_counts_by_its_content_where_it_is_read(folder: Path) -> None:
    (folder / "mine.py").write_text(BRINGING)
    (folder / "r.yaml").write_text(RECIPE.replace("mine.loud", "mine.call"))
    (folder / "soft.md").write_text("psst")
    (folder / "loud.md").write_text("HEY")
    soft, loud = key(folder, "loud"), key(folder, "loud", "loud.loud=true")
    assert soft != loud
    (folder / "soft.md").write_text("pssst")
    assert key(folder, "loud") != soft
    assert key(folder, "loud", "loud.loud=true") == loud


def test_a_step_checks_the_files_of_its_options_before_anything_runs(folder: Path) -> None:
    (folder / "mine.py").write_text(BRINGING)
    (folder / "r.yaml").write_text(RECIPE.replace("mine.loud", "mine.call"))
    with pytest.raises(RecipeError, match=r"loud\.md: there is no such prompt. Fix: write it"):
        api.check(folder / "r.yaml", ["loud.loud=true"])
