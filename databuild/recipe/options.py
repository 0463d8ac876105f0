"""What the options of a step may be: a frozen model, with marks on the values that name something.

A mark tells the checker what an option points to, so that a typo is found before anything runs:
`Column` names a column of the step's inputs, `ModelRef` a model, `Paths` files beside the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Mark:
    """Says what the text of an option refers to: a `column`, a `model` or a file `path`."""

    refers_to: str


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Column = Annotated[str, Mark("column")]
ModelRef = Annotated[str, Mark("model")]
_ONE_OR_SEVERAL = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
)
Paths = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), _ONE_OR_SEVERAL, Mark("path")]
"""One path or glob, or several, relative to the recipe's folder."""
Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), _ONE_OR_SEVERAL]
"""One name, or several."""
Columns = Annotated[tuple[Column, ...], BeforeValidator(_as_tuple), _ONE_OR_SEVERAL]
"""One column, or several."""


class StepConfig(BaseModel):
    """The options of one step. Unknown options are refused; options never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def marked(config: StepConfig, refers_to: str) -> Iterator[tuple[str, str]]:
    """Yield (option, text) for every option of `config` that carries the mark `refers_to`."""
    for option, field in type(config).model_fields.items():
        metadata = [*field.metadata, *_nested_marks(field.annotation)]
        if not any(isinstance(mark, Mark) and mark.refers_to == refers_to for mark in metadata):
            continue
        value = getattr(config, option, None)
        for text in value if isinstance(value, tuple) else (value,):
            if text is not None:
                yield option, text


def _nested_marks(annotation: object) -> Iterator[object]:
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from _nested_marks(inner)
