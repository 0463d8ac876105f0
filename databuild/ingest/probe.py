"""What one file is: its format, encoding and layout, from its name and its first bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from databuild.errors import RecipeError
from databuild.ingest.arrow_tables import MAGIC, row_groups, schema_of
from databuild.ingest.csv_stream import separator_of
from databuild.ingest.documents import FORMATS
from databuild.ingest.encodings import UNKNOWN, UTF8, detect, known
from databuild.ingest.json_stream import frame
from databuild.ingest.layouts import find_rows, layout_of
from databuild.ingest.records import BOM, load, read_line
from databuild.ingest.spool import on_disk
from databuild.ingest.streams import Stream, TornError, head_of, is_packed

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.ingest.files import FilesConfig
    from databuild.ingest.folders import Place
    from databuild.ingest.shapes import Shape

SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
    ".csv": "csv", ".tsv": "csv", ".tab": "csv",
    ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".txt": "text", ".text": "text", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf",
}  # fmt: skip
PACKED = (".gz", ".gzip", ".zst", ".zstd")
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\r\x0b\x0c\x1b\x1c\x1d\x1e\x1f")


@dataclass
class Source:
    """One file, and what is known of all."""

    file: Path
    name: str
    format: str
    """`fault` where it cannot be read at all."""
    member: str | None = None
    n_bytes: int = 0
    encoding: str = UTF8
    layout: str = ""
    """Of JSON: `lines`, `array`, `sequence` (objects one after the other) or `whole`."""
    skip: int = 0
    """Where the array of rows begins."""
    separator: str = ","
    fault: str = ""
    is_divisible: bool = False
    """Parts of it can be read alone."""
    head: bytes = b""
    groups: list[tuple[int, int]] = field(default_factory=list)
    """Of Parquet: rows and bytes of each row group."""
    notes: dict[str, int] = field(default_factory=dict)
    table: Any = None
    """Of Parquet and Arrow: its own columns, as an Arrow schema."""
    schema: str = ""
    """Of Parquet and Arrow: the columns of all files together."""
    shapes: dict[str, Shape] = field(default_factory=dict)
    """Of all columns of all files (Parquet and Arrow: their types, which the files know)."""

    def as_split(self, start: int, end: int) -> dict[str, Any]:
        """A stretch of it, as plain JSON."""
        split: dict[str, Any] = {
            "file": str(self.file), "name": self.name, "format": self.format,
            "start": start, "end": end, "shapes": self.shapes,
        }  # fmt: skip
        told = {
            "member": self.member, "encoding": self.encoding if self.encoding != UTF8 else "",
            "layout": self.layout, "skip": self.skip, "fault": self.fault, "notes": self.notes,
            "separator": self.separator if self.format == "csv" else "",
            "is_divisible": self.is_divisible, "schema": self.schema,
        }  # fmt: skip
        return split | {name: held for name, held in told.items() if held}


def probe(place: Place, name: str, config: FilesConfig, n_bytes: int) -> Source:
    """Find out what a file is.

    Raises:
        RecipeError: Neither its name nor its first bytes tell a format.
    """
    path, member = place
    head, fault = head_of(path, member, n_bytes)
    asked: str = config.format
    form = asked if asked != "auto" else _format_of(path, member, head)
    source = Source(path, name, form, member, n_bytes=path.stat().st_size)
    if form == "fault":
        source.fault = "unknown format: neither the member's name nor its first bytes tell it"
        return source
    if form in {"parquet", "arrow"}:
        _probe_table(source)
        return source
    if not head and fault:
        source.format, source.fault = "fault", fault
        return source
    source.encoding = _encoding_of(head, source, config)
    if form in FORMATS:
        return source
    if _is_binary(head, source.encoding):
        source.format, source.fault = "fault", "binary file: it holds no text"
        return source
    if source.encoding != UTF8:
        head = Stream(path, member, source.encoding).take(n_bytes)
    source.head = head.removeprefix(BOM)
    is_whole = len(head) < n_bytes
    if form == "csv":
        likely = "\t" if _suffix(path, member) in {".tsv", ".tab"} else ","
        text = source.head.decode(errors="replace")
        source.separator = config.separator or separator_of(text, likely)
    else:
        body = source.head.lstrip()
        source.format, source.layout, skip = _layout(body, form, config, is_whole=is_whole)
        source.skip = skip and skip + len(source.head) - len(body)
    plain = member is None and source.encoding == UTF8 and not is_packed(path)
    source.is_divisible = plain and source.layout == "lines"
    return source


def _encoding_of(head: bytes, source: Source, config: FilesConfig) -> str:
    """The encoding; one that is none of the usual is noted."""
    if source.format == "pdf":
        return UTF8
    found = known(config.encoding) if config.encoding else detect(head)
    if found == UNKNOWN:
        if not _is_binary(head, UTF8):
            source.notes["files of unknown encoding (set `encoding`)"] = 1
        return UTF8
    if found != UTF8:
        source.notes[f"files read as {found}"] = 1
    return found


def _format_of(path: Path, member: str | None, head: bytes) -> str:
    for magic, form in MAGIC.items():
        if head.startswith(magic):
            return form
    if head.startswith(b"%PDF-"):
        return "pdf"
    form = SUFFIXES.get(_suffix(path, member), "")
    start = head.removeprefix(BOM).lstrip()[:200].lower()
    if not form and start[:1] in {b"{", b"["}:
        form = "json"
    if not form and start.startswith((b"<!doctype html", b"<html")):
        form = "html"
    if not form and member is not None:
        return "fault"
    if not form:
        what = f"the name tells no format (known: {' '.join(SUFFIXES)}, packed .gz .zst .zip)"
        raise RecipeError(str(path), what, fix="set `format`")
    return form


def _suffix(path: Path, member: str | None) -> str:
    suffixes = [s.lower() for s in (path if member is None else path / member).suffixes]
    return next((s for s in reversed(suffixes) if s not in PACKED), "")


def _probe_table(source: Source) -> None:
    is_alone = source.member is None and not is_packed(source.file)
    try:
        with on_disk(source.file, source.member) as file:
            source.table = schema_of(file, source.format)
            if source.format == "parquet":
                source.groups = row_groups(file)
    except TornError as error:
        source.format, source.fault = "fault", str(error)
        return
    if source.groups and not is_alone:  # it is unpacked for each split: one
        source.groups = [(sum(n for n, _ in source.groups), source.n_bytes)]


def _is_binary(head: bytes, encoding: str) -> bool:
    """More than one byte in twenty is a control character; of very short files none is said."""
    sample = head[: 1 << 16]
    is_wide = encoding.startswith("utf-") and encoding != UTF8
    if len(sample) < 512 or is_wide:
        return False
    return len(sample) - len(sample.translate(None, _CONTROLS)) > len(sample) / 20


def _layout(  # noqa: PLR0911 -- one return for each layout
    head: bytes, form: str, config: FilesConfig, *, is_whole: bool
) -> tuple[str, str, int]:
    """How JSON is laid out, whatever its name says: (format, layout, where the rows begin)."""
    start, (line, _, rest) = head[:1], head.partition(b"\n")
    has_more = bool(rest and not rest.isspace())
    first_is_whole = _is_json(line.strip())
    if config.format == "jsonl" or (first_is_whole and has_more):
        return "jsonl", "lines", 0
    if start == b"[":
        return "json", "array", 0
    if start != b"{":
        return ("jsonl", "lines", 0) if form == "jsonl" else ("json", "sequence", 0)
    found = frame(head, in_array=False)
    first = head[found.starts_L[0] : found.ends_L[0]] if len(found.ends_L) else b""
    if form == "jsonl" and not (b"\n" in first and read_line(first, 0, 1).error is None):
        # A first line that is broken does not make the rest something else.
        if first_is_whole or not (rows := find_rows(head, config.under)):
            return "jsonl", "lines", 0
        return "json", "array", rows[1]
    if first and head[int(found.ends_L[0]) :].strip():
        return "json", "sequence", 0
    return ("json", *_one_object(head, first, config, is_whole=is_whole))


def _one_object(
    head: bytes, first: bytes, config: FilesConfig, *, is_whole: bool
) -> tuple[str, int]:
    if rows := find_rows(head, config.under):
        return "array", rows[1]
    if is_whole and first and (value := read_line(first, 0, 1).value) is not None:
        return ("whole" if layout_of(value) != "record" else "sequence"), 0
    return ("sequence" if is_whole else "whole"), 0


def _is_json(line: bytes) -> bool:
    try:
        load(line.decode(errors="replace"))
    except ValueError:
        return False
    return True
