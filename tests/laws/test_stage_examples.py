"""The laws on the examples of the stages' steps, called directly, without the engine around
them."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from databuild.engine.laws import check_measure, check_produce, check_select
from databuild.engine.step import Produced, Step

_SPEC = importlib.util.spec_from_file_location(
    "laws_examples", Path(__file__).with_name("examples.py")
)
assert _SPEC
assert _SPEC.loader
_examples = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _examples  # dataclasses look their module up there
_SPEC.loader.exec_module(_examples)
EXAMPLES = _examples.EXAMPLES

STAGES = ("ingest", "measure", "fix", "dedup", "sample", "generate", "reward", "pairs", "export")


def _find_steps() -> dict[str, Step]:
    found = {}
    for stage in STAGES:
        package = importlib.import_module(f"databuild.{stage}")
        for info in pkgutil.iter_modules(package.__path__, f"databuild.{stage}."):
            module = importlib.import_module(info.name)
            steps = [v for v in vars(module).values() if isinstance(v, Step)]
            found.update({step.name: step for step in steps if step.module == info.name})
    return found


STEPS = _find_steps()
ON_TABLES = sorted(
    n for n, s in STEPS.items() if s.kind in {"measure", "select", "produce"} and s.inputs
)


def _run(step: Step, example, tables):
    config = step.config.model_validate(dict(example.options))
    first, *others = tables
    return config, step.run(first, config, *others, **example.resources)


def _frames(out) -> list[pl.DataFrame]:
    if isinstance(out, Produced):
        return [frame for frame in (out.rows, out.failed, out.dropped) if frame is not None]
    return [out]


def _check(step: Step, config, tables, out) -> None:
    if step.kind == "measure":
        check_measure(step, tables[0], out, step.columns_added(config) or ())
    elif step.kind == "select":
        check_select(step, tables[0], out, step.parts_kept(config))
    else:
        check_produce(step, tables, out)
        for column in step.columns_added(config) or ():
            assert column in out.rows.columns


def test_every_step_of_the_stages_has_an_example():
    assert set(STEPS) == set(EXAMPLES)


@pytest.mark.parametrize("name", ON_TABLES)
def test_the_laws_hold(name, tmp_path):
    step, example = STEPS[name], EXAMPLES[name](tmp_path)
    tables = list(example.tables.values())
    config, out = _run(step, example, tables)
    _check(step, config, tables, out)


@pytest.mark.parametrize("name", ON_TABLES)
def test_no_rows_and_one_row_give_the_same_columns(name, tmp_path):
    step, example = STEPS[name], EXAMPLES[name](tmp_path)
    full = _run(step, example, list(example.tables.values()))[1]
    for n in (0, 1):
        tables = [table.head(n) for table in example.tables.values()]
        config, out = _run(step, example, tables)
        _check(step, config, tables, out)
        for some, all_ in zip(_frames(out), _frames(full), strict=True):
            assert some.schema == all_.schema


@pytest.mark.parametrize("name", ON_TABLES)
def test_the_order_of_rows_does_not_matter(name, tmp_path):
    step, example = STEPS[name], EXAMPLES[name](tmp_path)
    tables = list(example.tables.values())
    straight = _run(step, example, tables)[1]
    shuffled = _run(step, example, [t.sample(fraction=1.0, shuffle=True, seed=3) for t in tables])[
        1
    ]
    for one, other in zip(_frames(straight), _frames(shuffled), strict=True):
        assert_frame_equal(one, other, check_row_order=False)


@pytest.mark.parametrize("name", [n for n in ON_TABLES if STEPS[n].sees == "row"])
def test_a_row_step_gives_the_same_in_batches_of_any_size(name, tmp_path):
    step, example = STEPS[name], EXAMPLES[name](tmp_path)
    (rows,) = example.tables.values()
    whole = _frames(_run(step, example, [rows])[1])
    for size in (1, 5):
        batches = [_frames(_run(step, example, [part])[1]) for part in rows.iter_slices(size)]
        for i, frame in enumerate(whole):
            assert_frame_equal(
                frame, pl.concat([batch[i] for batch in batches]), check_row_order=False
            )


@pytest.mark.parametrize("name", [n for n in ON_TABLES if STEPS[n].sees == "group"])
def test_a_group_step_gives_the_same_group_by_group(name, tmp_path):
    step, example = STEPS[name], EXAMPLES[name](tmp_path)
    (rows,) = example.tables.values()
    config, out = _run(step, example, [rows])
    groups = rows.partition_by(step.grouped_by(config))
    parts = [_frames(_run(step, example, [group])[1]) for group in groups]
    for i, frame in enumerate(_frames(out)):
        assert_frame_equal(frame, pl.concat([part[i] for part in parts]), check_row_order=False)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_the_examples_in_the_docstring_run(name):
    step = STEPS[name]
    module = sys.modules[step.module]
    tests = doctest.DocTestFinder().find(step.run, step.name, globs=dict(vars(module)))
    results = [doctest.DocTestRunner(verbose=False).run(test) for test in tests]
    assert sum(r.attempted for r in results) > 0
    assert not any(r.failed for r in results)


def test_stages_import_nothing_heavy():
    heavy = ("torch", "datasets", "datasketch", "pyarrow", "scipy", "transformers", "trl", "vllm")
    names = [module for step in STEPS.values() for module in [step.module]]
    code = f"import sys, {', '.join(names)}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
