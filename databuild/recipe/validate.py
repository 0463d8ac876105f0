"""From a document to a recipe: types, ranges and unknown fields, each error with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from databuild.errors import RecipeError, nearest
from databuild.recipe.load import fill
from databuild.recipe.model import Budget, Final, Flywheel, Gate, ModelSpec, Recipe

if TYPE_CHECKING:
    from databuild.recipe.load import Document

_MODELS: dict[str, type[BaseModel]] = {
    "flywheel": Flywheel,
    "flywheel.gate": Gate,
    "flywheel.final": Final,
    "models": ModelSpec,
    "budget": Budget,
}


def as_recipe(document: Document) -> Recipe:
    """Check the shape of a document; variables are filled in outside of `steps`.

    Raises:
        RecipeError: A field is unknown, missing, or has a wrong value.
    """
    data = dict(document.data)
    variables = data.get("vars") or {}
    for section in ("models", "flywheel"):
        if section in data:
            data[section] = fill(data[section], variables, document.where(section))
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise _explain(document, likeliest(error)) from error


def likeliest(error: ValidationError) -> Any:
    """The fault to tell of: a name that is not there explains the one that is missing."""
    faults = error.errors(include_url=False)
    return next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])


def _explain(document: Document, fault: Any) -> RecipeError:
    path = [part for part in fault["loc"] if not str(part).startswith("function-")]
    where = document.where(*path)
    name = ".".join(map(str, path))
    if fault["type"] == "extra_forbidden":
        inside = ".".join(map(str, path[:-1]))
        section = "models" if path[0] == "models" else inside
        known = _MODELS.get(section, Recipe).model_fields
        what = f"a recipe has no field {name!r}; {nearest(str(path[-1]), known)}"
        return RecipeError(where, what, fix="correct the name")
    if fault["type"] == "missing":
        return RecipeError(where, f"{name!r} is missing", fix=f"add `{path[-1]}:`")
    message = fault["msg"].removeprefix("Value error, ")
    what = f"{name!r}: {message[0].lower()}{message[1:]}, given {_short(fault['input'])}"
    return RecipeError(where, what, fix="correct the value")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."
