"""What erased rows said, and where else it stands: in logs, journals, exports and pages.

A text is looked for whole, line by line, and by its first 40 characters (pages and logs cut texts
short), as it is and as JSON and HTML write it. Texts of fewer than 8 characters, lines of fewer
than 24, and whatever a row that stays says too are no sign of an erased row: not looked for.
"""

from __future__ import annotations

import html
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.store import write_json, writing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LEAST, LEAST_LINE, HEAD = 8, 24, 40
_NO_TEXT = {"row_id", "content_id", "parent_ids", "source_id", "source_file", "model", "model_a",
            "model_b", "annotator", "annotators", "step", "use", "record", "guideline"}  # fmt: skip
_WEIGHTS = {".safetensors", ".bin", ".gguf", ".pt", ".pth"}
_LINES = {".jsonl", ".log", ".txt", ".md"}
_AT_ONCE = 1 << 24
HIDDEN = "(withdrawn)"


def leaves(rows: pl.DataFrame) -> pl.Series:
    """All texts of a table, also those inside lists and structs, each once."""
    found = [pl.Series("text", [], dtype=pl.String)]
    for column in rows.iter_columns():
        if column.name not in _NO_TEXT:
            found += _texts(column)
    return pl.concat(found).drop_nulls().unique()


def _texts(column: pl.Series) -> list[pl.Series]:
    if column.dtype == pl.String:
        return [column.alias("text")]
    if isinstance(column.dtype, pl.List | pl.Array):
        return _texts(column.explode())
    if isinstance(column.dtype, pl.Struct):
        return [
            text for field in column.struct.fields for text in _texts(column.struct.field(field))
        ]
    return []


def pieces(texts: pl.Series) -> pl.Series:
    r"""Texts that are long enough, their lines, and their beginnings.

    Example:
        >>> sorted(pieces(pl.Series("text", ["Short.", "No line of these\nis long."])))
        ['No line of these\nis long.']
    """
    size = texts.str.len_chars()
    lines = texts.str.split("\n").explode().str.strip_chars()
    heads = texts.filter(size >= HEAD).str.slice(0, HEAD).str.strip_chars()
    whole = texts.filter(size >= LEAST)
    found = [whole, lines.filter(lines.str.len_chars() >= LEAST_LINE), heads]
    return pl.concat(one.alias("text") for one in found).drop_nulls().unique()


@dataclass(frozen=True)
class Patterns:
    """Texts to look for."""

    texts: tuple[str, ...]

    @cached_property
    def written(self) -> list[str]:
        """Each text in every form that a file may have it in."""
        forms: set[str] = set()
        for text in self.texts:
            forms |= {
                text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1],
                html.escape(text), html.escape(text, quote=False),
            }  # fmt: skip
        return sorted(forms)

    @cached_property
    def _as_bytes(self) -> list[str]:
        """The same, each byte as one character."""
        return [one.encode("utf-8", "surrogatepass").decode("latin-1") for one in self.written]

    def within(self, texts: pl.Series) -> pl.Series:
        """Which of some texts say one of these."""
        if not self.texts or not len(texts):
            return pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True)  # noqa: FBT003
        return texts.str.contains_any(self.written).fill_null(value=False)

    def within_lines(self, lines: list[bytes]) -> pl.Series:
        """Which of some lines say one of these."""
        if not self.texts or not lines:
            return pl.repeat(False, len(lines), dtype=pl.Boolean, eager=True)  # noqa: FBT003
        texts = pl.Series([line.decode("latin-1") for line in lines], dtype=pl.String)
        return texts.str.contains_any(self._as_bytes)

    def are_in(self, path: Path) -> bool:
        """Whether a file says one of these."""
        if not self.texts:
            return False
        longest = max(map(len, self._as_bytes))
        tail = b""
        with path.open("rb") as handle:
            while block := handle.read(_AT_ONCE):
                if self.within_lines([tail + block]).any():
                    return True
                tail = (tail + block)[-longest:]
        return False


def holding(rows: pl.DataFrame, patterns: Patterns) -> pl.Series:
    """Which rows of a table say one of some texts, in whatever column."""
    if not rows.width or not rows.height:
        return pl.repeat(False, rows.height, dtype=pl.Boolean, eager=True)  # noqa: FBT003
    return patterns.within(rows.select(pl.struct(pl.all()).struct.json_encode()).to_series())


def sweep_file(path: Path, patterns: Patterns) -> str:
    """Take texts out of a file that is no table; say what was done, or nothing.

    Lines of logs and of JSON lines go, values of a JSON file are hidden, and any other file is
    removed: what made it can make it again.
    """
    if path.suffix in _WEIGHTS or not patterns.are_in(path):
        return ""
    if path.suffix in _LINES:
        lines = path.read_bytes().splitlines(keepends=True)
        which = patterns.within_lines(lines)
        _replace(
            path, b"".join(line for line, is_in in zip(lines, which, strict=True) if not is_in)
        )
        if not patterns.are_in(path):
            return f"{int(which.sum())} lines of {path.name} are erased"
    if path.suffix == ".json":
        with suppress(ValueError, TypeError):  # it is no JSON, and removed
            write_json(path, _hidden(json.loads(path.read_bytes()), patterns))
        if not patterns.are_in(path):
            return f"values in {path.name} are erased"
    with writing(path.parent):
        path.unlink()
    return f"{path.name} is removed"


def _hidden(value: Any, patterns: Patterns) -> Any:
    if isinstance(value, str):
        return HIDDEN if any(one in value for one in patterns.texts) else value
    if isinstance(value, list):
        return [_hidden(one, patterns) for one in value]
    if isinstance(value, dict):
        return {_hidden(name, patterns): _hidden(one, patterns) for name, one in value.items()}
    return value


def _replace(path: Path, content: bytes) -> None:
    waiting = path.with_name(f".{path.name}.erased")
    with writing(path):
        waiting.write_bytes(content)
        waiting.replace(path)


def unsaid(candidates: Iterable[str], surviving: pl.Series) -> list[str]:
    """Texts that no row that stays says, too.

    Example:
        >>> unsaid(["Only here.", "Everywhere."], pl.Series(["Everywhere."]))
        ['Only here.']
    """
    own = set(surviving.to_list())
    return [text for text in candidates if text not in own]
