"""Unroll the rounds of a flywheel into plain steps, so that a plan lists every one of them.

Round r of a repeated step `answers` is the step `answers@r`. The best model before the round is
examined as `<step>@r-best` (answers that an earlier exam gave are taken from the journal), the
candidate as `<step>@r-candidate`, and `best@r` decides which of the two goes on: its output is a
reference to a model. At the end, `<step>@<part>-base` and `-best` measure each held-out part once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from databuild.errors import RecipeError, nearest
from databuild.recipe.load import fill

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from databuild.recipe.load import Document
    from databuild.recipe.model import Budget, Flywheel, Recipe

BEST = "best"


@dataclass(frozen=True)
class Asked:
    """One step of the unrolled recipe, its variables filled in, its options not yet checked."""

    name: str
    origin: str
    use: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any]
    max_failure_ratio: float
    round: int | None
    where: str
    budget: Budget | None = None


def unroll(recipe: Recipe, document: Document) -> list[Asked]:
    """Return every step that the recipe asks for, rounds unrolled, in an order that may run.

    Raises:
        RecipeError: The flywheel names a step that is not there, or a variable is unknown.
    """
    flywheel = recipe.flywheel
    if flywheel is None:
        return [_asked(recipe, document, name, recipe.vars) for name in recipe.steps]
    _check_names(recipe, flywheel, document)
    special = {*flywheel.repeat, *flywheel.exam, *flywheel.final.text}
    asked = [_asked(recipe, document, n, recipe.vars) for n in recipe.steps if n not in special]
    best = flywheel.best
    for number in range(1, flywheel.rounds + 1):
        candidate = f"{flywheel.candidate}@{number}"
        asked += _exam(recipe, document, flywheel.gate.part, best, f"{number}-best")
        asked += _round(recipe, document, number, best)
        asked += _exam(recipe, document, flywheel.gate.part, candidate, f"{number}-candidate")
        asked.append(_promotion(flywheel, document, number, best))
        best = f"{BEST}@{number}"
    return asked + _final(recipe, flywheel, document, best)


def _asked(
    recipe: Recipe,
    document: Document,
    name: str,
    variables: Mapping[str, Any],
    *,
    as_name: str | None = None,
    number: int | None = None,
) -> Asked:
    spec, where = recipe.steps[name], document.where("steps", name)
    inputs = {"": spec.inputs} if isinstance(spec.inputs, str) else spec.inputs
    return Asked(
        name=as_name or name,
        origin=name,
        use=spec.use,
        inputs=fill(dict(inputs), variables, document.where("steps", name, "from")),
        options=fill(spec.options, variables, where),
        max_failure_ratio=spec.max_failure_ratio,
        round=number,
        where=where,
        budget=spec.budget,
    )


def _round(recipe: Recipe, document: Document, number: int, best: str) -> list[Asked]:
    flywheel = recipe.flywheel
    assert flywheel is not None
    variables = {**recipe.vars, "round": number}
    renamed = {name: f"{name}@{number}" for name in flywheel.repeat}
    steps = [
        _asked(recipe, document, name, variables, as_name=renamed[name], number=number)
        for name in flywheel.repeat
    ]
    return [_renamed(step, {**renamed, BEST: best}) for step in steps]


def _exam(recipe: Recipe, document: Document, part: str, model: str, tag: str) -> list[Asked]:
    flywheel = recipe.flywheel
    assert flywheel is not None
    return _instances(recipe, document, flywheel.exam, part, model, tag)


def _instances(
    recipe: Recipe, document: Document, names: Iterable[str], part: str, model: str, tag: str
) -> list[Asked]:
    variables = {**recipe.vars, "exam.part": part, "exam.model": model}
    renamed = {name: f"{name}@{tag}" for name in names}
    steps = [_asked(recipe, document, n, variables, as_name=renamed[n]) for n in renamed]
    return [_renamed(step, renamed) for step in steps]


def _promotion(flywheel: Flywheel, document: Document, number: int, best: str) -> Asked:
    exam = flywheel.exam[-1]
    return Asked(
        name=f"{BEST}@{number}",
        origin=BEST,
        use="flywheel.promote",
        inputs={"rows": f"{exam}@{number}-candidate", "best_rows": f"{exam}@{number}-best"},
        options={
            **flywheel.gate.model_dump(exclude={"part"}),
            "candidate": f"{flywheel.candidate}@{number}",
            "best": best,
        },
        max_failure_ratio=0.0,
        round=number,
        where=document.where("flywheel", "gate"),
    )


def _final(recipe: Recipe, flywheel: Flywheel, document: Document, best: str) -> list[Asked]:
    asked: list[Asked] = []
    models = {"base": flywheel.best, "best": best}
    for text in flywheel.final.text:
        for who, model in models.items():
            asked += _instances(recipe, document, [text], "", model, who)
        inputs = {"rows": f"{text}@best", "base": f"{text}@base"}
        asked.append(
            _comparison(
                document, name=f"verdict@{text}", use="evaluate.fluency", inputs=inputs, options={}
            )
        )
    for part in flywheel.final.parts:
        short = part.rpartition(".")[2]
        for who, model in models.items():
            asked += _exam(recipe, document, part, model, f"{short}-{who}")
        asked.append(_verdict(flywheel, document, short))
    return asked


def _verdict(flywheel: Flywheel, document: Document, short: str) -> Asked:
    exam = flywheel.exam[-1]
    return _comparison(
        document,
        name=f"verdict@{short}",
        use="evaluate.compare",
        inputs={"rows": f"{exam}@{short}-best", "base": f"{exam}@{short}-base"},
        options={"metric": flywheel.gate.metric, "by": flywheel.final.by},
    )


def _comparison(
    document: Document, *, name: str, use: str, inputs: dict[str, str], options: dict[str, Any]
) -> Asked:
    return Asked(
        name=name,
        origin="verdict",
        use=use,
        inputs=inputs,
        options=options,
        max_failure_ratio=0.0,
        round=None,
        where=document.where("flywheel", "final"),
    )


def _renamed(step: Asked, renamed: Mapping[str, str]) -> Asked:
    def rename(reference: str) -> str:
        name, dot, part = reference.partition(".")
        return f"{renamed.get(name, name)}{dot}{part}"

    inputs = {slot: rename(reference) for slot, reference in step.inputs.items()}
    options = dict(step.options)
    if isinstance(options.get("model"), str):
        options["model"] = renamed.get(options["model"], options["model"])
    several = options.get("models")
    if isinstance(several, list):
        several = {name: name for name in several if isinstance(name, str)}
    if isinstance(several, dict):
        options["models"] = {name: renamed.get(model, model) for name, model in several.items()}
    return replace(step, inputs=inputs, options=options)


def _check_names(recipe: Recipe, flywheel: Flywheel, document: Document) -> None:
    named = [("repeat", n) for n in flywheel.repeat] + [("exam", n) for n in flywheel.exam]
    named += [("final", n) for n in flywheel.final.text] + [("candidate", flywheel.candidate)]
    for option, name in named:
        if name not in recipe.steps:
            what = f"`flywheel.{option}` names the step {name!r}; {nearest(name, recipe.steps)}"
            where = document.where("flywheel", option)
            raise RecipeError(where, what, fix="name a step of this recipe")
    if flywheel.candidate not in flywheel.repeat:
        what = f"the candidate {flywheel.candidate!r} is not among `repeat` {list(flywheel.repeat)}"
        raise RecipeError(document.where("flywheel", "candidate"), what, fix="repeat it too")
    if flywheel.best not in recipe.models:
        known = nearest(flywheel.best, recipe.models)
        what = f"`flywheel.best` names the model {flywheel.best!r}; {known}"
        raise RecipeError(document.where("flywheel", "best"), what, fix="name one under `models:`")
