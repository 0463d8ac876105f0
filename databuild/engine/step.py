"""What a step is: a pure function of one of three kinds on tables, or of two at the edges.

- *measure*: `(rows, config) -> DataFrame` with `row_id`, the columns that it `adds`, and an
  optional `error`. Every row of the input has exactly one row in the result. An optional `retry:
  bool` says which errors are worth another try on the next run, such as those of an endpoint.
- *select*: `(rows, config) -> DataFrame` with `row_id`, `part`, and optional `reason` and
  `evidence`. Every row gets exactly one part; the part `dropped` needs a reason.
- *produce*: `(rows, config) -> Produced`. New rows name their parents; an input row that became
  nothing is in `failed` (with an error) or in `dropped` (with a reason).
- *train*: `(rows, config, *, out, ...) -> dict` of metrics; a model lies in `out/best` afterwards.
- *deliver*: `(rows, config, *, out, ...) -> dict` of facts; the files that leave lie in `out`.
  Either may return `rows_skipped`, a list of `{row_id, reason}`: rows that it could not use.

A step that sees the whole table may also report facts about it: see `Reported` and
`Produced.facts`.

A step sees one `row` batch at a time, one `group` at a time, the whole `table`, its `parts` in turn
(a measure, select or deliver: it is handed `engine.parts.Parts` for each input, and a measure or
select returns an iterable with one frame for each part of the primary input, so that nothing is
ever whole in memory), or it is a `source`, which reads splits of files and returns a `Produced` for
each, or an iterator of them where a split is more than fits into memory: pieces that follow from
the file alone. The first parameter is the primary input; further DataFrame parameters are named
inputs (`from: {rows: a, other: b}`), optional where they default to None; `**others` takes any
number of further ones, under names of the recipe's choice. Keyword-only parameters are resources,
injected by name: see `RESOURCES`.

Example:
    >>> from databuild.recipe.options import StepConfig
    >>> class LengthConfig(StepConfig):
    ...     column: str = "text"
    >>> @step("measure.length", kind="measure", sees="row", version=1, adds=("n_chars",))
    ... def measure_length(rows: pl.DataFrame, config: LengthConfig) -> pl.DataFrame:
    ...     return rows.select("row_id", n_chars=pl.col(config.column).str.len_chars())
    >>> measure_length.name, measure_length.inputs, measure_length.config.__name__
    ('measure.length', ('rows',), 'LengthConfig')
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from databuild.engine.parts import Parts
from databuild.engine.plugins import load_module, plugin_of
from databuild.errors import RecipeError
from databuild.recipe.options import StepConfig, marked

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

Kind = Literal["measure", "select", "produce", "train", "deliver"]
Sees = Literal["source", "row", "group", "table", "parts"]
Names = tuple[str, ...] | Callable[[Any], Iterable[str]]
Mirrors = Callable[[Any], Mapping[str, str]] | None

RESOURCES: Mapping[str, str] = {
    "seed": "int: derived from the recipe's data seed and the step's name",
    "generator": "Asks the model that the option `model` names; every answer is journalled",
    "generators": "the same for every model that the options name, by option: `models.<name>`",
    "model": "Path: the Hugging Face folder of the model that the option `model` names",
    "embedder": "Embedder: texts as vectors of the model that `model` names; None where it is null",
    "reader": "Reads texts with the model that `model` names: log-likelihoods per text",
    "scorer": "Scoring: rewards of conversations by the model that `model` names, journalled",
    "rewards": "the same by the model that the option `scorer` names; None where that is null",
    "models": "the identities of all models that the options name, by option",
    "scratch": "Path: a folder that survives a kill until the step is complete",
    "out": "Path: the folder that leaves with a train or deliver step",
    "files": "tuple of Path: the files that the options name, part of the key by content",
    "progress": "Progress: total and ticks for the person who waits",
    "device": "cpu or cuda, as the run was told",
    "workers": "int: how many cores the step may use",
    "journals": "Path: the folder of the runs folder's append-only journals, such as votes",
    "told": "str: what there was to say when the step's `outside` was looked at",
}
RESERVED = frozenset({"row_id", "content_id", "parent_ids", "error", "part", "reason", "evidence"})
DROPPED = "dropped"
RETRY = "retry"


@dataclass(frozen=True)
class Produced:
    """What a produce step made.

    `rows` has `parent_ids: list[str]` and the step's columns; `failed` has `parent_ids`, `error`
    and optionally `retry: bool` (worth another try on the next run) and columns that help to find
    the record; `dropped` has `row_id` and `reason`; `notes` counts what else is to be known, such
    as repairs, and ends in the manifest; `facts` as in `Reported`.
    """

    rows: pl.DataFrame
    failed: pl.DataFrame | None = None
    dropped: pl.DataFrame | None = None
    notes: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reported:
    """What a measure or select step that sees the whole table returns when it reports facts too.

    Facts are plain JSON and become the `metrics` of the manifest, where the command line, the
    report page and the dataset card read them. One of them is understood by all three: `shortfall`,
    a list of `{"of": <cell, source or part>, "wanted": <rows>, "got": <rows>}`, the largest gap
    first, with those only that got fewer rows than were wanted. Another is `in_short`, a few words
    that stand in the step's line of a run's summary.
    """

    table: pl.DataFrame
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Streamed:
    """What a step that sees parts returns when it reports facts too: they are read last."""

    frames: Iterable[pl.DataFrame]
    facts: Mapping[str, Any]


def run_whole(run: Callable[..., Any], *args: Any, **resources: Any) -> Any:
    """Call the function of a step that sees parts with tables in memory; return one table.

    Facts come with it as `Reported`, where the step reports any; of a deliver step facts alone.
    """
    import polars as pl

    tables = [Parts.of(a) if isinstance(a, pl.DataFrame) else a for a in args]
    named = {k: Parts.of(v) if isinstance(v, pl.DataFrame) else v for k, v in resources.items()}
    out = run(*tables, **named)
    if isinstance(out, Mapping):
        return out
    if isinstance(out, Streamed):
        return Reported(pl.concat(out.frames), out.facts)
    return pl.concat(out)


def shortfall(asked: Iterable[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """The fact `shortfall` from (of, wanted, got): the largest gap first, then by name.

    Example:
        >>> shortfall([("a", 5, 5), ("b", 4, 3), ("c", 9, 1)])
        [{'of': 'c', 'wanted': 9, 'got': 1}, {'of': 'b', 'wanted': 4, 'got': 3}]
    """
    short = [(name, wanted, got) for name, wanted, got in asked if got < wanted]
    short.sort(key=lambda one: (one[2] - one[1], one[0]))
    return [{"of": name, "wanted": wanted, "got": got} for name, wanted, got in short]


@dataclass(frozen=True)
class Step:
    """A registered step: its function and everything the engine must know about it."""

    name: str
    kind: Kind
    sees: Sees
    version: int
    run: Callable[..., Any]
    config: type[StepConfig]
    inputs: tuple[str, ...]
    optional: frozenset[str]
    needs: tuple[str, ...]
    is_open: bool = False
    """It takes further inputs under any name."""
    reads: Names = ()
    also: Names = ()
    """Columns that it reads where its input has them, or a function of the config; a produce step
    makes them then, too. Which of them are there is part of the step's key."""
    mirrors: Mirrors = None
    """Optional columns that repeat a conversation: it changes them only where there is one."""
    adds: Names | None = None
    parts: Names = ("kept",)
    group: Names = ()
    attributes: tuple[str, ...] = ()
    carries: bool = False
    keeps_ids: bool = False
    """Of a source: its rows have ids already, and keep them and their parents."""
    splits: Callable[..., list[dict[str, Any]]] | None = None
    peeks: Callable[..., tuple[str, ...] | None] | None = None
    brings: Callable[..., Iterable[Path]] | None = None
    """Files of databuild's own that it reads, such as prompts: part of its key by content."""
    checks: Callable[..., None] | None = None
    """What can be found wrong with the files that its options name before anything runs."""
    outside: Callable[..., tuple[str, str]] | None = None
    """`(config, journals, fetch) -> (head, note)`, asked before the step's key is made.

    With `fetch` it brings what is new in the world outside into a journal; without, as for a plan,
    it looks at the journal alone. `head` says what the journal says and is part of the key; `note`
    is for the person who waits, and empty where there is nothing to say.
    """
    plugin: Path | None = None
    module: str = field(default="", repr=False)

    def __call__(self, *args: Any, **resources: Any) -> Any:
        """Run the step's function, as in a test or a notebook.

        A step that sees parts may be given tables, and then returns one.
        """
        if self.sees == "parts" and not any(isinstance(one, Parts) for one in args):
            return run_whole(self.run, *args, **resources)
        return self.run(*args, **resources)

    def __reduce__(self) -> tuple[Any, ...]:
        """A step travels to a worker as the place where it is defined."""
        return load_step, (self.module, self.run.__name__, self.plugin)

    def columns_read(self, config: StepConfig, slot: str | None = None) -> tuple[str, ...]:
        """The columns that the step needs: those that it states and those that options name.

        With the name of an input, those that it needs of this one.
        """
        of = ("all", "first") if slot in {None, *self.inputs[:1]} else ("all", "others")
        stated = _names(self.reads, config)
        named = (text for _, text in marked(config, "column", of=of))
        return tuple(dict.fromkeys([*stated, *named]))

    def columns_taken(self, config: StepConfig, slot: str | None = None) -> tuple[str, ...]:
        """The columns to hand to the step: those that it needs, and the optional ones."""
        also = self.columns_optional(config)
        return tuple(dict.fromkeys([*self.columns_read(config, slot), *also]))

    def columns_optional(self, config: StepConfig) -> tuple[str, ...]:
        """The columns that it reads where its input has them."""
        return tuple(dict.fromkeys([*_names(self.also, config), *self.columns_mirrored(config)]))

    def columns_mirrored(self, config: StepConfig) -> Mapping[str, str]:
        """Of the optional columns those that repeat a column of conversations, with that column."""
        return self.mirrors(config) if self.mirrors else {}

    def slots(self, given: Iterable[str]) -> tuple[str, ...]:
        """The names of all inputs: the step's own in its order, then further ones by name."""
        further = sorted(set(given) - set(self.inputs)) if self.is_open else []
        return (*self.inputs, *further)

    def columns_added(self, config: StepConfig) -> tuple[str, ...] | None:
        """The columns that the step makes, or None when only the data can tell."""
        return None if self.adds is None else _names(self.adds, config)

    def parts_kept(self, config: StepConfig) -> tuple[str, ...]:
        """The names of the kept parts of a select."""
        return _names(self.parts, config)

    def grouped_by(self, config: StepConfig) -> tuple[str, ...]:
        """The columns whose equal values make a group."""
        return _names(self.group, config)


def step(  # noqa: PLR0913 -- a step is declared once, in one place, with everything about it
    name: str,
    *,
    kind: Kind,
    sees: Sees,
    version: int,
    reads: Names = (),
    also: Names = (),
    mirrors: Mirrors = None,
    adds: Names | None = (),
    parts: Names = ("kept",),
    group: Names = (),
    attributes: tuple[str, ...] = (),
    carries: bool = False,
    keeps_ids: bool = False,
    splits: Callable[..., list[dict[str, Any]]] | None = None,
    peeks: Callable[..., tuple[str, ...] | None] | None = None,
    brings: Callable[..., Iterable[Path]] | None = None,
    checks: Callable[..., None] | None = None,
    outside: Callable[..., tuple[str, str]] | None = None,
) -> Callable[[Callable[..., Any]], Step]:
    """Declare the function below as a step.

    Args:
        name: `<stage>.<method>`, as a recipe's `use` names it.
        kind: What it does to rows; see the module's text.
        sees: What it must see at once.
        version: Raised whenever the same input gives another output.
        reads: Columns that it needs from every input, or a function of the config. `"*"` is all.
        also: Columns that it reads where its input has them: see `Step.also`.
        mirrors: `(config) -> {column: conversations}`: see `Step.mirrors`.
        adds: Columns that it makes, or a function of the config; None when only the data can tell.
        parts: The kept parts of a select, or a function of the config.
        group: The columns whose equal values make a group, likewise.
        attributes: Columns of a produced row that say how it was made; not its identity.
        carries: The children of a one-parent produce keep the parent's other columns.
        keeps_ids: See `Step.keeps_ids`.
        splits: For a source: `(config, files, shard_bytes) -> list` of JSON-able splits to read.
        peeks: For a source: `(config, files) -> columns`, read from the heads of the files.
        brings: `(config) -> files` that ship with databuild and are part of the key by content.
        checks: `(config, files)`, raises what is wrong with the files that the options name.
        outside: What of the world outside is part of the key: see `Step.outside`.
    """

    def declare(function: Callable[..., Any]) -> Step:
        parameters = inspect.signature(function).parameters.values()
        is_open = any(p.kind is p.VAR_KEYWORD for p in parameters)
        needs, own = _resources(name, parameters), {"config", "split"}
        tables = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in own]
        return Step(
            name=name, kind=kind, sees=sees, version=version, run=function, config=_config_of(name,
            function), inputs=tuple(p.name for p in tables),
            optional=frozenset(p.name for p in tables if _is_optional(p)), needs=needs,
            is_open=is_open, reads=reads, also=also, mirrors=mirrors, adds=adds, parts=parts,
            group=group, attributes=attributes, carries=carries, keeps_ids=keeps_ids,
            splits=splits, peeks=peeks, brings=brings, checks=checks, outside=outside,
            plugin=plugin_of(function.__module__), module=function.__module__,
        )  # fmt: skip

    return declare


def _resources(name: str, parameters: Iterable[inspect.Parameter]) -> tuple[str, ...]:
    needs = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
    unknown = set(needs) - RESOURCES.keys()
    if unknown:
        raise RecipeError(
            f"step {name}",
            f"unknown resource {sorted(unknown)}; the engine has {sorted(RESOURCES)}",
            fix="name keyword-only parameters after a resource",
        )
    return needs


def _is_optional(parameter: inspect.Parameter) -> bool:
    """It defaults to something, or is annotated `... | None` (where `config` must follow it)."""
    has_default = parameter.default is not parameter.empty
    return has_default or str(parameter.annotation).endswith("| None")


def load_plugin(path: Path) -> list[Step]:
    """Load a user's Python file and return the steps that it declares, in its order.

    Raises:
        RecipeError: See `load_module`.
    """
    return [value for value in vars(load_module(path)).values() if isinstance(value, Step)]


def load_step(module: str, function: str, plugin: Path | None) -> Step:
    """Find a step again in another process."""
    if plugin is not None:
        return next(s for s in load_plugin(plugin) if s.run.__name__ == function)
    found = getattr(importlib.import_module(module), function)
    assert isinstance(found, Step)
    return found


def _config_of(name: str, function: Callable[..., Any]) -> type[StepConfig]:
    annotation = inspect.get_annotations(function).get("config")
    found = function.__globals__.get(annotation) if isinstance(annotation, str) else annotation
    if not (isinstance(found, type) and issubclass(found, StepConfig)):
        raise RecipeError(
            f"step {name}",
            f"the parameter `config` is annotated {annotation!r}, which is no StepConfig",
            fix="annotate it with a subclass of databuild.StepConfig, imported at run time",
        )
    return found


def _names(names: Names, config: StepConfig) -> tuple[str, ...]:
    return tuple(names(config)) if callable(names) else names
