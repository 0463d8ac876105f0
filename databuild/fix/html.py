"""fix.html: HTML becomes text."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import polars as pl

from databuild.errors import StepError
from databuild.fix.record import InPlaceConfig, fixed, in_place
from databuild.text.html_text import PREFILTER, html_to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databuild.engine.step import Produced


class HtmlConfig(InPlaceConfig):
    """Options of `fix.html`."""


@in_place("fix.html", version=2)
def turn_html_to_text(rows: pl.DataFrame, config: HtmlConfig) -> Produced:
    """Turn HTML into readable text, and entities into characters, by `text.html_text`.

    A text that is not HTML and has no entity comes through byte for byte, as does Markdown's code.

    Args:
        rows: n rows with `row_id` and the columns of `config.columns`.
        config: See `HtmlConfig`.

    Returns:
        n rows, in order, one parent each. `fixes` notes `html`, 1 for a changed text.

    Raises:
        StepError: The package resiliparse is not installed.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["<p>Fish &amp; <b>chips</b></p>"]})
        >>> turn_html_to_text(rows, HtmlConfig()).rows["prompt"].to_list()
        ['Fish & chips']
    """
    if find_spec("resiliparse") is None:
        what = "it needs the package resiliparse, which is not installed"
        raise StepError("fix.html", what, fix="uv add 'databuild[fix]'")

    def change(texts: pl.Series) -> tuple[pl.Series, Mapping[str, pl.Series]]:
        suspect = texts.str.contains(PREFILTER).fill_null(value=False).arg_true()
        made = pl.Series([html_to_text(text) for text in texts.gather(suspect)], dtype=pl.String)
        changed = texts.clone().scatter(suspect, made)
        return changed, {"html": (changed != texts).fill_null(value=False)}

    return fixed(rows, config.columns, change, "fix.html", config.messages)
