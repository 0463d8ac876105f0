"""Parquet and Arrow files: row groups and batches as frames, with types that tables here can hold.

Kept as they are: booleans, numbers, decimals of up to 38 digits, texts, bytes, dates and times, and
lists and structs of those. A dictionary becomes its values, a map a list of {key, value}, bytes
within lists or structs Base64 text, a duration its count of units; every other type (longer
decimals, intervals, unions) becomes text. NaN is missing. A file that is packed once more (gzip,
Zstandard, zip) is unpacked to a temporary file (`ingest.spool`), to look at it and to read it.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.ingest.lines import CHUNK_BYTES
from databuild.ingest.spool import on_disk
from databuild.ingest.streams import TornError, is_packed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

PIECE_ROWS = 65_536
MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}


def schema_of(path: Path, form: str) -> pa.Schema:
    """The columns of a file, with the types that they will have.

    Raises:
        TornError: It is no such file, or not a whole one.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = parquet.read_schema(path) if form == "parquet" else _open(path).schema
    except (OSError, pa.ArrowException) as error:
        msg = f"truncated or broken {form}: {str(error).splitlines()[0]}"
        raise TornError(msg) from None
    return pa.schema([(field.name, kept_type(field.type)) for field in found])


def as_text(schema: pa.Schema) -> str:
    """A schema as text, for a plan."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def empty_frame(text: str) -> pl.DataFrame:
    """The frame without rows of a schema `as_text`."""
    import pyarrow as pa

    schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(text)))
    return to_frame(schema.empty_table())[0]


def row_groups(path: Path) -> list[tuple[int, int]]:
    """Rows and unpacked bytes of each row group of a Parquet file."""
    from pyarrow import parquet

    metadata = parquet.read_metadata(path)
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    return [(group.num_rows, group.total_byte_size) for group in groups]


def read_tables(split: Mapping[str, Any]) -> Iterator[pa.Table]:
    """Yield the rows of a split, about 16 MiB and at most 65,536 of them at a time.

    Raises:
        TornError: The file is damaged; the rows before were yielded.
    """
    import pyarrow as pa

    path, member = Path(split["file"]), split.get("member")
    groups = split.get("groups") if member is None and not is_packed(path) else None
    try:
        with on_disk(path, member) as file:
            yield from _parquet(file, groups) if split["format"] == "parquet" else _arrow(file)
    except (OSError, pa.ArrowException) as error:
        msg = f"truncated or broken {split['format']}: {str(error).splitlines()[0]}"
        raise TornError(msg) from None


def sound_rows(table: pa.Table) -> tuple[pa.Table, list[int]]:
    """The rows whose texts are UTF-8, and the numbers of the others."""
    import pyarrow as pa

    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        bad = [i for i in range(table.num_rows) if not _is_sound(table.slice(i, 1))]
        return table.filter(pa.array([i not in set(bad) for i in range(table.num_rows)])), bad
    return table, []


def to_frame(table: pa.Table) -> tuple[pl.DataFrame, int]:
    """The rows as a frame, and how many numbers were NaN.

    Example:
        >>> import pyarrow as pa
        >>> column = pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8()))
        >>> to_frame(pa.table({"m": column}))[0]["m"].to_list()
        [[{'key': 'k', 'value': 1}]]
    """
    import pyarrow as pa

    columns = {name: kept(table[name]) for name in table.column_names}
    frame = pl.from_arrow(pa.table(columns))
    assert isinstance(frame, pl.DataFrame)
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    n_nan = sum(int(frame[name].is_nan().sum()) for name in floats)
    return (frame.with_columns(pl.col(floats).fill_nan(None)) if n_nan else frame), n_nan


def kept_type(  # noqa: PLR0911 -- one return for each kind of type
    found: pa.DataType, *, nested: bool = False
) -> pa.DataType:
    """The type that a column of this type is given."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(found) or types.is_run_end_encoded(found):
        return kept_type(found.value_type, nested=nested)
    if types.is_map(found):
        pair = [("key", kept_type(found.key_type, nested=True)),
                ("value", kept_type(found.item_type, nested=True))]  # fmt: skip
        return pa.list_(pa.struct(pair))
    if types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found):
        return pa.list_(kept_type(found.value_type, nested=True))
    if types.is_struct(found) and found.num_fields:
        fields = (found.field(i) for i in range(found.num_fields))
        return pa.struct([(f.name, kept_type(f.type, nested=True)) for f in fields])
    if types.is_duration(found):
        return pa.int64()
    if isinstance(found, pa.BaseExtensionType):
        return kept_type(found.storage_type, nested=nested)
    plain = (
        types.is_boolean(found), types.is_integer(found), types.is_floating(found),
        types.is_date(found), types.is_time(found), types.is_timestamp(found),
        types.is_null(found), types.is_decimal(found) and found.bit_width <= 128,
        _is_binary(found) and not nested,
    )  # fmt: skip
    return found if any(plain) else pa.string()


def kept(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in the type that it is given."""
    import pyarrow as pa

    target = kept_type(column.type)
    if target == column.type:
        return column
    if not _holds_oddities(column.type):
        return column.cast(target)
    values = [plain(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array([_fitting(v, target) for v in values], target)])


def plain(value: Any) -> Any:
    """A value of Python as the types above say it: bytes within as Base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _fitting(value: Any, target: pa.DataType) -> Any:
    from pyarrow import types

    if value is None:
        return None
    if types.is_list(target):
        if types.is_struct(target.value_type) and value and isinstance(value[0], list):
            value = [dict(zip(("key", "value"), pair, strict=True)) for pair in value]
        return [_fitting(item, target.value_type) for item in value]
    if types.is_struct(target):
        fields = (target.field(i) for i in range(target.num_fields))
        return {f.name: _fitting(value[f.name], f.type) for f in fields}
    if types.is_string(target):
        return str(value)
    if types.is_int64(target) and hasattr(value, "total_seconds"):
        return round(value.total_seconds() * 1_000_000)
    return value


def _holds_oddities(found: pa.DataType) -> bool:
    """Whether Arrow's own cast cannot make the type that is kept."""
    from pyarrow import types

    inner = (
        [found.field(i).type for i in range(found.num_fields)] if not types.is_map(found) else []
    )
    is_odd = (
        types.is_map(found) or types.is_union(found) or types.is_interval(found)
        or (types.is_struct(found) and not found.num_fields)
        or types.is_duration(found)
    )  # fmt: skip
    return is_odd or any(_is_binary(t) or _holds_oddities(t) for t in inner)


def _is_binary(found: pa.DataType) -> bool:
    from pyarrow import types

    return bool(
        types.is_binary(found) or types.is_large_binary(found) or types.is_fixed_size_binary(found)
        or types.is_binary_view(found)
    )  # fmt: skip


def _is_sound(table: pa.Table) -> bool:
    import pyarrow as pa

    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _parquet(path: Path, among: Sequence[int] | None) -> Iterator[pa.Table]:
    """The rows of some row groups, or of all."""
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(path, pre_buffer=False) as file:
        groups = range(*(among or (file.num_row_groups,)))
        n_rows = sum(file.metadata.row_group(i).num_rows for i in groups)
        n_bytes = sum(file.metadata.row_group(i).total_byte_size for i in groups)
        size = max(1, min(PIECE_ROWS, CHUNK_BYTES * n_rows // max(n_bytes, 1)))
        for batch in file.iter_batches(size, row_groups=list(groups), use_threads=False):
            yield pa.Table.from_batches([batch])


def _arrow(path: Path) -> Iterator[pa.Table]:
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    reader = _open(path)
    for batch in _batches(reader):
        size = max(1, min(PIECE_ROWS, CHUNK_BYTES * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, size):
            held.append(batch.slice(start, size))
            if (
                sum(b.num_rows for b in held) >= PIECE_ROWS
                or sum(b.nbytes for b in held) >= CHUNK_BYTES
            ):
                yield pa.Table.from_batches(held)
                held = []
    if held:
        yield pa.Table.from_batches(held)


def _open(path: Any) -> Any:
    """A reader of an Arrow file, or of an Arrow stream (as `datasets` writes)."""
    import pyarrow as pa

    source = pa.memory_map(str(path))
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    return pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)


def _batches(reader: Any) -> Iterator[pa.RecordBatch]:
    if hasattr(reader, "num_record_batches"):
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from reader
