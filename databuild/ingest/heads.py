"""What lies in the files, from their heads: formats, columns and types, the same for all splits."""

from __future__ import annotations

import io
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from databuild.errors import RecipeError
from databuild.ingest import documents
from databuild.ingest.arrow_tables import as_text
from databuild.ingest.csv_stream import header_of
from databuild.ingest.folders import found_in, names_of
from databuild.ingest.json_stream import frame
from databuild.ingest.layouts import read_whole
from databuild.ingest.probe import PACKED, Source, probe
from databuild.ingest.records import read_line
from databuild.ingest.shapes import Seen, Shape, parse_shape
from databuild.ingest.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from databuild.ingest.files import FilesConfig

_HEAD_RECORDS = 1000
# Of very many files fewer records each are read, so that a check stays a matter of seconds.
_ALL_RECORDS = 200_000
_HEAD_BYTES = 4 << 20
_ALL_BYTES = 256 << 20
_KINDS = {"parquet": "tables", "arrow": "tables"} | dict.fromkeys(documents.FORMATS, "documents")


def look_at(config: FilesConfig, files: Sequence[Path]) -> list[Source]:
    """Look at the heads of files.

    Raises:
        RecipeError: A file is missing, a folder, or of a format that is not known; none can be
            read; or they cannot be read together.
    """
    found, notes = found_in(files, {name.rpartition("/")[2] for name in config.path})
    n_bytes = max(1 << 20, min(_HEAD_BYTES, _ALL_BYTES // max(len(found), 1)))
    names = names_of(found)
    sources = [probe(place, names[place], config, n_bytes) for place in found]
    if sources:
        sources[0].notes |= notes
    readable = [source for source in sources if source.format != "fault"]
    if sources and not readable:
        what = f"this file cannot be read: {sources[0].fault}"
        where = str(sources[0].file)
        raise RecipeError(where, what, fix="repair the file, or leave it out of `path`")
    for kind, some in _by_kind(readable, config).items():
        _look_together(kind, some, config)
    if readable:  # what cannot be read has the columns of the first that can
        for source in sources:
            if source.format == "fault":
                source.shapes, source.schema = readable[0].shapes, readable[0].schema
    return sources


def _look_together(kind: str, sources: Sequence[Source], config: FilesConfig) -> None:
    """Give files of one kind their columns."""
    if kind == "tables":
        _compare_tables(sources, config.types)
        return
    shapes: dict[str, Shape]
    if kind == "documents":
        shapes = {**documents.shapes_of({source.format for source in sources})}
    else:
        shapes = _shapes(sources, config)
    for source in sources:
        source.shapes = shapes


def _by_kind(sources: Sequence[Source], config: FilesConfig) -> dict[str, list[Source]]:
    """The files by what they hold: records, tables or documents.

    Raises:
        RecipeError: They hold several, and their columns are to be those of one table.
    """
    kinds: dict[str, list[Source]] = {}
    for source in sources:
        kinds.setdefault(_KINDS.get(source.format, "records"), []).append(source)
    if len(kinds) > 1 and config.rows == "columns":
        (first, [one, *_]), (second, [other, *_]) = list(kinds.items())[:2]
        what = (
            f"{one.name} holds {first} and {other.name} {second}, whose columns are not those of "
            "one table"
        )
        steps = "; ".join(
            f"`{kind}: {{use: ingest.files, path: {_globs(found, config)}}}`"
            for kind, found in kinds.items()
        )
        fix = f"read them in a step each: {steps}; or set `rows: auto`, which reads both as rows"
        raise RecipeError(str(one.file), what, fix=fix)
    return kinds


def _globs(sources: Sequence[Source], config: FilesConfig) -> str:
    """What `path` may be for some of the files, as YAML."""
    folder, _, last = config.path[0].rstrip("/").rpartition("/")
    is_folder = not re.search(r"[*?\[.]", last)
    start = f"{config.path[0].rstrip('/')}/**/" if is_folder else folder and f"{folder}/"
    globs = list(dict.fromkeys(f"{start}*{_suffix(source.file)}" for source in sources))
    return globs[0] if len(globs) == 1 else f"[{', '.join(globs)}]"


def _suffix(file: Path) -> str:
    return "".join(file.suffixes[-2:] if file.suffix in PACKED else file.suffixes[-1:])


def _shapes(sources: Sequence[Source], config: FilesConfig) -> dict[str, Shape]:
    seen: dict[str, Seen] = {}
    n_records = max(20, min(_HEAD_RECORDS, _ALL_RECORDS // max(len(sources), 1)))
    for source in sources:
        for value in islice(_heads(source), n_records):
            for name, held in value.items():
                seen.setdefault(name, Seen()).add(held)
    shapes: dict[str, Shape] = {name: kinds.shape() for name, kinds in seen.items()}
    return shapes | {name: parse_shape(text) for name, text in config.types.items()}


def _heads(source: Source) -> Iterator[Mapping[str, Any]]:
    """Yield the objects at the head of a file; what is broken is left for the reading to report."""
    head, source.head = source.head, b""
    if source.format == "csv":
        yield _csv_columns(source, head.decode(errors="replace"))
    elif source.layout == "whole":
        stream = Stream(source.file, source.member, source.encoding)
        yield from (record.value for record in read_whole(stream) if record.value is not None)
    elif source.layout == "lines":
        lines = (line for line in io.BytesIO(head) if line.strip())
        yield from filter(None, (read_line(line, 0, None).value for line in lines))
    else:
        in_array = source.layout == "array"
        body = head[source.skip :]
        body = body[body.find(b"[") + 1 :] if in_array else body
        found = frame(body, in_array=in_array)
        ends = (
            [(0, len(body))]
            if not len(found.ends_L)
            else zip(found.starts_L, found.ends_L, strict=True)
        )
        yield from filter(None, (read_line(body[s:e], 0, None).value for s, e in ends))


def _csv_columns(source: Source, text: str) -> dict[str, None]:
    """The columns of a CSV file as an object without values: no text decides a type."""
    header = header_of(text, source.separator)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        what = f"its header has {twice[0]!r} twice"
        raise RecipeError(str(source.file), what, fix="give every column a name of its own")
    return dict.fromkeys(header)


def _compare_tables(sources: Sequence[Source], types: Mapping[str, str]) -> None:
    """Give all Parquet and Arrow files the same columns; refuse types that differ."""
    import pyarrow as pa

    if types:
        what = "Parquet and Arrow files carry their own types, and `types` is given"
        raise RecipeError(str(sources[0].file), what, fix="remove `types`")
    found: dict[str, tuple[Any, Source]] = {}
    for source in sources:
        schema = source.table
        if len(set(schema.names)) < len(schema.names):
            twice = next(name for name in schema.names if schema.names.count(name) > 1)
            what = f"it has the column {twice!r} twice"
            raise RecipeError(str(source.file), what, fix="give every column a name of its own")
        for field in schema:
            first, holder = found.setdefault(field.name, (field.type, source))
            if _common(first) != _common(field.type):
                what = (
                    f"the column {field.name!r} is {field.type} here and {first} "
                    f"in {holder.file.name}"
                )
                fix = "cast it in the files, or read them in two steps"
                raise RecipeError(str(source.file), what, fix=fix)
    together = as_text(pa.schema([(name, dtype) for name, (dtype, _) in found.items()]))
    for source in sources:
        source.shapes = {name: _common(dtype) for name, (dtype, _) in found.items()}
        source.schema = together


def _common(dtype: Any) -> str:
    """A type as text, the same for the several ways in which Arrow keeps text and lists."""
    text = str(dtype).replace("large_", "").replace("_view", "").replace("not null", "")
    return text.replace("element:", "item:").replace(" ", "")
