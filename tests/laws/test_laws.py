"""The laws of steps, tried on every step that is registered, as the engine runs it.

An example (`examples.py`) is one call of a step. Here it is called again, with its rows in another
order, in pieces, with none at all, and must always say the same of the same row.
"""

from __future__ import annotations

import doctest
import importlib
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.engine.batch import Batch, run_batch, run_split
from databuild.errors import StepError
from databuild.schema.identity import digest_text
from databuild.steps import STEPS
from tests.laws.examples import EXAMPLES, Example

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.step import Step
    from databuild.recipe.options import StepConfig

BY_NAME = {step.name: step for step in STEPS}
ON_TABLES = [s.name for s in STEPS if s.kind in {"measure", "select", "produce"} and s.inputs]
BY_ROW = [name for name in ON_TABLES if BY_NAME[name].sees == "row"]
BY_GROUP = [name for name in ON_TABLES if BY_NAME[name].sees == "group"]
AT_THE_EDGES = [s.name for s in STEPS if s.kind in {"train", "deliver"}]
SOURCES = [s.name for s in STEPS if s.sees == "source"]


class Case:
    """A step with its example: tables with the columns that every table of the engine has."""

    def __init__(self, name: str, folder: Path) -> None:
        self.step: Step = BY_NAME[name]
        self.example: Example = EXAMPLES[name](folder)
        self.config: StepConfig = self.step.config.model_validate(dict(self.example.options))
        self.tables = [_as_stored(table) for table in self.example.tables.values()]
        self.slots = tuple(self.example.tables)
        assert self.slots == self.step.slots(self.slots), "the example gives every input in order"

    @property
    def accounted(self) -> list[pl.DataFrame]:
        """The tables whose rows must all be accounted for: others are only looked at."""
        return self.tables if self.step.kind == "produce" else self.tables[:1]

    def run(self, tables: list[pl.DataFrame] | None = None) -> Batch:
        """Run as the engine does: with the columns that the step declares, and no others."""
        given = self.tables if tables is None else tables
        others = self.slots[len(self.step.inputs) :]
        seen = self._seen(given)
        return run_batch(self.step, self.config, seen, self._resources(), others=others)

    def deliver(self, out: Path, tables: list[pl.DataFrame] | None = None) -> dict[str, Any]:
        given = self._seen(self.tables if tables is None else tables)
        out.mkdir()
        resources = {**self._resources(), **({"out": out} if "out" in self.step.needs else {})}
        slots = dict(zip(self.step.inputs, given, strict=True))
        facts: dict[str, Any] = self.step(config=self.config, **slots, **resources)
        return facts

    def _seen(self, tables: list[pl.DataFrame]) -> list[pl.DataFrame]:
        if self.step.carries:
            return tables
        return [self._needed(table, slot) for table, slot in zip(tables, self.slots, strict=True)]

    def _needed(self, table: pl.DataFrame, slot: str) -> pl.DataFrame:
        read, by = self.step.columns_read(self.config, slot), self.step.grouped_by(self.config)
        return table if "*" in read else table.select(list(dict.fromkeys(["row_id", *read, *by])))

    def _resources(self) -> dict[str, Any]:
        return {name: self.example.resources[name] for name in self.step.needs}


def _as_stored(table: pl.DataFrame) -> pl.DataFrame:
    ids = [digest_text(row_id) for row_id in table["row_id"]]
    return table.with_columns(
        content_id=pl.Series(ids, dtype=pl.String), parent_ids=pl.lit([], dtype=pl.List(pl.String))
    )


def said(*batches: Batch) -> dict[str, list[str]]:
    """Everything that batches say of rows, whatever the order and the cut."""
    found = {}
    for name in ("rows", "dropped", "failed"):
        frames = [getattr(batch, name) for batch in batches]
        found[name] = sorted(repr(row) for frame in frames for row in frame.to_dicts())
    return found


def tables_of(batch: Batch) -> list[pl.DataFrame]:
    return [frame for frame in (batch.rows, batch.dropped, batch.failed) if frame.width]


def test_every_step_has_an_example() -> None:
    assert set(EXAMPLES) == set(BY_NAME)


@pytest.mark.parametrize("name", ON_TABLES)
def test_the_laws_hold_and_every_row_is_accounted_for(name: str, tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    batch = case.run()
    counts = batch.counts
    assert counts.rows_in == sum(table.height for table in case.accounted)
    assert counts.rows_out == batch.rows.height
    if case.step.kind == "measure":
        assert counts.rows_out == counts.rows_in
    if case.step.kind == "select":
        assert counts.rows_out + counts.dropped == counts.rows_in
    assert batch.rows["row_id"].n_unique() == batch.rows.height
    for column in case.step.columns_added(case.config) or ():
        assert column in batch.rows.columns


@pytest.mark.parametrize("name", ON_TABLES)
def test_twice_the_same_question_has_the_same_answer(name: str, tmp_path: Path) -> None:
    assert said(Case(name, tmp_path).run()) == said(Case(name, tmp_path).run())


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ON_TABLES)
def test_the_order_of_rows_does_not_matter(name: str, seed: int, tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    shuffled = [table.sample(fraction=1.0, shuffle=True, seed=seed) for table in case.tables]
    assert said(case.run(shuffled)) == said(case.run())


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("name", BY_ROW)
def test_a_row_step_says_the_same_in_batches_of_any_size(
    name: str, size: int, tmp_path: Path
) -> None:
    case = Case(name, tmp_path)
    (rows,) = case.tables
    assert said(*(case.run([piece]) for piece in rows.iter_slices(size))) == said(case.run())


@pytest.mark.parametrize("name", BY_GROUP)
def test_a_group_step_says_the_same_group_by_group(name: str, tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    groups = case.tables[0].partition_by(case.step.grouped_by(case.config))
    assert len(groups) > 1
    assert said(*(case.run([group]) for group in groups)) == said(case.run())


@pytest.mark.parametrize("name", ON_TABLES)
def test_no_row_and_one_row_give_the_same_columns(name: str, tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    whole = case.run()
    for n in (0, 1):
        batch = case.run([table.head(n) for table in case.tables])
        assert batch.rows.schema == whole.rows.schema
        assert batch.counts.rows_in == n * len(case.accounted)
        for some, every in ((batch.dropped, whole.dropped), (batch.failed, whole.failed)):
            if some.width and every.width:
                assert some.schema == every.schema
    assert said(case.run([table.head(0) for table in case.tables])) == {
        "rows": [],
        "dropped": [],
        "failed": [],
    }


@pytest.mark.parametrize("name", ON_TABLES)
def test_the_input_is_left_as_it_was(name: str, tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    before = [table.clone() for table in case.tables]
    copies = [json.dumps(table.to_dicts(), default=str) for table in case.tables]
    case.run()
    for table, clone, copy in zip(case.tables, before, copies, strict=True):
        assert table.schema == clone.schema
        assert json.dumps(table.to_dicts(), default=str) == copy


@pytest.mark.parametrize("name", ON_TABLES)
def test_a_column_that_a_step_did_not_ask_for_changes_nothing(name: str, tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    wider = [table.with_columns(elsewhere=pl.lit("x")) for table in case.tables]
    plain, with_more = case.run(), case.run(wider)
    assert with_more.rows["row_id"].to_list() == plain.rows["row_id"].to_list()
    assert ("elsewhere" in with_more.rows.columns) == case.step.carries


@pytest.mark.parametrize("name", AT_THE_EDGES)
def test_what_leaves_is_the_same_twice_and_in_any_order(name: str, tmp_path: Path) -> None:
    results = []
    for index in range(3):
        case = Case(name, tmp_path)
        shuffled = [
            table.sample(fraction=1.0, shuffle=index > 0, seed=index) for table in case.tables
        ]
        out = tmp_path / f"out-{index}"
        facts = case.deliver(out, shuffled)
        files = {
            p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()
        }
        results.append((json.dumps(facts, default=str), files))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", AT_THE_EDGES)
def test_nothing_to_deliver_is_said_or_delivered_as_nothing(name: str, tmp_path: Path) -> None:
    case = Case(name, tmp_path)
    empty = [table.head(0) for table in case.tables]
    if name == "evaluate.fluency":
        facts = case.deliver(tmp_path / "empty", empty)
        assert facts["perplexity"] == {"model": None, "base": None}
    else:
        with pytest.raises(StepError, match=r"no rows to (train on|write)|share no prompt"):
            case.deliver(tmp_path / "empty", empty)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_says_the_same_in_splits_of_any_size(name: str, tmp_path: Path) -> None:
    example = EXAMPLES[name](tmp_path)
    step = BY_NAME[name]
    config = step.config.model_validate(dict(example.options))
    assert step.splits is not None

    def read(size: int) -> list[Batch]:
        splits = step.splits(config, tuple(example.files), size)  # type: ignore[misc]
        return [piece() for split in splits for piece in run_split(step, config, split, {})]

    whole, pieces = read(1 << 30), read(64)
    assert len(whole) < len(pieces)
    # Equal records get their numbers when splits are put together, so ids are compared elsewhere.
    bare = [
        {
            name: sorted(r for r in rows)
            for name, rows in said(*(_without_ids(b) for b in some)).items()
        }
        for some in (whole, pieces)
    ]
    assert bare[0] == bare[1]
    assert step.peeks is not None
    assert set(step.peeks(config, tuple(example.files)) or ()) <= set(whole[0].rows.columns)


def _without_ids(batch: Batch) -> Batch:
    failed = batch.failed.drop("source_line", strict=False)
    return Batch(batch.rows.drop("row_id"), batch.dropped, failed, batch.counts)


@pytest.mark.parametrize(
    "step", [s for s in STEPS if ">>>" in (s.run.__doc__ or "")], ids=lambda s: s.name
)
def test_the_example_in_the_docstring_runs(step: Step) -> None:
    module = importlib.import_module(step.module)
    tests = doctest.DocTestFinder().find(step.run, step.name, globs=dict(vars(module)))
    results = [doctest.DocTestRunner(verbose=False).run(test) for test in tests]
    assert sum(result.attempted for result in results) > 0
    assert not any(result.failed for result in results)


def test_every_step_that_needs_no_model_and_no_folder_shows_an_example() -> None:
    needy = {"model", "reader", "embedder", "scorer", "out"}
    plain = {s.name for s in STEPS if not needy & set(s.needs)} - {"flywheel.promote"}
    assert {s.name for s in STEPS if ">>>" in (s.run.__doc__ or "")} >= plain
