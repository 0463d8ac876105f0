"""How much memory near-dedup will take: said before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from databuild.engine.parts import Parts

_START_MIB = 370
_CROWDED_MIB, _CROWDED_ROW = 128, 450
WORTH_SAYING = 100_000
"""Rows below which nobody asks."""


def expected_mib(text_bytes: int, n_rows: int) -> int:
    """The peak of the memory that the process will take, in MiB, as measured; it is no limit.

    Measured with one worker at 100 thousand rows (393 MiB) and 1 million (605): programs and one
    part; the sets that are compared at once; what is kept of each row.

    Example:
        >>> expected_mib(390_000_000, 1_000_000)
        605
    """
    return round(_START_MIB + (0.4 * text_bytes + 90 * n_rows) / 2**20)


def in_words(text_bytes: int, n_rows: int) -> str:
    """The expected peak, and what it may be where most rows are of one template.

    Nobody knows that before: then every row has up to 16 candidates in a band, which are sorted,
    compared and remembered. Measured: 39 MiB more at 100 thousand rows, 364 at 1 million, 169 where
    the sets just fit into memory.

    Example:
        >>> in_words(390_000_000, 1_000_000)
        'peak about 605 MiB, 1,162 at most if the rows are of one template'
    """
    expected = expected_mib(text_bytes, n_rows)
    most = expected + _CROWDED_MIB + round(_CROWDED_ROW * n_rows / 2**20)
    return f"peak about {expected:,} MiB, {most:,} at most if the rows are of one template"


def text_bytes_of(table: Parts, columns: tuple[str, ...]) -> int:
    """About how many bytes the texts of a table have, judged by its first part."""
    if not table.n_parts:
        return 0
    first = table.part(0, *columns)
    texts = [c for c in columns if first.schema.get(c) == pl.String]
    n_bytes = sum(int(first[c].str.len_bytes().sum()) for c in texts)
    return round(n_bytes * table.n_rows / max(1, first.height))
