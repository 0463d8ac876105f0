"""What the options of a step may be: a frozen model, with marks on the values that name something.

A mark tells the checker what an option points to, so that a typo is found before anything runs:
`Column` names a column of the step's inputs, `ModelRef` a model, `ModelNames` several, `Paths`
files beside the recipe, `InputName` one of the step's inputs. `Place` and `Outside` say where
something lies whose content the step's `outside` puts into its key: the words are in no key. The
keys of a mapping may be marked like the items of a tuple.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Mark:
    """What the text of an option refers to: a `column`, `model`, `path`, `input`, `place` ...

    `of` says which inputs have a column: `all`, the `first`, or the `others`.
    """

    refers_to: str
    of: Literal["all", "first", "others"] = "all"


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Column = Annotated[str, Mark("column")]
FirstColumn = Annotated[str, Mark("column", of="first")]
"""A column that only the primary input must have."""
OtherColumn = Annotated[str, Mark("column", of="others")]
"""A column that every input but the primary one must have."""
InputName = Annotated[str, Mark("input")]
"""The name of one of the step's inputs, as under `from:`."""
ModelRef = Annotated[str, Mark("model")]
Place = Annotated[str, Mark("place")]
"""A folder, relative to the recipe's, or a URL."""
Outside = Annotated[str, Mark("outside")]
"""A name of something there."""


def _as_named(value: object) -> object:
    if isinstance(value, str):
        return {value: value}
    return {name: name for name in value} if isinstance(value, list | tuple) else value


_NAMED = WithJsonSchema(
    {
        "anyOf": [
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "array", "items": {"type": "string"}},
        ]
    }
)
ModelNames = Annotated[dict[str, str], BeforeValidator(_as_named), _NAMED, Mark("models")]
"""Several models, each by a name of the recipe's choice; those of a list keep their own."""
_ONE_OR_SEVERAL = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
)
Paths = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), _ONE_OR_SEVERAL, Mark("path")]
"""One path or glob, or several, relative to the recipe's folder."""
Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), _ONE_OR_SEVERAL]
"""One name, or several."""
Columns = Annotated[tuple[Column, ...], BeforeValidator(_as_tuple), _ONE_OR_SEVERAL]
"""One column, or several."""
FirstColumns = Annotated[tuple[FirstColumn, ...], BeforeValidator(_as_tuple), _ONE_OR_SEVERAL]
"""One column, or several, that only the primary input must have."""
OtherColumns = Annotated[tuple[OtherColumn, ...], BeforeValidator(_as_tuple), _ONE_OR_SEVERAL]
"""One column, or several, that every input but the primary one must have."""


class StepConfig(BaseModel):
    """The options of one step. Unknown options are refused; options never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def marked(
    config: StepConfig, refers_to: str, *, of: tuple[str, ...] = ("all", "first", "others")
) -> Iterator[tuple[str, str]]:
    """Yield (option, text) for every option of `config` with a mark `refers_to` for inputs `of`."""
    for option, field in type(config).model_fields.items():
        metadata = [*field.metadata, *_nested_marks(field.annotation)]
        marks = [mark for mark in metadata if isinstance(mark, Mark)]
        if not any(mark.refers_to == refers_to and mark.of in of for mark in marks):
            continue
        value = getattr(config, option, None)
        for text in value if isinstance(value, tuple | dict) else (value,):
            if text is not None:
                yield option, text


def named_models(config: StepConfig) -> dict[str, str]:
    """The models that the options name: by option, or of several by `<option>.<name>`.

    Example:
        >>> class Both(StepConfig):
        ...     model: ModelRef | None = None
        ...     models: ModelNames = {}
        >>> named_models(Both(model="best", models=["start", "sft"]))
        {'model': 'best', 'models.start': 'start', 'models.sft': 'sft'}
    """
    found = dict(marked(config, "model"))
    for option, field in type(config).model_fields.items():
        if any(isinstance(mark, Mark) and mark.refers_to == "models" for mark in field.metadata):
            # Before it is validated, a list is still a list.
            several = _as_named(getattr(config, option, None))
            if isinstance(several, dict):
                found |= {f"{option}.{name}": model for name, model in several.items()}
    return found


def _nested_marks(annotation: object) -> Iterator[object]:
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from _nested_marks(inner)
