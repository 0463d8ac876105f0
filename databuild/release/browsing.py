"""`databuild browse`: a version as one HTML page, to read, search and filter without a server.

The rows lie in the page as compressed JSON in base64, which no text of a row can break out of, and
the page's script writes them as text, never as markup. Only that script may run: the page's content
policy names its hash.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.pages.writing import load, write_page
from databuild.release.reading import config_of, read_file, read_lineage, split_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from databuild.release.versions import Version, Versions

MOST_ROWS = 5000
_TEXT_CHARS = 20_000
_ANCESTORS = 40
"""Of one row: more are not told."""
_INTERNAL = ("content_id", "parent_ids", "messages_id")
_VERDICT = ("annotator", "grade", "vote", "rating", "label", "ranks", "verdict", "comment",
            "voted_at", "simulated")  # fmt: skip
"""Of a vote that is itself a released row: told where it is an ancestor."""


def browse(versions: Versions, version: Version, path: Path, rows: int = MOST_ROWS) -> int:
    """Write the page of a version.

    Args:
        versions: Where the version lies.
        version: The version.
        path: The page's file.
        rows: At most so many rows are in it: of each split the same share, those of the smallest
            ids, which are hashes. The page says so.

    Returns:
        How many rows are in it.

    Raises:
        ServiceError: jinja2 is not installed.
        StoreError: A file of the version cannot be read, or the page cannot be written.
    """
    template = load("databuild.release", "browse.html.j2")
    tables = dict(_drawn(versions, version, rows))
    content = {
        "tables": [_table(config, split, some) for (config, split), some in tables.items()],
        "made": _ancestors(versions, version, tables),
    }
    script = files("databuild.release").joinpath("browse.js").read_text("utf-8")
    packed = gzip.compress(json.dumps(content, ensure_ascii=False).encode(), mtime=0)
    total = sum(split.rows for splits in version.configs.values() for split in splits.values())
    n_rows = sum(some.height for some in tables.values())
    page = template.render(
        version=version, total=total, n_rows=n_rows, script=_Plain(script),
        data=base64.b64encode(packed).decode(),
        allowed=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip
    write_page(path, page)
    return n_rows


class _Plain(str):
    """Text of ours that the template does not escape."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def _drawn(
    versions: Versions, version: Version, most: int
) -> Iterator[tuple[tuple[str, str], pl.DataFrame]]:
    """Of each split its share of the rows, those of the smallest ids, in their order."""
    total = sum(split.rows for splits in version.configs.values() for split in splits.values())
    for config, splits in version.configs.items():
        for name, split in splits.items():
            wanted = split.rows if total <= most else max(1, most * split.rows // total)
            files = [f for f in version.files if config_of(f) == config and split_of(f) == name]
            frames = [pl.DataFrame({"row_id": pl.Series([], dtype=pl.String)})]
            ids = [read_file(versions, version, one, ["row_id"])["row_id"] for one in files]
            chosen = pl.concat([*(frame["row_id"] for frame in frames), *ids]).bottom_k(wanted)
            for one, there in zip(files, ids, strict=True):
                if there.is_in(chosen.implode()).any():
                    rows = read_file(versions, version, one)
                    frames.append(rows.filter(pl.col("row_id").is_in(chosen.implode())))
            yield (config, name), pl.concat(frames, how="diagonal_relaxed")


def _table(config: str, split: str, rows: pl.DataFrame) -> dict[str, Any]:
    """A split by columns: smaller than by rows, and quick to filter."""
    names = [name for name in rows.columns if name not in _INTERNAL]
    return {
        "config": config, "split": split,
        "columns": {name: [_value(one) for one in rows[name].to_list()] for name in names},
    }  # fmt: skip


def _value(value: Any) -> Any:
    """A value as JSON holds it; a long text is cut, and says so."""
    if isinstance(value, str) and len(value) > _TEXT_CHARS:
        left = len(value) - _TEXT_CHARS
        return f"{value[:_TEXT_CHARS]} … [{left:,} more characters are in the data]"
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return [_value(one) for one in value]
    if isinstance(value, dict):
        return {name: _value(one) for name, one in value.items() if one is not None}
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _ancestors(
    versions: Versions, version: Version, tables: dict[tuple[str, str], pl.DataFrame]
) -> dict[str, dict[str, Any]]:
    """What each drawn row, and each of its ancestors, was made from: by id."""
    known = [*read_lineage(versions, version, "rows")]
    if not known:
        return {}
    # A row that was made in two steps has two lines; the first says what the others also say.
    every = pl.concat(known, how="diagonal_relaxed").unique(
        "row_id", keep="first", maintain_order=True
    )
    wanted = pl.concat([some["row_id"] for some in tables.values()]).unique()
    found = [every.clear()]
    while wanted.len():
        here = every.filter(pl.col("row_id").is_in(wanted.implode()))
        every = every.filter(~pl.col("row_id").is_in(wanted.implode()))
        found.append(here.with_columns(pl.col("parent_ids").list.head(_ANCESTORS)))
        wanted = found[-1]["parent_ids"].explode().drop_nulls().unique()
        wanted = wanted.filter(wanted.is_in(every["row_id"].implode()))
    rows = pl.concat(found).sort("row_id")
    told = {row.pop("row_id"): row for row in rows.to_dicts()}
    for row_id, verdict in _verdicts(versions, version, rows["row_id"]):
        told[row_id].update(verdict)
    return {
        row_id: {n: _value(v) for n, v in row.items() if v is not None and v != []}
        for row_id, row in told.items()
    }


def _verdicts(
    versions: Versions, version: Version, ids: pl.Series
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What people said, of ancestors that are votes and released themselves."""
    for one in version.files:
        columns = version.configs.get(config_of(one), {}).get(split_of(one))
        if config_of(one) and columns and "annotator" in columns.columns:
            names = [name for name in _VERDICT if name in columns.columns]
            rows = read_file(versions, version, one, ["row_id", *names])
            for row in rows.filter(pl.col("row_id").is_in(ids.implode())).to_dicts():
                yield row.pop("row_id"), row
