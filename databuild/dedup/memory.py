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


def most_mib(text_bytes: int, n_rows: int) -> int:
    """The peak, in MiB, where most rows are of one template, which nobody knows before.

    Then every row has up to 16 candidates in a band, which are sorted, compared and remembered.
    Measured above `expected_mib`: 39 MiB at 100 thousand rows, 364 at 1 million, 169 where the sets
    just fit into memory.

    Example:
        >>> most_mib(390_000_000, 1_000_000)
        1162
    """
    crowded = _CROWDED_MIB + round(_CROWDED_ROW * n_rows / 2**20)
    return expected_mib(text_bytes, n_rows) + crowded


def text_bytes_of(table: Parts, columns: tuple[str, ...]) -> int:
    """About how many bytes the texts of a table have, judged by its first part."""
    if not table.n_parts:
        return 0
    first = table.part(0, *columns)
    texts = [c for c in columns if first.schema.get(c) == pl.String]
    n_bytes = sum(int(first[c].str.len_bytes().sum()) for c in texts)
    return round(n_bytes * table.n_rows / max(1, first.height))
