"""Put back what `fix.mask` replaced: for a person who has the secret, never in a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from databuild.errors import SchemaError, nearest
from databuild.fix.mask import MAPPING
from databuild.text.masking import unmasked
from databuild.text.nested import CONTENT_AND_MORE, Texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databuild.text.masking import Swap
    from databuild.text.sealing import Seal


def unmask_rows(rows: pl.DataFrame, seal: Seal, also: Sequence[str] = ()) -> pl.DataFrame:
    """Restore the texts of masked rows.

    A column that was masked gets its own values back; a column of `also`, such as an answer that
    was made from a masked prompt, gets the values of the stand-ins that occur in it.

    Args:
        rows: Rows with the column `pii_mapping` that `fix.mask` made.
        seal: Opens the mappings.
        also: Columns that were not masked and may hold stand-ins.

    Returns:
        The rows, in order, without `pii_mapping`.

    Raises:
        SchemaError: There is no column `pii_mapping`, or one of `also`.
        StepError: A mapping was sealed with another secret.

    Example:
        >>> from databuild.text.sealing import Seal
        >>> seal = Seal("correct horse battery staple, or longer")
        >>> sealed = seal.close({"prompt": [("[EMAIL]", "ann@post.org")]}, "a")
        >>> rows = pl.DataFrame({"prompt": ["Dear [EMAIL]"], "pii_mapping": [sealed]})
        >>> unmask_rows(rows, seal)["prompt"].to_list()
        ['Dear ann@post.org']
    """
    for name in (MAPPING, *also):
        if name not in rows.columns:
            what = f"there is no column {name!r}; {nearest(name, rows.columns)}"
            fix = "name a table that fix.mask made with `mapping_key_env`, and columns of it"
            raise SchemaError("unmask", what, fix=fix)
    opened = [
        [seal.open(part) for part in text.split(".")] if text else [] for text in rows[MAPPING]
    ]
    masked = dict.fromkeys(name for row in opened for layer in row for name in layer)
    made = rows.drop(MAPPING)
    for name in masked:
        if name in made.columns:
            own = [[layer.get(name, []) for layer in row] for row in opened]
            made = made.with_columns(_restored(made[name], own))
    for name in also:
        every = [
            [[swap for swaps in layer.values() for swap in swaps] for layer in row]
            for row in opened
        ]
        made = made.with_columns(_restored(made[name], every))
    return made


def _restored(column: pl.Series, layers: list[list[list[Swap]]]) -> pl.Series:
    """A column with the swaps of each row undone, those of the last masking first."""
    held = Texts(column, CONTENT_AND_MORE, "unmask")
    places: dict[int, list[int]] = {}
    for place, row in enumerate(held.rows.tolist()):
        if any(layers[row]):
            places.setdefault(row, []).append(place)
    texts = held.texts.to_list()
    for row, mine in places.items():
        for swaps in reversed(layers[row]):
            for place, text in zip(mine, unmasked([texts[p] for p in mine], swaps), strict=True):
                texts[place] = text
    return held.put(pl.Series(texts, dtype=pl.String))
