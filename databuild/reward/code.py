"""reward.code: run an answer's code against the tests of its row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field

from databuild.engine.step import Streamed, step
from databuild.errors import SchemaError
from databuild.recipe.options import Column, StepConfig
from databuild.reward.sandbox import Limits, run_tests
from databuild.text.code_blocks import Block, find_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databuild.engine.parts import Parts
    from databuild.engine.resources import Progress

_FACTS: dict[str, Any] = {
    "pass": pl.Boolean,
    "score": pl.Float64,
    "reason": pl.String,
    "output": pl.String,
}
_NOTHING = (None,) * len(_FACTS)


class CodeConfig(StepConfig):
    """Options of `reward.code`."""

    name: str = "code"
    """What the new columns begin with."""
    response: Column = "response"
    """The answer; its code is what stands between fences, or all of it."""
    tests: Column = "tests"
    """Python that raises where the code is wrong: a text, or a list of texts that count each."""
    before: Column | None = None
    """A column of code that stands before the answer's, such as the head that it completes."""
    block: Block = "first"
    """Which block of Python of the answer is run: the `first`, the `last`, or `all` in turn."""
    gold: Column | None = None
    """A column of answers that must pass every test; where one does not, the row has an error."""
    cpu_s: int = Field(default=5, ge=1)
    """How long the code and its tests may compute, in seconds."""
    wall_s: float = Field(default=15.0, gt=0)
    """How long they may take, in seconds; counted from the beginning of the code."""
    memory_mib: int = Field(default=512, ge=64)
    """How much memory they may take, in MiB of address space."""
    file_mib: int = Field(default=16, ge=0)
    """How large a file they may write, in MiB."""
    disk_mib: int = Field(default=64, ge=1)
    """How much all their files may hold, in MiB; files lie in memory where the kernel grants a
    namespace, and are counted while the code runs elsewhere."""
    threads: int = Field(default=16, ge=1)
    """How many threads there may be; kept only where the kernel grants a namespace."""
    output_chars: int = Field(default=1000, ge=0)
    """How much of what they print is kept, in characters."""
    packages: bool = False
    """Whether they may import what is installed beside the standard library."""


def _names(config: CodeConfig) -> tuple[str, ...]:
    return tuple(f"{config.name}_{fact}" for fact in _FACTS)


@step("reward.code", kind="measure", sees="parts", version=2, adds=_names)
def measure_code(
    rows: Parts, config: CodeConfig, *, workers: int = 1, progress: Progress | None = None
) -> Streamed:
    r"""Run the code of an answer against its tests, each row in a locked process of its own.

    With `<n>` for `config.name`: `<n>_pass` every test passes; `<n>_score` the share that does, 0
    to 1; `<n>_reason` why the first that fails does; `<n>_output` the first of what was printed.

    The process has an empty folder, no environment, no network and no other process; it reads the
    standard library and writes its folder, both enforced by the kernel: see
    `reward.sandbox_child` for the means and `reward.sandbox` for what they are not. It is meant for
    what a model wrote, which is mostly careless and seldom hostile; against an attacker use a
    virtual machine. Code that means to deceive its tests can, since both share an interpreter.
    A program that draws by chance, or that is near a limit, may say another thing on another day;
    what it said is stored and not asked again.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `CodeConfig`.
        workers: How many processes run at a time.
        progress: Told of rows done.

    Returns:
        n rows, in order. A row has nulls and an `error` where its answer is null, it has no tests,
        or its gold answer fails. The fact `network` says what kept the code from the network.

    Raises:
        StepError: The machine cannot lock a process in: Linux from 5.13 on x86_64 or aarch64 can.
        SchemaError: The tests are neither texts nor lists of texts.

    Cost:
        A process a row: 30 to 40 CPU milliseconds (tests/bench/verifiers.json), besides what the
        code itself takes, and as much again for `gold`. A run that breaks off runs the part of the
        table again that it was at.

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a"], "response": ["def twice(x):\n    return x * 2"],
        ...     "tests": [["assert twice(3) == 6", "assert twice('a') == 'a'"]],
        ... })
        >>> measure_code(rows, CodeConfig()).table.drop("row_id", "error", "code_output").row(0)
        (False, 0.5, 'test 2: AssertionError')
    """
    facts: dict[str, Any] = {}
    return Streamed(_frames(rows, config, workers, progress, facts), facts)


def _frames(
    rows: Parts, config: CodeConfig, workers: int, progress: Progress | None, facts: dict[str, Any]
) -> Iterator[pl.DataFrame]:
    columns = [config.response, config.tests, config.before, config.gold]
    named = [column for column in columns if column is not None]
    types = dict(zip(_names(config), _FACTS.values(), strict=True))
    schema = {"row_id": pl.String, **types, "error": pl.String}
    if progress is not None:
        progress.total(rows.n_rows, "rows")
    with ThreadPoolExecutor(max(1, workers)) as pool:  # each waits for a process of its own
        for index in range(rows.n_parts):
            part = rows.part(index, *named)
            _check_tests(part, config)
            held = part.select(
                "row_id",
                *(
                    (pl.lit(None) if c is None else pl.col(c)).alias(str(n))
                    for n, c in enumerate(columns)
                ),
            )
            found = []
            for row_id, network, row in pool.map(partial(_row, config), held.iter_rows()):
                found.append((row_id, *row))
                if network is not None:
                    facts.update(network=network, in_short=f"no network: {network}")
                if progress is not None:
                    progress.tick()
            yield pl.DataFrame(found, schema=schema, orient="row")


def _check_tests(part: pl.DataFrame, config: CodeConfig) -> None:
    dtype = part.schema[config.tests]
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    if inner not in {pl.String, pl.Null}:
        what = f"the column {config.tests!r} is of type {dtype}, not text or lists of texts"
        raise SchemaError("reward.code", what, fix="write each test as Python")


def _row(config: CodeConfig, row: tuple[Any, ...]) -> tuple[str, str | None, tuple[Any, ...]]:
    """(row_id, what kept the network out, the new columns with `error`)."""
    row_id, response, tests, before, gold = row
    tests = [tests] if isinstance(tests, str) else tests or []
    tests = [test for test in tests if test and test.strip()]
    if response is None:
        return row_id, None, (*_NOTHING, "there is no answer")
    if not tests:
        return row_id, None, (*_NOTHING, "there are no tests")
    limits = Limits(**{name: getattr(config, name) for name in Limits.__dataclass_fields__})
    if config.gold is not None:
        trouble = "there is none"
        if gold is not None:
            trouble = run_tests(_program(gold, before, config), tests, limits).reason or ""
        if trouble:
            return row_id, None, (*_NOTHING, f"the gold answer fails: {trouble}")
    found = run_tests(_program(response, before, config), tests, limits)
    share = sum(found.passed) / len(tests)
    return row_id, found.network, (share == 1, share, found.reason, found.output, None)


def _program(answer: str, before: str | None, config: CodeConfig) -> str:
    code = find_code(answer, config.block)
    return code if before is None else f"{before}\n{code}"
