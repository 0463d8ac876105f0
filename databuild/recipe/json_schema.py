"""The JSON Schema of recipes, so that an editor completes and checks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.recipe.model import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databuild.recipe.step_type import StepType

_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_.]*\}"}


def recipe_schema(steps: Mapping[str, StepType]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a recipe that may use `steps`; every value may be a variable."""
    schema = Recipe.model_json_schema()
    definitions = schema["$defs"]
    definitions.pop("StepSpec")
    one_of = []
    for name, step in sorted(steps.items()):
        one_of.append({"$ref": f"#/$defs/{name}"})
        definitions[name] = _step_schema(name, step, definitions)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "databuild recipe"
    schema["properties"]["steps"]["additionalProperties"] = {"oneOf": one_of}
    schema["properties"]["steps"].pop("patternProperties", None)
    models = schema["properties"]["models"]
    for values in [*models.get("patternProperties", {}).values()]:
        values.update({"anyOf": [{"type": "string"}, {"$ref": values.pop("$ref")}]})
    return schema


def _step_schema(name: str, step: StepType, definitions: dict[str, Any]) -> dict[str, Any]:
    config = step.config.model_json_schema()
    definitions.update(config.pop("$defs", {}))
    options = config.get("properties", {})
    source: dict[str, Any] = {"type": "string"}
    if len(step.inputs) > 1 or step.is_open:
        named = {slot: {"type": "string"} for slot in step.inputs}
        others = {"type": "string"} if step.is_open else False
        source = {
            "anyOf": [
                source,
                {"type": "object", "properties": named, "additionalProperties": others},
            ]
        }
    own: dict[str, Any] = {"use": {"const": name}}
    if step.inputs:
        own["from"] = {
            "description": "The step, or step.part, that it takes its rows from.",
            **source,
        }
    own["budget"] = {"$ref": "#/$defs/Budget"}
    own["max_failure_ratio"] = {"type": "number", "minimum": 0, "maximum": 1, "default": 0.1}
    required = ["use", *(["from"] if step.inputs else []), *config.get("required", [])]
    return {
        "type": "object",
        "description": config.get("description", ""),
        "properties": {**own, **{option: _or_variable(value) for option, value in options.items()}},
        "required": required,
        "additionalProperties": False,
    }


def _or_variable(value: dict[str, Any]) -> dict[str, Any]:
    told = ("description", "default", "title")
    about: dict[str, Any] = {key: value[key] for key in told if key in value}
    bare = {key: inner for key, inner in value.items() if key not in about}
    return {**about, "anyOf": [bare, _VARIABLE]}
