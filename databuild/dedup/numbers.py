"""Columns as NumPy arrays of one width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_bytes_column(texts: pl.Series) -> NDArray[Any]:
    r"""Texts as UTF-8 of one width, padded with zero bytes; a null is empty.

    Example:
        >>> as_bytes_column(pl.Series(["a", None, "é"])).tolist()
        [b'a', b'', b'\xc3\xa9']
    """
    flat, ends = as_flat_bytes(texts)
    sizes = np.diff(ends, prepend=0)
    width = int(max(sizes.max(initial=0), 1))
    if (sizes == width).all():
        return flat.view(f"S{width}")
    out = np.zeros((len(sizes), width), np.uint8)
    out[np.arange(width) < sizes[:, None]] = flat
    return out.reshape(-1).view(f"S{width}")


def as_flat_bytes(texts: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Texts as UTF-8, one after the other, and where each ends; a null is empty.

    Example:
        >>> as_flat_bytes(pl.Series(["a", None, "bc"]))
        (array([97, 98, 99], dtype=uint8), array([1, 1, 3]))
    """
    filled = texts.fill_null("").rechunk()
    ends = np.cumsum(filled.str.len_bytes().to_numpy(), dtype=np.int64)
    arrow = filled.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, places, data = arrow.buffers()
    total = int(ends[-1]) if len(ends) else 0
    if data is None or not total:
        return np.zeros(0, np.uint8), ends
    start = int(np.frombuffer(places, np.int64)[arrow.offset])
    return np.frombuffer(data, np.uint8)[start : start + total], ends


def as_texts(values: NDArray[Any]) -> pl.Series:
    """The texts that `as_bytes_column` made bytes of; an empty one for a null.

    Example:
        >>> as_texts(as_bytes_column(pl.Series(["a", "é"]))).to_list()
        ['a', 'é']
    """
    import pyarrow as pa

    width = values.dtype.itemsize
    padded = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), width)
    is_used = padded != 0
    if is_used.all():
        ends, flat = np.arange(len(values) + 1, dtype=np.int64) * width, padded
    else:
        # Up to its last byte that is not zero, as NumPy reads it.
        sizes = np.where(is_used.any(1), width - is_used[:, ::-1].argmax(1), 0)
        ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        flat = padded[np.arange(width) < sizes[:, None]]
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(flat))]
    texts = pl.from_arrow(pa.LargeStringArray.from_buffers(len(values), *buffers[1:]))
    assert isinstance(texts, pl.Series)
    return texts


def as_order(values: pl.Series) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values that sort as the column does, and which of them are known (neither null nor NaN).

    Example:
        >>> as_order(pl.Series([True, None, False]))
        (array([1, 0, 0], dtype=uint8), array([ True, False,  True]))
    """
    dtype = values.dtype
    if dtype.is_float():
        values = values.fill_nan(None)
    known = values.is_not_null().to_numpy()
    if dtype == pl.Boolean:
        return values.fill_null(value=False).cast(pl.UInt8).to_numpy(), known
    if dtype.is_temporal():
        return values.to_physical().fill_null(0).to_numpy(), known
    if dtype.is_decimal() or dtype == pl.Null:
        return values.cast(pl.Float64).fill_null(0.0).to_numpy(), known
    if dtype.is_numeric():
        return values.fill_null(0).to_numpy(), known
    return as_bytes_column(values.cast(pl.String)), known
