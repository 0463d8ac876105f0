"""`why` tells the whole way of a row, for every row of a flywheel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild import api
from databuild.engine.lineage import Event, Life
from databuild.errors import SchemaError, StoreError
from tests.engine.small import prompts, run, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = write(tmp_path_factory.mktemp("lineage"))
    run(
        recipe,
        "flywheel.gate.min_gain=5",
        "steps.sets={use: export.trl, from: chosen@1, kind: sft}",
    )
    return recipe.parent / "runs"


def table(runs: Path, step: str) -> pl.DataFrame:
    return api.show(step, "small", runs=runs)


def life_of(runs: Path, row_id: str, step: str | None = None) -> Life:
    lives = api.why(row_id, "small", runs=runs)
    return next(life for life in lives if step in {None, life.step})


def told(life: Life) -> list[tuple[str, str]]:
    return [(event.step, event.what) for event in life.events]


def one(events: list[Event], step: str) -> Event:
    (event,) = [event for event in events if event.step == step]
    return event


def test_an_ingested_row_names_its_file_and_record(runs: Path) -> None:
    raw = table(runs, "raw").filter(pl.col("prompt").str.contains("bread")).sort("source_record")
    life = life_of(runs, raw["row_id"][0])
    assert (life.step, life.use, life.parents) == ("raw", "ingest.files", [])
    assert life.row["source_file"] == "prompts.jsonl"
    record = life.row["source_record"]
    text = "".join(f"{line}\n" for line in prompts()).encode()
    assert text[record:].decode().startswith('{"prompt": "Tell me about bread')


def test_a_prompt_tells_what_was_measured_and_which_parts_kept_it(runs: Path) -> None:
    row = table(runs, "pools.train").filter(pl.col("prompt").str.contains("chess")).to_dicts()[0]
    life = life_of(runs, row["row_id"])
    assert (life.step, [parent.step for parent in life.parents]) == ("tidy", ["raw"])
    assert one(life.events, "facts").facts["prompt_words"] == row["prompt_words"]
    assert one(life.events, "clean").what == "kept"
    assert one(life.events, "pools").facts == {"part": "train"}
    children = [child for child in life.children if child.step == "answers@1"]
    assert len(children) == 3
    assert {child.row["k"] for child in children} == {0, 1, 2}


def test_an_answer_tells_how_it_was_drawn_what_it_scored_and_where_it_ended(runs: Path) -> None:
    best = table(runs, "chosen@1").to_dicts()[0]
    life = life_of(runs, best["row_id"])
    assert life.step == "answers@1"
    assert life.row["response"] == best["response"]
    assert life.row["prompt"] == best["prompt"]
    assert life.row["model"].startswith("fake@")
    drawn = {name: life.row[name] for name in ("temperature", "top_p", "max_tokens", "k")}
    assert drawn == {"temperature": 1.0, "top_p": 1.0, "max_tokens": 256, "k": best["k"]}
    assert life.row["sample_seed"] == best["sample_seed"]
    scored = one(life.events, "scored@1")
    assert scored.what == "measured"
    assert scored.facts["verify_score"] == best["verify_score"]
    assert {"strict_pass", "floor_on_topic"} <= scored.facts.keys()
    assert one(life.events, "chosen@1").what == "kept"
    assert one(life.events, "sft@1") == Event("sft@1", "trained", {"from": "chosen@1"})
    assert one(life.events, "sets") == Event("sets", "delivered", {"from": "chosen@1"})
    (prompt,) = life.parents
    assert [prompt.step, prompt.parents[0].step] == ["tidy", "raw"]
    assert prompt.parents[0].row["source_file"] == "prompts.jsonl"


def test_an_answer_that_was_not_chosen_says_why(runs: Path) -> None:
    lost = table(runs, "chosen@1.dropped").to_dicts()[0]
    life = life_of(runs, lost["row_id"])
    event = one(life.events, "chosen@1")
    assert (event.what, event.facts["reason"]) == ("dropped", lost["reason"])
    assert ("sft@1", "trained") not in told(life)


def test_an_answer_leads_to_its_pairs_and_their_training_set(runs: Path) -> None:
    pair = table(runs, "graded@1").to_dicts()[0]
    for row_id in pair["parent_ids"]:
        life = life_of(runs, row_id)
        (child,) = [child for child in life.children if child.step == "graded@1"]
        assert child.row_id == pair["row_id"]
        assert (child.row["margin"], child.row["strength"]) == (pair["margin"], pair["strength"])
        assert told(child) == [("dpo@1", "trained")]
    itself = life_of(runs, pair["row_id"])
    assert [parent.row_id for parent in itself.parents] == pair["parent_ids"]
    assert [parent.row["response"] for parent in itself.parents] == [
        pair["chosen"],
        pair["rejected"],
    ]


def test_an_answer_in_no_pair_says_why(runs: Path) -> None:
    (place,) = (runs / "small").glob("graded@1-*")
    lost = pl.read_parquet(place / "dropped" / "part-*.parquet").to_dicts()[0]
    event = one(life_of(runs, lost["row_id"]).events, "graded@1")
    assert (event.what, event.facts["reason"]) == ("dropped", lost["reason"])


def test_dropped_rows_say_where_and_why(runs: Path) -> None:
    for step, prompt, reason in (
        ("clean", "Tea?", "not (prompt_words >= 3)"),
        ("unique", "Tell me about tea in small letters only, please. (train)", "duplicate"),
        ("pools", "What do you know about old clocks?", "pool is attic"),
    ):
        (row,) = table(runs, f"{step}.dropped").filter(prompt=prompt).to_dicts()
        life = life_of(runs, row["row_id"])
        event = one(life.events, step)
        assert (event.what, event.facts["reason"]) == ("dropped", reason)
        assert life.children == []


def test_every_row_of_every_step_has_an_answer(runs: Path) -> None:
    for step, manifest in api.status("small", runs=runs).items():
        if manifest.kind == "produce":
            row_id = table(runs, step)["row_id"][0]
            assert life_of(runs, row_id, step).row_id == row_id


def test_a_row_made_in_two_exams_has_two_lives(runs: Path) -> None:
    """Nothing was promoted, so the best model is the base, and says the same at temperature 0."""
    asked = table(runs, "exam@held-base")["row_id"]
    assert asked.equals(table(runs, "exam@held-best")["row_id"])
    for row_id in asked:
        lives = api.why(row_id, "small", runs=runs)
        assert {life.step for life in lives} == {"exam@held-base", "exam@held-best"}


def _shared(one: str, other: str) -> int:
    return next(n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


def test_the_shortest_unique_start_of_an_id_is_enough(runs: Path) -> None:
    every: set[str] = set()
    for step, manifest in api.status("small", runs=runs).items():
        if manifest.kind == "produce":
            every |= set(table(runs, step)["row_id"])
    row_id = min(every)
    longest = max(_shared(row_id, other) for other in every - {row_id})
    assert life_of(runs, row_id[: longest + 1]).row_id == row_id
    with pytest.raises(SchemaError, match=r"is the start of several ids: .*Fix: give more digits"):
        api.why(row_id[:longest], "small", runs=runs)
    with pytest.raises(SchemaError, match=r"'' is the start of several ids"):
        api.why("", "small", runs=runs)


@pytest.mark.parametrize("row_id", ["zzz", "0" * 32, ".*", "a'b"])
def test_an_unknown_id_is_a_clear_error(runs: Path, row_id: str) -> None:
    with pytest.raises(SchemaError, match=re.escape(f"starts with {row_id!r}")):
        api.why(row_id, "small", runs=runs)


def test_a_recipe_that_never_ran_here_is_a_clear_error(runs: Path) -> None:
    with pytest.raises(StoreError, match="no step of this recipe has been run here"):
        api.why("a", "nobody", runs=runs)


SKIPPING = """\
import json
from pathlib import Path
import polars as pl
from databuild import StepConfig, step

class LearnConfig(StepConfig):
    pass

@step("mine.learn", kind="train", sees="table", version=1, reads=("prompt",))
def learn(rows: pl.DataFrame, config: LearnConfig, *, out: Path):
    (out / "best").mkdir()
    ids = rows.sort("row_id")["row_id"].to_list()
    return {"rows_skipped": [{"row_id": row, "reason": "too long"} for row in ids[:2]]}
"""


def test_a_row_that_a_training_left_out_is_not_called_trained(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SKIPPING)
    recipe = write(
        tmp_path,
        "name: small\nplugins: [mine.py]\nsteps:\n"
        "  raw: {use: ingest.files, path: prompts.jsonl}\n"
        "  some: {use: sample.where, from: raw, keep: len(prompt) > 5}\n"
        "  learn: {use: mine.learn, from: some}\n"
        "  rest: {use: mine.learn, from: some.dropped}\n",
    )
    result = run(recipe)
    runs = tmp_path / "runs"
    assert result["learn"].manifest.rows.model_dump(include={"rows_in", "rows_out", "dropped"}) == {
        "rows_in": 22, "rows_out": 20, "dropped": 2,
    }  # fmt: skip
    kept = table(runs, "some").sort("row_id")["row_id"].to_list()
    skipped, trained = life_of(runs, kept[0]), life_of(runs, kept[-1])
    assert one(skipped.events, "learn") == Event("learn", "dropped", {"reason": "too long"})
    assert one(trained.events, "learn") == Event("learn", "trained", {"from": "some"})
    (short,) = table(runs, "some.dropped")["row_id"]
    assert told(life_of(runs, short))[-1] == ("rest", "dropped")
