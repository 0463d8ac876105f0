"""Parquet files as `datasets.load_dataset` reads them best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


def write_parquet(rows: pl.DataFrame, path: Path) -> None:
    """Write rows with 32-bit offsets: `datasets` makes other features of Polars' 64-bit ones.

    The bytes follow from the rows and their order alone.
    """
    from pyarrow import parquet

    parquet.write_table(as_arrow(rows), path)


def as_arrow(rows: pl.DataFrame) -> pa.Table:
    """Rows as the Arrow table that is written."""
    import pyarrow as pa

    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    schema = pa.schema([(field.name, _small(field.type)) for field in table.schema])
    return table.cast(schema)


def _small(dtype: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_struct(dtype):
        return pa.struct([(field.name, _small(field.type)) for field in dtype])
    if pa.types.is_large_list(dtype) or pa.types.is_list(dtype):
        return pa.list_(_small(dtype.value_type))
    return pa.string() if pa.types.is_large_string(dtype) else dtype
