"""Who a row is: ids that depend on what a row says and where it came from, and on nothing else.

`content_id` is the XXH3-128 of the row's canonical content, `row_id` that of (content_id,
parent_ids,
occurrence among equals). So duplicates in one file, one row from two sources, and equal answers
among
K stay distinct, and neither row order nor shard layout matters. XXH3 is a published, frozen hash
(the xxHash specification, 0.8); Polars' own hash changes between versions and is never stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from xxhash import xxh3_64_intdigest, xxh3_128_digest, xxh3_128_hexdigest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IDENTITY_VERSION = 1
_SEPARATOR = "\x1f"
_MASK = (1 << 128) - 1


def digest_text(*texts: str) -> str:
    """XXH3-128 of several texts, as 32 hexadecimal digits; the boundaries between them count."""
    return xxh3_128_hexdigest(_SEPARATOR.join(f"{len(text)}:{text}" for text in texts).encode())


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2**31) from a recipe's seed and whatever makes this draw its own."""
    return xxh3_64_intdigest(_SEPARATOR.join(map(str, parts)).encode()) & 0x7FFFFFFF


def canonical(rows: pl.DataFrame, columns: Iterable[str]) -> pl.Series:
    """One text per row, as UTF-8, that says its content: names in order, lengths, values; no nulls.

    A column that is null everywhere changes nothing, so a source that lacks it gives the same ids.
    """
    pieces = []
    for column in sorted(columns):
        text = _as_text(pl.col(column), rows.schema[column])
        length = text.str.len_bytes().cast(pl.String)
        pieces.append(pl.concat_str([pl.lit(f"{column}="), length, pl.lit(":"), text]))
    if not pieces:
        return pl.repeat(b"", rows.height, dtype=pl.Binary, eager=True)
    joined = pl.concat_str(pieces, separator=_SEPARATOR, ignore_nulls=True)
    return rows.select(joined.fill_null("").cast(pl.Binary)).to_series()


def content_ids(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """`content_id` of every row: XXH3-128 of its canonical content, 32 hexadecimal digits."""
    prefix = f"{IDENTITY_VERSION}{_SEPARATOR}".encode()
    ids = [xxh3_128_hexdigest(prefix + text) for text in canonical(rows, columns)]
    return pl.Series("content_id", ids, dtype=pl.String)


def row_ids(rows: pl.DataFrame, occurrence: pl.Series) -> pl.Series:
    """`row_id` of every row, from `content_id`, `parent_ids` and its number among equals."""
    keys = rows.select(
        pl.concat_str(
            pl.col("content_id"), pl.col("parent_ids").list.join(","), occurrence.cast(pl.String),
            separator=_SEPARATOR,
        )
    ).to_series().cast(pl.Binary)  # fmt: skip
    return pl.Series("row_id", [xxh3_128_hexdigest(key) for key in keys], dtype=pl.String)


def occurrences(rows: pl.DataFrame) -> pl.Series:
    """The number of each row among those before it with equal content and parents: 0, 1, 2 ..."""
    equal = [pl.col("content_id"), pl.col("parent_ids").list.join(",")]
    return rows.select(pl.int_range(pl.len()).over(equal)).to_series()


def digest_rows(rows: pl.DataFrame, columns: Iterable[str]) -> int:
    """A digest of a set of rows that ignores their order: the sum of row hashes modulo 2**128.

    Digests of shards add up to the digest of the table, whatever the shards were.
    """
    from_bytes = int.from_bytes
    texts = canonical(rows, columns)
    return sum(from_bytes(xxh3_128_digest(text), "big") for text in texts) & _MASK


def add_digests(digests: Iterable[int]) -> int:
    """The digest of tables together."""
    return sum(digests) & _MASK


def _as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.String:
        return column
    if dtype.is_nested():
        encoded = pl.struct(column.alias("v")).struct.json_encode()
        return pl.when(column.is_null()).then(None).otherwise(encoded)
    if dtype == pl.Binary:
        return column.bin.encode("hex")
    return column.cast(pl.String)
