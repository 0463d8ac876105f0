"""fix.html: HTML becomes text."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import polars as pl
from pydantic import Field

from databuild.engine.step import Produced, step
from databuild.errors import StepError
from databuild.fix.record import fixed
from databuild.fix.talks import talk_columns
from databuild.recipe.options import Columns, StepConfig
from databuild.text.html_text import PREFILTER, html_to_text

if TYPE_CHECKING:
    from collections.abc import Mapping


class HtmlConfig(StepConfig):
    """Options of `fix.html`."""

    columns: Columns = Field(default=("prompt",), min_length=1)
    """The columns of texts or messages to turn into text."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one: their turns follow, those of users,
    systems and tools where `prompt` is fixed, the assistant's where `response` is (`fix.talks`).
    Null (`~`) leaves it as it is."""


@step(
    "fix.html",
    kind="produce",
    sees="row",
    version=2,
    also=lambda config: talk_columns(config.columns, config.messages),
    adds=lambda config: (*config.columns, "fixes"),
    attributes=("fixes",),
    carries=True,
)
def turn_html_to_text(rows: pl.DataFrame, config: HtmlConfig) -> Produced:
    """Turn HTML into readable text, and entities into characters, by `text.html_text`.

    A text that is not HTML and has no entity comes through byte for byte, as does Markdown's code.

    Args:
        rows: n rows with `row_id` and the columns of `config.columns`.
        config: See `HtmlConfig`.

    Returns:
        n rows, in order, one parent each. `fixes` notes `html`, 1 for a changed text.

    Raises:
        StepError: The package selectolax is not installed.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["<p>Fish &amp; <b>chips</b></p>"]})
        >>> turn_html_to_text(rows, HtmlConfig()).rows["prompt"].to_list()
        ['Fish & chips']
    """
    if find_spec("selectolax") is None:
        what = "it needs the package selectolax, which is not installed"
        raise StepError("fix.html", what, fix="uv add 'databuild[privacy]'")

    def change(texts: pl.Series) -> tuple[pl.Series, Mapping[str, pl.Series]]:
        suspect = texts.str.contains(PREFILTER).fill_null(value=False).arg_true()
        made = pl.Series([html_to_text(text) for text in texts.gather(suspect)], dtype=pl.String)
        changed = texts.clone().scatter(suspect, made)
        return changed, {"html": (changed != texts).fill_null(value=False)}

    return fixed(rows, config.columns, change, "fix.html", config.messages)
