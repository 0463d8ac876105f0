"""reward.file: score every answer with a function of the user's own."""

from __future__ import annotations

import inspect
import math
import numbers
import traceback
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.plugins import load_module
from databuild.engine.step import step
from databuild.errors import RecipeError, nearest
from databuild.recipe.options import Column, Columns, Paths, StepConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FACTS: dict[str, Any] = {"score": pl.Float64, "reason": pl.String}
Found = tuple[float | None, str | None, str | None]
_SHOWN_CHARS = 200


class FileConfig(StepConfig):
    """Options of `reward.file`."""

    name: str = "file"
    """What the new columns begin with."""
    path: Paths
    """The Python file, relative to the recipe; its content is part of the step's key."""
    function: str = "score"
    """The function in it."""
    columns: Columns = Field(default=("prompt", "response"), min_length=1)
    """The columns that it is given, each as a keyword argument of this name."""
    gold: Column | None = None
    """A column of answers that take the place of `response` and must get `full` marks; where one
    does not, the row has an error."""
    response: str = "response"
    """Which of `columns` is the answer, where there is a `gold`."""
    full: float = 1.0
    """The score of a gold answer, at least."""

    @model_validator(mode="after")
    def _is_one_file(self) -> FileConfig:
        if len(self.path) != 1:
            msg = f"`path` names one file, not {len(self.path)}"
            raise ValueError(msg)
        if self.gold is not None and self.response not in self.columns:
            msg = f"`gold` takes the place of `{self.response}`, which is not among `columns`"
            raise ValueError(msg)
        return self


def _names(config: FileConfig) -> tuple[str, ...]:
    return tuple(f"{config.name}_{fact}" for fact in _FACTS)


def _function(config: FileConfig, files: tuple[Path, ...]) -> Callable[..., Any]:
    """The user's function.

    Raises:
        RecipeError: The file cannot be loaded, or has no function that takes the columns.
    """
    if len(files) != 1:
        what = f"`path` matches {len(files)} files"
        raise RecipeError("reward.file", what, fix="name one file")
    held = vars(load_module(files[0]))
    found: Callable[..., Any] | None = held.get(config.function)
    if not callable(found):
        known = [name for name, value in held.items() if inspect.isfunction(value)]
        what = f"it has no function {config.function!r}; {nearest(config.function, known)}"
        raise RecipeError(str(files[0]), what, fix="correct `function`")
    try:
        inspect.signature(found).bind(**dict.fromkeys(config.columns))
    except TypeError as error:
        what = f"{config.function}() does not take the columns {', '.join(config.columns)}: {error}"
        fix = "name its parameters after columns, and these under `columns`"
        raise RecipeError(str(files[0]), what, fix=fix) from error
    return found


def _check(config: FileConfig, files: tuple[Path, ...]) -> None:
    _function(config, files)


@step("reward.file", kind="measure", sees="row", version=1, adds=_names, checks=_check)
def measure_with_file(
    rows: pl.DataFrame, config: FileConfig, *, files: tuple[Path, ...]
) -> pl.DataFrame:
    r"""Call a function of the user's file for every row, and keep the score that it returns.

    The function is called with the values of `config.columns` as keyword arguments and returns a
    number (higher is better), a bool (1 or 0), or a pair of such a score and a reason, a text. With
    `<n>` for `config.name`: `<n>_score` and `<n>_reason`. It runs in this process, with no limits:
    it is the user's own code. What it returns should follow from its arguments alone, since a
    stored score is not asked for again.

    Args:
        rows: n rows with `row_id` and the columns.
        config: See `FileConfig`.
        files: The Python file.

    Returns:
        n rows, in order. A row has nulls and an `error` where the function raised (with the line),
        returned nothing, NaN, an infinity or no number, or gave a gold answer less than full marks.

    Raises:
        RecipeError: The file or the function is missing, cannot be imported, or does not take the
            columns; `databuild check` says so.

    Cost:
        A call per row, some 3 microseconds besides the function's own (tests/bench/verifiers.json).

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "score.py")
        >>> _ = file.write_text("def score(response):\n    return 1 / len(response), 'short'\n")
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "response": ["abcd", ""]})
        >>> config = FileConfig(path="score.py", columns="response")
        >>> measured = measure_with_file(rows, config, files=(file,))
        >>> measured.select("file_score", "file_reason").rows()
        [(0.25, 'short'), (None, None)]
        >>> measured["error"][1]
        'score() raised ZeroDivisionError: division by zero (line 2)'
    """
    score, path = _function(config, files), str(files[0])
    held = rows.select(config.columns)
    found = [_call(score, row, path) for row in held.iter_rows(named=True)]
    if config.gold is not None:
        gold = held.with_columns(rows[config.gold].alias(config.response))
        marks = [_call(score, row, path) for row in gold.iter_rows(named=True)]
        found = [_with_gold(*pair, config.full) for pair in zip(found, marks, strict=True)]
    types = dict(zip(_names(config), _FACTS.values(), strict=True))
    facts = pl.DataFrame(found, schema={**types, "error": pl.String}, orient="row")
    return pl.concat([rows.select("row_id"), facts], how="horizontal")


def _with_gold(found: Found, gold: Found, full: float) -> Found:
    mark, _, error = gold
    if found[2] is not None or (mark is not None and mark >= full):
        return found
    return None, None, f"the gold answer does not get full marks: {error or mark}"


def _call(score: Callable[..., Any], row: dict[str, Any], path: str) -> Found:
    try:
        value = score(**row)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- the user's code may raise anything
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
        at = f" (line {lines[-1]})" if lines else ""
        said = f"{type(error).__name__}: {str(error)[:_SHOWN_CHARS]}"
        said = said.encode("utf-8", "replace").decode()
        return None, None, f"{score.__name__}() raised {said}{at}"
    reason = None
    if isinstance(value, tuple) and len(value) == 2:
        value, reason = value
    if reason is not None:  # half of a surrogate pair is no text that a table can hold
        reason = str(reason).encode("utf-8", "replace").decode()
    return _read(score.__name__, value, reason)


def _read(name: str, value: Any, reason: str | None) -> Found:
    if value is None:
        return None, None, f"{name}() returned nothing"
    if not isinstance(value, numbers.Real):
        return None, None, f"{name}() returned no number: {str(value)[:_SHOWN_CHARS]!r}"
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        return None, None, f"{name}() returned {number}, not a number"
    return number, reason, None
