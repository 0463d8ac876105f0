"""fix.normalize: one Unicode form, nothing invisible, and tidy white space, outside code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import polars as pl

from databuild.fix.record import InPlaceConfig, fixed, in_place
from databuild.text.code import ends_in_code, outside_code
from databuild.text.glyphs import narrow, plain_quotes, visible
from databuild.text.whitespace import tidied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from databuild.engine.step import Produced

# A character that goes may leave a fence behind, and what is code is then another question.
_MAX_PASSES = 8


class NormalizeConfig(InPlaceConfig):
    """Options of `fix.normalize`."""

    invisible: Literal["remove", "keep"] = "remove"
    """What happens to control, zero-width and bidirectional characters; see
    `text.characters.visible`."""
    full_width: Literal["narrow", "keep"] = "keep"
    """Whether full-width letters, digits and signs become ASCII; see `text.characters.narrow`."""
    quotes: Literal["plain", "keep"] = "keep"
    """Whether curly quotation marks and apostrophes become straight ones."""


@in_place("fix.normalize", version=3)
def normalize_text(rows: pl.DataFrame, config: NormalizeConfig) -> Produced:
    """Bring texts to Unicode NFC (UAX #15), visible characters and tidy white space.

    Code blocks (`text.code.outside_code`) come through byte for byte. Elsewhere, in this order:
    invisible characters, full width, quotes, NFC, white space (`text.whitespace.tidied`). White
    space at the two ends of the whole text goes. A null text stays null.

    Args:
        rows: n rows with `row_id` and the columns of `config.columns`.
        config: See `NormalizeConfig`.

    Returns:
        n rows, in order, each with the row that it came from as its only parent. `fixes` notes
        `invisible`, `full_width`, `quotes`, `nfc` and `white_space`, each 1 for a changed text.

    Raises:
        SchemaError: A column holds no texts.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": [" Hi   y\u200bou "]})
        >>> made = normalize_text(rows, NormalizeConfig()).rows
        >>> made["prompt"].to_list(), [note["fix"] for note in made["fixes"][0]]
        (['Hi you'], ['invisible', 'white_space'])
    """
    stages = _stages(config)

    def change(texts: pl.Series) -> tuple[pl.Series, Mapping[str, pl.Series]]:
        made, counts = _passed(texts, stages)
        for _ in range(_MAX_PASSES):
            changed = (made != texts).fill_null(value=False).arg_true()
            if changed.is_empty():
                break
            texts = made
            again, more = _passed(made.gather(changed), stages)
            made = made.clone().scatter(changed, again)
            for name, was in counts.items():
                counts[name] = was.scatter(changed, was.gather(changed) | more[name])
        return made, counts

    return fixed(rows, config.columns, change, "fix.normalize", config.messages)


def _passed(
    texts: pl.Series, stages: Mapping[str, Callable[[pl.Series], pl.Series]]
) -> tuple[pl.Series, dict[str, pl.Series]]:
    """Every stage once, and which texts each has changed."""
    counts = {}
    for name, stage in stages.items():
        made = outside_code(texts, stage)
        if name == "white_space":
            made = made.to_frame("t").select(_stripped(pl.col("t"))).to_series()
        counts[name] = (made != texts).fill_null(value=False)
        texts = made
    return texts, counts


def _stripped(text: pl.Expr) -> pl.Expr:
    bare = text.str.strip_chars_start()
    return pl.when(ends_in_code(bare)).then(bare).otherwise(bare.str.strip_chars_end())


def _stages(config: NormalizeConfig) -> dict[str, Callable[[pl.Series], pl.Series]]:
    stages = {
        "invisible": _on_series(visible) if config.invisible == "remove" else None,
        "full_width": narrow if config.full_width == "narrow" else None,
        "quotes": _on_series(plain_quotes) if config.quotes == "plain" else None,
        "nfc": _on_series(lambda text: text.str.normalize("NFC")),
        "white_space": _on_series(tidied),
    }
    return {name: stage for name, stage in stages.items() if stage is not None}


def _on_series(stage: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Series], pl.Series]:
    return lambda texts: texts.to_frame("t").select(stage(pl.col("t"))).to_series()
