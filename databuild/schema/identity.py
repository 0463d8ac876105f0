"""Who a row is: ids that depend on what a row says and where it came from, and on nothing else.

`content_id` is the XXH3-128 of the row's canonical content, `row_id` that of (content_id,
parent_ids,
occurrence among equals). So duplicates in one file, one row from two sources, and equal answers
among
K stay distinct, and neither row order nor shard layout matters. XXH3 is a published, frozen hash
(the xxHash specification, 0.8); Polars' own hash changes between versions and is never stored.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from xxhash import xxh3_64_intdigest, xxh3_128_digest, xxh3_128_hexdigest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

IDENTITY_VERSION = 1
_SEPARATOR = "\x1f"
_MASK = (1 << 128) - 1
_AT_ONCE = 512


def digest_text(*texts: str) -> str:
    """XXH3-128 of several texts, as 32 hexadecimal digits; the boundaries between them count."""
    return xxh3_128_hexdigest(_SEPARATOR.join(f"{len(text)}:{text}" for text in texts).encode())


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2**31) from a recipe's seed and whatever makes this draw its own."""
    return xxh3_64_intdigest(_SEPARATOR.join(map(str, parts)).encode()) & 0x7FFFFFFF


def derive_seeds(*parts: object, n: int) -> list[int]:
    """`derive_seed(*parts, i)` for every i below n, at a fraction of its cost.

    Example:
        >>> derive_seeds(7, "r1", n=2) == [derive_seed(7, "r1", 0), derive_seed(7, "r1", 1)]
        True
    """
    head = _SEPARATOR.join([*map(str, parts), ""]).encode()
    return [xxh3_64_intdigest(b"%b%d" % (head, i)) & 0x7FFFFFFF for i in range(n)]


def canonical(rows: pl.DataFrame, columns: Iterable[str], prefix: str = "") -> pl.Series:
    """One text per row, as UTF-8, that says its content: names in order, lengths, values; no nulls.

    A column that is null everywhere changes nothing, so a source that lacks it gives the same ids.
    Every text begins with `prefix`.
    """
    texts = _texts(rows, columns)
    if not texts.width or not texts.height:
        return pl.repeat(prefix.encode(), rows.height, dtype=pl.Binary, eager=True)
    full = [i for i, column in enumerate(texts) if not column.null_count()]
    if not full:
        each = [pl.concat_str(_merged(_piece(texts, i))) for i in range(texts.width)]
        joined = pl.concat_str(each, separator=_SEPARATOR, ignore_nulls=True).fill_null("")
        return texts.select(pl.concat_str(pl.lit(prefix), joined).cast(pl.Binary)).to_series()
    # What may be missing brings its own separator: after it before the first full column, else
    # before it. So one pass writes everything, and literals that meet are one.
    flat: list[str | pl.Expr] = [prefix]
    for i, column in enumerate(texts):
        before, after = (_SEPARATOR, "") if i > full[0] else ("", _SEPARATOR)
        if column.null_count():
            written = pl.concat_str(*_merged([before, *_piece(texts, i), after]))
            flat.append(written.fill_null(""))
        else:
            flat += [before if i > full[0] else "", *_piece(texts, i)]
    # Beside the columns, since literals alone would be one row.
    whole = pl.concat_str(_merged(flat)).cast(pl.Binary).alias("\0whole")
    return texts.with_columns(whole)["\0whole"].alias("")


def content_ids(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """`content_id` of every row: XXH3-128 of its canonical content, 32 hexadecimal digits."""
    texts = canonical(rows, columns, f"{IDENTITY_VERSION}{_SEPARATOR}")
    return _hashed("content_id", texts)


def row_ids(rows: pl.DataFrame, occurrence: pl.Series) -> pl.Series:
    """`row_id` of every row, from `content_id`, `parent_ids` and its number among equals."""
    numbers = _merged([_SEPARATOR, _parents(rows), _SEPARATOR, _number(occurrence)])
    keys = rows.select(pl.concat_str("content_id", *numbers).cast(pl.Binary)).to_series()
    return _hashed("row_id", keys)


def occurrences(rows: pl.DataFrame) -> pl.Series:
    """The number of each row among those before it with equal content and parents: 0, 1, 2 ..."""
    if rows["content_id"].n_unique() == rows.height:
        return pl.repeat(0, rows.height, dtype=pl.Int64, eager=True)
    equal = ["content_id", *_merged([_parents(rows)])]
    return rows.select(pl.int_range(pl.len()).over(equal)).to_series()


def digest_rows(rows: pl.DataFrame, columns: Iterable[str]) -> int:
    """A digest of a set of rows that ignores their order: the sum of row hashes modulo 2**128.

    Digests of shards add up to the digest of the table, whatever the shards were.
    """
    # One call into C per row: nothing columnar computes XXH3-128.
    hashed = b"".join(map(xxh3_128_digest, _each(canonical(rows, columns))))
    words_RW = np.frombuffer(hashed, dtype=">u4").reshape(-1, 4)
    sums = (int(total) for total in words_RW.sum(axis=0, dtype=np.uint64))
    return sum(total << shift for total, shift in zip(sums, (96, 64, 32, 0), strict=True)) & _MASK


def add_digests(digests: Iterable[int]) -> int:
    """The digest of tables together."""
    return sum(digests) & _MASK


def _hashed(name: str, texts: pl.Series) -> pl.Series:
    return pl.Series(name, list(map(xxh3_128_hexdigest, _each(texts))), dtype=pl.String)


def _each(texts: pl.Series) -> Iterator[bytes]:
    """Every text; a few at a time, so that they stay in the processor's cache."""
    slices = (texts.slice(start, _AT_ONCE) for start in range(0, len(texts), _AT_ONCE))
    return chain.from_iterable(map(pl.Series.to_list, slices))


def _parents(rows: pl.DataFrame) -> pl.Expr | str:
    """`parent_ids` as text; a source's rows have none."""
    n_most = rows["parent_ids"].list.len().max()
    return pl.col("parent_ids").list.join(",") if n_most else ""


def _number(occurrence: pl.Series) -> pl.Expr | str:
    least, most = occurrence.min(), occurrence.max()
    return str(most) if least == most else pl.lit(occurrence.cast(pl.String))


def _texts(rows: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
    """The columns as text, in the order of their names, without those that are null everywhere."""
    said = [name for name in sorted(columns) if rows[name].null_count() < rows.height]
    return rows.select(_as_text(pl.col(name), rows.schema[name]).alias(name) for name in said)


def _piece(texts: pl.DataFrame, index: int) -> list[str | pl.Expr]:
    """One column's part of the canonical text; what is the same in every row is a literal."""
    column = texts.to_series(index)
    sizes = column.str.len_bytes()
    least, most = sizes.min(), sizes.max()
    length = str(most) if least == most else pl.col(column.name).str.len_bytes().cast(pl.String)
    text: str | pl.Expr = pl.col(column.name)
    if least == most and not column.null_count() and bool((column == column[0]).all()):
        text = str(column[0])
    return [f"{column.name}=", length, ":", text]


def _merged(pieces: Iterable[str | pl.Expr]) -> list[pl.Expr]:
    """The pieces, with neighbouring literals as one."""
    found: list[str | pl.Expr] = []
    for piece in pieces:
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        elif not isinstance(piece, str) or piece:
            found.append(piece)
    return [pl.lit(piece) if isinstance(piece, str) else piece for piece in found]


def _as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.String:
        return column
    if dtype.is_nested():
        encoded = pl.struct(column.alias("v")).struct.json_encode()
        return pl.when(column.is_null()).then(None).otherwise(encoded)
    if dtype == pl.Binary:
        return column.bin.encode("hex")
    return column.cast(pl.String)
