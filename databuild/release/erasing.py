"""Erase rows from the folders of runs: parts, what was dropped and failed, and the sums of both.

A part keeps its place and its layout, so that what was measured on it still fits; it gets a digest
of its own, so the steps that read it run again, with the answers that their journals still have.
Every file is replaced in one move, and erasing twice changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from databuild.engine.batch import reasons
from databuild.engine.store import (
    Counts,
    Manifest,
    Part,
    part_path,
    read_manifest,
    read_part,
    write_json,
    write_part,
)
from databuild.release.texts import holding
from databuild.schema.identity import add_digests, digest_rows, digest_text

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.release.texts import Patterns

_IDS = ("row_id", "source_id")


def has_gone(rows: pl.DataFrame, gone: pl.Series) -> pl.Series:
    """Which rows are gone: by their own id, or by that of a row that they came from."""
    which = pl.repeat(False, rows.height, dtype=pl.Boolean, eager=True)  # noqa: FBT003
    meant = gone.implode()
    for name in _IDS:
        if rows.schema.get(name) == pl.String:
            which |= rows[name].is_in(meant).fill_null(value=False)
    if rows.schema.get("parent_ids") == pl.List(pl.String):
        numbered = rows.select(pl.int_range(pl.len()).alias("n"), "parent_ids").explode(
            "parent_ids"
        )
        below = numbered.filter(pl.col("parent_ids").is_in(meant))["n"].unique()
        which |= pl.int_range(rows.height, eager=True).is_in(below.implode())
    return which


def erase_step(folder: Path, gone: pl.Series, patterns: Patterns) -> int:
    """Erase rows from a step's folder; return how many it had made."""
    manifest = read_manifest(folder)
    if manifest is None:
        return 0
    for path in _others(folder):
        _erase_plain(path, gone, patterns)
    parts = sorted(folder.glob("part-*.parquet"))
    kind = manifest.kind
    renewed = [_erase_part(folder, int(p.stem.removeprefix("part-")), kind, gone) for p in parts]
    known = [part for _, part in renewed if part is not None]
    if known and manifest.status == "complete" and kind in {"produce", "measure", "select"}:
        _settle(folder, manifest, known)
    return sum(n for n, _ in renewed) if kind == "produce" else 0


def erase_rows(path: Path, gone: pl.Series, patterns: Patterns) -> tuple[pl.DataFrame, int]:
    """The rows of a Parquet file that stay, and how many go.

    Where no column names rows, those go that say what an erased row said.
    """
    rows = pl.read_parquet(path)
    if {"row_id", "parent_ids", "source_id"} & set(rows.columns):
        which = has_gone(rows, gone)
    else:
        which = holding(rows, patterns)
    return rows.filter(~which), int(which.sum())


def _others(folder: Path) -> list[Path]:
    """The Parquet files of a step's folder that are no parts of its own table."""
    return [path for path in sorted(folder.rglob("*.parquet")) if path.parent != folder]


def _erase_plain(path: Path, gone: pl.Series, patterns: Patterns) -> None:
    """Erase rows from what was dropped, failed or staged; there the part says less than it had."""
    rows, n = erase_rows(path, gone, patterns)
    said = [c for c in ("reason", "evidence", "error") if rows.schema.get(c) == pl.String]
    hides = [c for c in said if patterns.within(rows[c]).any()]
    if not n and not hides:
        return
    for name in hides:
        hidden = pl.Series(patterns.within(rows[name]))
        rows = rows.with_columns(
            pl.when(hidden).then(pl.lit("(withdrawn)")).otherwise(pl.col(name)).alias(name)
        )
    number = path.stem.removeprefix("part-")
    part = read_part(path.parent, int(number)) if number.isdigit() else None
    if number.isdigit():
        write_part(path.parent, int(number), rows, part)
    else:
        waiting = path.with_name(f".{path.name}.erased")
        rows.write_parquet(waiting)
        waiting.replace(path)


def _erase_part(folder: Path, index: int, kind: str, gone: pl.Series) -> tuple[int, Part | None]:
    """Erase rows from a part; return how many, and what it says of itself afterwards."""
    part = read_part(folder, index)
    rows = pl.read_parquet(part_path(folder, index))
    which = has_gone(rows, gone)
    removed = sorted(rows.filter(which)["row_id"].to_list()) if "row_id" in rows.columns else []
    left = rows.filter(~which)
    if part is None:
        if len(removed):
            write_part(folder, index, left)
        return int(which.sum()), None
    renewed = _renewed(
        part, kind, left, _side(folder, "dropped", index), _side(folder, "failed", index)
    )
    if removed:
        digest = digest_text(part.digest, "withdrawn", *removed)
        renewed = renewed.model_copy(update={"digest": digest})
    if renewed != part:
        write_part(folder, index, left, renewed)
    return int(which.sum()), renewed


def _side(folder: Path, name: str, index: int) -> pl.DataFrame:
    path = part_path(folder / name, index)
    return pl.read_parquet(path) if path.exists() else pl.DataFrame()


def _renewed(
    part: Part, kind: str, rows: pl.DataFrame, dropped: pl.DataFrame, failed: pl.DataFrame
) -> Part:
    """What a part says of itself, counted anew."""
    before = part.counts
    n_gone = before.rows_out - rows.height + before.dropped - dropped.height
    counts = before.model_copy(update={
        "rows_out": rows.height, "dropped": dropped.height, "failed": failed.height,
        "retry": int(failed["retry"].sum()) if "retry" in failed.columns else 0,
        "by_reason": reasons(dropped, "reason") | reasons(failed, "error"),
    })  # fmt: skip
    digests = part.part_digests
    if kind == "select":
        groups = rows.group_by("part")
        digests = {str(name): f"{digest_rows(of, ['row_id']):032x}" for (name,), of in groups}
        by_part = dict(rows.group_by("part").len().sort("part").iter_rows())
        counts = counts.model_copy(update={"by_part": by_part})
    if kind in {"select", "measure"}:
        counts = counts.model_copy(update={"rows_in": before.rows_in - n_gone})
    if n_gone:
        notes = dict(before.notes)
        notes["withdrawn"] = notes.get("withdrawn", 0) + n_gone
        counts = counts.model_copy(update={"notes": notes})
    return part.model_copy(update={"counts": counts, "part_digests": digests})


def _settle(folder: Path, manifest: Manifest, parts: list[Part]) -> None:
    """The sums of a step, after its parts were changed."""
    usage = manifest.rows.usage
    digest = _sum([part.digest for part in parts])
    rows = Counts.total(part.counts for part in parts)
    rows.usage = usage
    if (digest, rows.model_dump()) == (manifest.digest, manifest.rows.model_dump()):
        return
    manifest.digest, manifest.rows = digest, rows
    manifest.part_digests = {
        name: _sum([part.part_digests[name] for part in parts if name in part.part_digests])
        for name in manifest.part_digests
    }
    write_json(folder / "manifest.json", manifest.model_dump(mode="json"))


def _sum(digests: list[str]) -> str:
    return f"{add_digests(int(digest, 16) for digest in digests):032x}"
