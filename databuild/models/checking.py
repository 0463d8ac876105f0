"""Options and places of a recipe's models, checked before any of them is loaded or asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from databuild.errors import RecipeError, nearest
from databuild.models.embedder import HASHED
from databuild.models.endpoint import EndpointOptions
from databuild.models.fake import FakeOptions
from databuild.models.packaged import package_named
from databuild.models.vllm import VllmOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from databuild.recipe.bind import Node
    from databuild.recipe.model import ModelSpec, Recipe


def check_models(models: Mapping[str, ModelSpec], folder: Path, where: Callable[..., str]) -> None:
    """Check every model's options, and that a model folder is there; nothing is read or asked.

    Args:
        models: The recipe's models by name.
        folder: The recipe's folder.
        where: Says where in the recipe a path of keys stands, as `file:line`.

    Raises:
        RecipeError: An option is unknown or has a wrong value, a package is unknown, or a folder
            is missing.
    """
    for name, spec in models.items():
        if spec.fake is not None:
            _check_options(FakeOptions, spec.fake, where, ("models", name, "fake"))
        elif spec.endpoint is not None:
            given = {"url": spec.endpoint, **spec.options}
            _check_options(EndpointOptions, given, where, ("models", name, "options"))
        else:
            given = {"model": folder, **spec.options}
            _check_options(VllmOptions, given, where, ("models", name, "options"))
            _check_place(spec, folder, where("models", name))


def check_budgets(recipe: Recipe, nodes: Iterable[Node], where: Callable[..., str]) -> None:
    """Refuse a budget of cost that cannot be kept, since an endpoint's prices are not known.

    Raises:
        RecipeError: Names the model that has no prices.
    """
    whole = recipe.budget is not None and recipe.budget.cost is not None
    for node in nodes:
        if not (whole or (node.budget is not None and node.budget.cost is not None)):
            continue
        for name in node.models.values():
            spec = recipe.models.get(name)
            if spec is not None and spec.endpoint is not None and spec.prices is None:
                what = (
                    f"step {node.origin!r} has a budget of cost, and the model {name!r} no prices"
                )
                fix = "add `prices: {input: ..., output: ...}` (per million tokens) to the model"
                raise RecipeError(where("models", name), what, fix=fix)


def _check_options(
    options: type[BaseModel],
    given: Mapping[str, object],
    where: Callable[..., str],
    path: tuple[str, ...],
) -> None:
    try:
        options.model_validate(dict(given))
    except ValidationError as error:
        faults = error.errors(include_url=False)
        fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
        option = ".".join(map(str, fault["loc"])) or "options"
        place = where(*path, *map(str, fault["loc"][:1]))
        if fault["type"] == "extra_forbidden":
            what = f"the model has no option {option!r}; {nearest(option, options.model_fields)}"
            raise RecipeError(place, what, fix="correct the name") from error
        what = f"model option {option!r}: {fault['msg']}, given {fault['input']!r}"
        raise RecipeError(place, what, fix="correct the value") from error


def _check_place(spec: ModelSpec, folder: Path, where: str) -> None:
    if spec.path is not None and not (folder / spec.path).is_dir():
        what = f"the model folder {spec.path!r} does not exist"
        raise RecipeError(where, what, fix="correct `path`; it is relative to the recipe")
    if spec.packaged is not None and spec.packaged != HASHED:
        package_named(spec.packaged, where)
