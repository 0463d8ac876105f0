"""Check an unrolled recipe against the steps that exist, and bind it into a graph.

Everything that can be wrong without looking at rows is found here, with file, line and the nearest
known name: steps, options, inputs, parts, models, and the columns that a step needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from databuild.errors import RecipeError, SchemaError, nearest
from databuild.recipe.measured import measured_columns, out_of_date
from databuild.recipe.options import marked, named_models
from databuild.recipe.validate import likeliest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databuild.recipe.load import Document
    from databuild.recipe.model import Budget, ModelSpec
    from databuild.recipe.options import StepConfig
    from databuild.recipe.rounds import Asked
    from databuild.recipe.step_type import StepType

CARRIED = ("row_id", "content_id", "parent_ids")
_OWN = ("from", "use", "max_failure_ratio", "budget")
DROPPED_COLUMNS = ("reason", "evidence")


@dataclass(frozen=True)
class Ref:
    """A view of a step's output: all of it, or one part."""

    step: str
    part: str | None = None

    def __str__(self) -> str:
        return self.step if self.part is None else f"{self.step}.{self.part}"


@dataclass(frozen=True)
class Node:
    """A step of the graph: checked, with its inputs and models resolved to names."""

    name: str
    origin: str
    use: str
    config: StepConfig
    inputs: Mapping[str, Ref]
    models: Mapping[str, str]
    paths: tuple[Path, ...]
    columns: tuple[str, ...] | None
    measured: Mapping[str, frozenset[str]]
    """The measured columns of its table, with the columns that each was measured from."""
    stale: tuple[str, ...]
    """Measured columns that are not carried, because the step changes what they were measured
    from."""
    max_failure_ratio: float
    round: int | None
    where: str
    budget: Budget | None = None
    """What it may spend on asking models."""

    @property
    def after(self) -> set[str]:
        """The names of the nodes whose output this one needs (models of the recipe excluded)."""
        return {ref.step for ref in self.inputs.values()} | set(self.models.values())


def bind(
    asked: list[Asked],
    steps: Mapping[str, StepType],
    models: Mapping[str, ModelSpec],
    document: Document,
) -> list[Node]:
    """Turn what was asked into checked nodes, in the order asked but after everything they need.

    Raises:
        RecipeError: A step, option, input, part, model or file is not there.
        SchemaError: A step needs a column that its input does not have.
    """
    waiting = {step.name: step for step in asked}
    _check_once(asked)
    for step in asked:
        _check_use(step, steps, document)
        _check_references(step, waiting, models, steps, document)
    done: dict[str, Node] = {}
    while waiting:
        ready = [s for s in waiting.values() if not (_needs(s, steps) & waiting.keys())]
        if not ready:
            raise _circle(waiting, steps)
        done[ready[0].name] = _bind_one(ready[0], steps, done, document)
        del waiting[ready[0].name]
    return list(done.values())


def _at(document: Document, step: Asked, *keys: str | int) -> str:
    """`file:line` of an option of a step; of the flywheel where that made the step."""
    written = ("steps", step.origin)
    return document.where(*written, *keys) if written in document.lines else step.where


def _check_once(asked: list[Asked]) -> None:
    seen: set[str] = set()
    for step in asked:
        if step.name in seen:
            what = f"two steps would be called {step.name!r}"
            raise RecipeError(
                step.where, what, fix="rename a step, or a part that `final` measures"
            )
        seen.add(step.name)


def _circle(waiting: Mapping[str, Asked], steps: Mapping[str, StepType]) -> RecipeError:
    circle = set(waiting)
    while True:  # leave out the steps that only wait for the circle
        needed = {name for one in circle for name in _needs(waiting[one], steps)} & circle
        if needed == circle:
            break
        circle = needed
    first = next(step for name, step in waiting.items() if name in circle)
    what = f"these steps wait for each other: {', '.join(sorted(circle))}"
    return RecipeError(first.where, what, fix="break the circle")


def _check_use(step: Asked, steps: Mapping[str, StepType], document: Document) -> None:
    if step.use not in steps:
        what = f"step {step.origin!r} uses {step.use!r}; {nearest(step.use, steps)}"
        raise RecipeError(_at(document, step, "use"), what, fix="correct `use:`")


def _check_references(
    step: Asked,
    known: Mapping[str, Asked],
    models: Mapping[str, ModelSpec],
    steps: Mapping[str, StepType],
    document: Document,
) -> None:
    for slot, reference in step.inputs.items():
        name = reference.partition(".")[0]
        if name not in known:
            what = f"step {step.origin!r} takes its input from {name!r}; {nearest(name, known)}"
            raise RecipeError(_at(document, step, "from", slot), what, fix="correct `from:`")
    for option, name in _model_options(step, steps):
        trains = [n for n, s in known.items() if s.use in steps and steps[s.use].kind == "train"]
        if name not in models and name not in trains:
            known_models = [*models, *(n for n in trains)]
            what = f"`{option}` of step {step.origin!r} names the model {name!r}"
            what = f"{what}; {nearest(name, known_models)}"
            where = _at(document, step, *option.split(".", maxsplit=1))
            raise RecipeError(where, what, fix="name one under `models:` or a train step")


def _model_options(step: Asked, steps: Mapping[str, StepType]) -> list[tuple[str, str]]:
    fields = steps[step.use].config.model_fields
    config = steps[step.use].config.model_construct(
        **{k: v for k, v in step.options.items() if k in fields}
    )
    return [
        (option, name) for option, name in named_models(config).items() if isinstance(name, str)
    ]


def _needs(step: Asked, steps: Mapping[str, StepType]) -> set[str]:
    inputs = {reference.partition(".")[0] for reference in step.inputs.values()}
    return inputs | {name for _, name in _model_options(step, steps)}


def _bind_one(
    step: Asked,
    steps: Mapping[str, StepType],
    done: Mapping[str, Node],
    document: Document,
) -> Node:
    kind = steps[step.use]
    config = _config(step, kind, document)
    inputs = _inputs(step, kind, done, steps, document)
    _check_inputs_named(step, config, inputs, document)
    paths = _paths(step, config, document)
    if kind.checks:
        kind.checks(config, paths)
    before = [done[ref.step].measured for ref in inputs.values()]
    tables = [done[ref.step].columns for ref in inputs.values()]
    have = None if None in tables else {c for table in tables for c in table or ()}
    stale = out_of_date(kind, config, before, have)
    columns = _columns(step, kind, config, inputs, paths, done, document)
    return Node(
        name=step.name,
        origin=step.origin,
        use=step.use,
        config=config,
        inputs=inputs,
        models=named_models(config),
        paths=paths,
        columns=None if columns is None else tuple(c for c in columns if c not in stale),
        measured=measured_columns(kind, config, before, stale),
        stale=stale,
        max_failure_ratio=step.max_failure_ratio,
        round=step.round,
        where=step.where,
        budget=step.budget,
    )


def _config(step: Asked, kind: StepType, document: Document) -> StepConfig:
    try:
        return _placed(kind.config.model_validate(step.options), document)
    except ValidationError as error:
        first = likeliest(error)
        option = str(first["loc"][0]) if first["loc"] else ""
        where = _at(document, step, *first["loc"])
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            known = nearest(option, [*kind.config.model_fields, *_OWN])
            what = f"step {step.origin!r} ({step.use}) has no option {option!r}; {known}"
            raise RecipeError(where, what, fix="correct the option's name") from error
        path = ".".join(map(str, first["loc"]))
        given = "" if first["type"] == "missing" else f", given {first['input']!r}"
        message = first["msg"][0].lower() + first["msg"][1:]
        what = f"option {path!r} of step {step.origin!r} ({step.use}): {message}{given}"
        raise RecipeError(where, what, fix="correct the option's value") from error


def _placed(config: StepConfig, document: Document) -> StepConfig:
    """The options with their folders as seen from anywhere."""
    folder = document.path.resolve().parent
    places = {o: str(folder / text) for o, text in marked(config, "place") if "://" not in text}
    return config.model_copy(update=places) if places else config


def _inputs(
    step: Asked,
    kind: StepType,
    done: Mapping[str, Node],
    steps: Mapping[str, StepType],
    document: Document,
) -> dict[str, Ref]:
    if not kind.inputs and step.inputs:
        what = f"step {step.origin!r} ({step.use}) reads files and takes no input"
        raise RecipeError(_at(document, step, "from"), what, fix="remove `from:`")
    named = {slot or kind.inputs[0]: reference for slot, reference in step.inputs.items()}
    slots = kind.slots(named)
    unknown = [slot for slot in named if slot not in slots]
    if unknown:
        what = f"step {step.origin!r} ({step.use}) has no input {unknown[0]!r}"
        what = f"{what}; {nearest(unknown[0], kind.inputs)}"
        where = _at(document, step, "from", unknown[0])
        raise RecipeError(where, what, fix="correct the names under `from:`")
    missing = [slot for slot in kind.inputs if slot not in named and slot not in kind.optional]
    if missing or (kind.inputs and not named):
        what = f"step {step.origin!r} ({step.use}) misses its input {(missing or kind.inputs)[0]!r}"
        raise RecipeError(step.where, what, fix="add `from: <step>`")
    if kind.is_open:
        _check_slots(step, kind, named, document)
    refs = {}
    for slot in (slot for slot in slots if slot in named):
        name, _, part = named[slot].partition(".")
        refs[slot] = Ref(name, part or None)
        _check_part(step, refs[slot], done[name], steps, _at(document, step, "from", slot))
    return refs


def _check_slots(step: Asked, kind: StepType, named: Mapping[str, str], document: Document) -> None:
    """Refuse a free name that is a parameter of the step already."""
    taken = sorted((set(named) - set(kind.inputs)) & {*kind.needs, "config"})
    if taken:
        what = f"an input of step {step.origin!r} cannot be called {taken[0]!r}"
        raise RecipeError(_at(document, step, "from", taken[0]), what, fix="give it another name")


def _check_inputs_named(
    step: Asked, config: StepConfig, inputs: Mapping[str, Ref], document: Document
) -> None:
    """Refuse an option that names an input which is not under `from:`."""
    for option, name in marked(config, "input"):
        if name not in inputs:
            what = f"`{option}` of step {step.origin!r} names the input {name!r}"
            what = f"{what}; {nearest(name, inputs)}"
            raise RecipeError(_at(document, step, option), what, fix="name one under `from:`")


def _check_part(
    step: Asked, ref: Ref, node: Node, steps: Mapping[str, StepType], where: str
) -> None:
    kind = steps[node.use]
    if kind.kind in {"train", "deliver"}:
        what = f"step {step.origin!r} takes rows from {node.origin!r}, which is a {kind.kind} step"
        raise RecipeError(where, what, fix="take rows from a step that has rows")
    if ref.part is None:
        return
    parts = (*kind.parts_kept(node.config), "dropped") if kind.kind == "select" else ()
    if ref.part not in parts:
        what = (
            f"step {step.origin!r} takes {str(ref)!r}, but {node.origin!r} has no part {ref.part!r}"
        )
        raise RecipeError(where, f"{what}; {nearest(ref.part, parts)}", fix="correct `from:`")


def _paths(step: Asked, config: StepConfig, document: Document) -> tuple[Path, ...]:
    folder = document.path.resolve().parent
    found: list[Path] = []
    for option, pattern in marked(config, "path"):
        matches = _matches(folder, pattern)
        if not matches or not matches[0].exists():
            where = _at(document, step, option)
            beside = (folder / pattern).parent
            there = [p.name for p in beside.iterdir() if p.is_file()] if beside.is_dir() else []
            inside = "" if Path(pattern).is_absolute() else f" in {folder}"
            what = f"no file matches {pattern!r}{inside}; {nearest(Path(pattern).name, there)}"
            raise RecipeError(where, what, fix=f"correct `{option}` (it is relative to the recipe)")
        found += matches
    return tuple(found)


def _matches(folder: Path, pattern: str) -> list[Path]:
    """The files that a path, a glob or a folder stands for; hidden folders are not entered."""
    path = folder / pattern
    if "*" in pattern:
        root = Path(path.anchor or ".")  # a pattern may be absolute; glob takes relative ones only
        return sorted(p for p in root.glob(str(path.relative_to(root))) if p.is_file())
    if not path.is_dir():
        return [path]
    inside = (p for p in path.rglob("*") if p.is_file())
    return sorted(p for p in inside if not any(
        part.startswith(".") for part in p.relative_to(path).parts[:-1]
    ))  # fmt: skip


def _columns(
    step: Asked,
    kind: StepType,
    config: StepConfig,
    inputs: Mapping[str, Ref],
    paths: tuple[Path, ...],
    done: Mapping[str, Node],
    document: Document,
) -> tuple[str, ...] | None:
    """The columns of the table that a step yields, None where only the data can tell."""
    if kind.sees == "source":
        found = kind.peeks(config, paths) if kind.peeks else None
        return None if found is None else tuple(dict.fromkeys([*CARRIED, *found]))
    tables = {slot: _columns_of(ref, done[ref.step]) for slot, ref in inputs.items()}
    for slot, have in tables.items():
        for column in kind.columns_read(config, slot):
            if have is not None and column != "*" and column not in have:
                what = f"step {step.origin!r} ({step.use}) needs the column {column!r}, which its "
                what = f"{what}input {slot!r} ({inputs[slot]}) lacks; {nearest(column, have)}"
                named = [option for option, text in marked(config, "column") if text == column]
                by = next((one.origin for one in done.values() if column in one.stale), None)
                again = f"measure it after {by!r}, which changed what it was measured from"
                raise SchemaError(
                    _at(document, step, *named[:1]),
                    what,
                    fix=again if by else "correct the name, or add the column before",
                )
    first, added = next(iter(tables.values())), kind.columns_added(config)
    if added is None or first is None or None in tables.values():
        return None
    clash = sorted(set(added) & set(first)) if kind.kind == "measure" else []
    if clash:
        what = f"step {step.origin!r} ({step.use}) would overwrite the column {clash[0]!r}"
        raise SchemaError(step.where, what, fix="remove this step, or the one that made the column")
    made = kind.kind == "produce"
    keeps = first if kind.kind in {"measure", "select"} else CARRIED
    if kind.carries:
        keeps = tuple(column for have in tables.values() for column in have or ())
    also = [column for column in kind.columns_optional(config) if column in first]
    return tuple(dict.fromkeys([*CARRIED, *keeps, *added, *(also if made else ())]))


def _columns_of(ref: Ref, node: Node) -> tuple[str, ...] | None:
    if ref.part == "dropped" and node.columns is not None:
        return tuple(dict.fromkeys([*node.columns, *DROPPED_COLUMNS]))
    return node.columns
