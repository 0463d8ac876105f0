"""reward.ifeval: which of its verifiable instructions an answer follows."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.step import step
from databuild.models.language import identify_languages
from databuild.recipe.options import Column, StepConfig
from databuild.text.ifeval import Instruction, judge, read_instruction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FACTS: dict[str, Any] = {
    "pass": pl.Boolean,
    "loose": pl.Boolean,
    "score": pl.Float64,
    "missed": pl.List(pl.String),
}
_NOTHING = (None,) * len(_FACTS)


class IfevalConfig(StepConfig):
    """Options of `reward.ifeval`."""

    name: str = "ifeval"
    """What the new columns begin with."""
    response: Column = "response"
    """The answer to check."""
    instructions: Column = "instruction_id_list"
    """The ids of what was asked: a list of texts."""
    kwargs: Column = "kwargs"
    """What each is about, in the same order: a list of mappings, or such a list in JSON."""
    gold: Column | None = None
    """A column of answers that must follow everything; where one does not, the row has an error."""


def _names(config: IfevalConfig) -> tuple[str, ...]:
    return tuple(f"{config.name}_{fact}" for fact in _FACTS)


@step("reward.ifeval", kind="measure", sees="row", version=1, adds=_names)
def measure_instructions(rows: pl.DataFrame, config: IfevalConfig) -> pl.DataFrame:
    """Check an answer against the 25 verifiable instructions of IFEval.

    With `<n>` for `config.name`: `<n>_pass` all instructions are followed strictly; `<n>_loose` all
    are followed loosely; `<n>_score` the share that is followed strictly, 0 to 1; `<n>_missed` the
    ids of those that are not, in their order. Definitions, and where they differ from the published
    checker: `text.ifeval` (Zhou et al. 2023, arXiv:2311.07911, section 2). Languages are named by
    the offline model of the extra `measure`.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `IfevalConfig`.

    Returns:
        n rows, in order. A row has nulls and an `error` where its answer is null, it has no
        instructions, one of them is unknown or misses what it needs, or its gold answer fails.

    Raises:
        StepError: An instruction asks for a language, and the extra `measure` is not installed.

    Cost:
        A call per row: some 8,000 answers of 120 words per CPU second (tests/bench/verifiers.json).

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a"], "response": ["Sun, wind. Rain."],
        ...     "instruction_id_list": [["punctuation:no_comma", "keywords:existence"]],
        ...     "kwargs": ['[{}, {"keywords": ["rain"]}]'],
        ... })
        >>> measure_instructions(rows, IfevalConfig()).drop("row_id", "error").row(0)
        (False, False, 0.5, ['punctuation:no_comma'])
    """
    columns = [config.response, config.instructions, config.kwargs, config.gold or config.response]
    facts = [
        (row_id, *_facts(*values, has_gold=config.gold is not None))
        for row_id, *values in rows.select("row_id", *map(pl.col, dict.fromkeys(columns)))
        .select("row_id", *(pl.col(c).alias(str(n)) for n, c in enumerate(columns)))
        .iter_rows()
    ]
    types = dict(zip(_names(config), _FACTS.values(), strict=True))
    schema = {"row_id": pl.String, **types, "error": pl.String}
    return pl.DataFrame(facts, schema=schema, orient="row")


def _facts(
    response: str | None, names: Any, kwargs: Any, gold: str | None, *, has_gold: bool
) -> tuple[Any, ...]:
    if response is None:
        return (*_NOTHING, "there is no answer")
    try:
        asked = _instructions(names, kwargs)
    except ValueError as error:
        return (*_NOTHING, f"the instructions cannot be read: {error}")
    if has_gold and (trouble := _missed_by_gold(gold, asked)):
        return (*_NOTHING, trouble)
    strict, loose = judge(response, asked, _language())
    missed = [one.id for one, met in zip(asked, strict, strict=True) if not met]
    return (all(strict), all(loose), sum(strict) / len(strict), missed, None)


def _missed_by_gold(gold: str | None, asked: Sequence[Instruction]) -> str | None:
    if gold is None:
        return "there is no gold answer"
    strict, _ = judge(gold, asked, _language())
    missed = [one.id for one, met in zip(asked, strict, strict=True) if not met]
    return f"the gold answer fails: {', '.join(missed)}" if missed else None


def _instructions(names: Any, kwargs: Any) -> list[Instruction]:
    """The instructions of a row, as lists or in JSON."""
    names, kwargs = _listed(names), _listed(kwargs)
    if not names:
        msg = "there are none"
        raise ValueError(msg)
    if len(names) != len(kwargs):
        msg = f"{len(names)} ids and {len(kwargs)} kwargs"
        raise ValueError(msg)
    return [read_instruction(name, _mapping(one)) for name, one in zip(names, kwargs, strict=True)]


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            msg = f"{value[:40]!r} is no JSON"
            raise ValueError(msg) from error
    if value is None:
        return []
    if not isinstance(value, list):
        msg = f"a list is needed, not {str(value)[:40]!r}"
        raise ValueError(msg)  # noqa: TRY004 -- the row is wrong, not the program
    return value


def _mapping(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            msg = f"{value[:40]!r} is no JSON"
            raise ValueError(msg) from error
    if value is not None and not isinstance(value, dict):
        msg = f"kwargs are a mapping, not {value!r}"
        raise ValueError(msg)
    return value


@functools.cache
def _language() -> Callable[[str], str]:
    return functools.lru_cache(maxsize=64)(lambda text: identify_languages([text])[0][0])
