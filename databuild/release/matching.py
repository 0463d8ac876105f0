"""Which row of one version stands for which of the other, and in what they differ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.release.reading import config_of, read_file, read_files, split_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from databuild.release.versions import File, Version, Versions

KINDS = ("added", "removed", "changed", "regraded", "rescored", "relinked", "moved")
GRADES = frozenset({
    "grade", "strength", "weight", "agreement", "confidence", "spread", "vote", "n_votes", "votes",
    "annotator", "annotators", "voted_at", "label", "rating", "ratings", "rank", "verdict",
    "edited",
    "accuracy", "relevance", "safety", "issues", "comment", "seconds", "relation",
})  # fmt: skip
"""Columns that say what people, or scorers in their place, think of a row."""
NAMING = ("content_id", "parent_ids")
"""What may tell that two rows of other ids are one, beside columns that are compared anyway."""
_PAIR = ("chosen", "rejected")
_BATCH_BYTES = 16 << 20
_ENDS = ("_score", "_faults", "_language", "_script", "_reason", "_pass", "_missed", "_cluster")


@dataclass(frozen=True)
class Side:
    """The rows of one version that may differ: the files that the other one does not hold."""

    versions: Versions
    version: Version
    files: tuple[File, ...]
    bounds: np.ndarray
    """Where each file begins among the rows, and their number."""
    ids: pl.Series
    hashes: dict[str, np.ndarray]
    """Of each column that may be compared, the values' hashes; 0 of null and of an empty list."""
    values: dict[str, pl.Series]
    """The columns that rows are counted by, as text."""
    splits: np.ndarray
    """The number of each row's split, in order of their names."""
    names: tuple[str, ...]
    """The splits."""
    types: dict[str, str]

    @classmethod
    def read(
        cls,
        versions: Versions,
        version: Version,
        config: str,
        others: set[tuple[str, str]],
        compared: Sequence[str],
        counted: Sequence[str],
        types: dict[str, str],
    ) -> Side:
        """Read every file once; only hashes of the `compared` columns stay, 8 bytes a value."""
        names = tuple(sorted(version.configs.get(config, {})))
        files = tuple(
            one
            for one in version.files
            if config_of(one) == config and (split_of(one), one.sha256) not in others
        )
        counted = [name for name in counted if name in types]
        ids = [pl.Series("row_id", [], dtype=pl.String)]
        hashes = {name: [np.zeros(0, dtype=np.uint64)] for name in compared}
        values = {name: [pl.Series(name, [], dtype=pl.String)] for name in counted}
        splits, heights = [np.zeros(0, dtype=np.int16)], [0]
        for batch in _batches(files):
            split = split_of(batch[0])
            there = version.configs[config][split].columns
            wanted = [name for name in dict.fromkeys((*compared, *counted)) if name in there]
            rows, of_each = read_files(versions, version, batch, ["row_id", *wanted])
            ids.append(rows["row_id"])
            heights += of_each
            for name in compared:
                hashes[name].append(_hashed(rows, name))
            for name in counted:
                told = rows[name].cast(pl.String) if name in there else None
                values[name].append(told if told is not None else _nothing(name, rows.height))
            splits.append(np.full(rows.height, names.index(split), dtype=np.int16))
        return cls(
            versions, version, files, np.cumsum(heights), pl.concat(ids),
            {name: np.concatenate(of) for name, of in hashes.items()},
            {name: pl.concat(of) for name, of in values.items()},
            np.concatenate(splits), names, types,
        )  # fmt: skip

    @property
    def height(self) -> int:
        """How many rows."""
        return self.ids.len()

    def take(self, names: Iterable[str], at: np.ndarray) -> pl.DataFrame:
        """Columns of some rows, in the order of `at`; only their files are read."""
        wanted = [name for name in names if name in self.types]
        order = np.argsort(at, kind="stable")
        place = np.searchsorted(at[order], self.bounds)
        frames = []
        for one, (begin, end), start in zip(self.files, pairwise(place), self.bounds, strict=False):
            if end > begin:
                there = self.version.configs[config_of(one)][split_of(one)].columns
                rows = read_file(
                    self.versions, self.version, one, [n for n in wanted if n in there]
                )
                frames.append(rows[at[order[begin:end]] - start])
        if not frames:
            return pl.DataFrame(schema=dict.fromkeys(wanted, pl.Null))
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        found: pl.DataFrame = pl.concat(frames, how="diagonal_relaxed")[back]
        return found

    def rows(self, at: np.ndarray) -> list[dict[str, Any]]:
        """Whole rows, with their `_split`."""
        found = self.take(self.types, at).to_dicts()
        told = (self.names[n] for n in self.splits[at]) if at.size else ()
        return [{**row, "_split": split} for row, split in zip(found, told, strict=True)]


def _batches(files: Iterable[File]) -> Iterator[list[File]]:
    """Neighbours of one split, some megabytes at a time: a scan costs more than a small file."""
    batch: list[File] = []
    size = 0
    for one in files:
        if batch and (split_of(one) != split_of(batch[0]) or size + one.bytes > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.bytes
    if batch:
        yield batch


def _hashed(rows: pl.DataFrame, name: str) -> np.ndarray:
    """Hashes of a column's values; what another split has and this one lacks is null here."""
    if name not in rows.columns:
        return np.zeros(rows.height, dtype=np.uint64)
    column = rows[name]
    found = column.to_frame().hash_rows().to_numpy()
    is_nothing = column.is_null()
    if isinstance(column.dtype, pl.List):
        is_nothing |= column.list.len() == 0
    return np.where(is_nothing.fill_null(value=True).to_numpy(), np.uint64(0), found)


def _nothing(name: str, n: int) -> pl.Series:
    return pl.Series(name, [None] * n, dtype=pl.String)


def counterparts(
    a: Side, b: Side, only_a: np.ndarray, only_b: np.ndarray, key: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one side that stand for one of the other though their ids differ.

    The first of these that both sides have and that names one row on each side alone: the user's
    key, the record shown to annotators, the content, the two answers of a pair, the parents.

    Returns:
        The numbers of the rows of `a`, and those of `b` that stand for them.
    """
    found = ([np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)])
    for names in ([key], ["record"], ["content_id"], ["prompt", *_PAIR], ["parent_ids"]):
        if not (only_a.size and only_b.size):
            break
        if all(name in side.hashes for name in names for side in (a, b)):
            sides = [_named(side, at, names) for side, at in ((a, only_a), (b, only_b))]
            on = [name for name in sides[0].columns if name != "at"]
            both = sides[0].join(sides[1], on=on, suffix="_b").sort("at")
            pair = both["at"].to_numpy(), both["at_b"].to_numpy()
            for n in range(2):
                found[n].append(pair[n])
            only_a, only_b = np.setdiff1d(only_a, pair[0]), np.setdiff1d(only_b, pair[1])
    return np.concatenate(found[0]), np.concatenate(found[1])


def _named(side: Side, at: np.ndarray, names: list[str]) -> pl.DataFrame:
    """Rows with the hashes of what names them, those that are the only one of their name."""
    rows = pl.DataFrame({**{name: side.hashes[name][at] for name in names}, "at": at})
    rows = rows.filter(pl.all_horizontal(pl.col(names) != 0))
    if len(names) > 1:  # a pair is the same pair whichever of its answers is the better one
        first, last = pl.min_horizontal(_PAIR), pl.max_horizontal(_PAIR)
        rows = rows.with_columns(first.alias(_PAIR[0]), last.alias(_PAIR[1]))
    return rows.filter(pl.struct(names).is_unique())


def classify(
    a: Side,
    b: Side,
    at: tuple[np.ndarray, np.ndarray],
    stand: tuple[np.ndarray, np.ndarray],
    shared: Sequence[str],
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, int]]:
    """Say of rows that stand for each other in what they differ.

    Args:
        a: The side before.
        b: The side after.
        at: Rows of the same id on both sides.
        stand: Rows of other ids that stand for each other.
        shared: The columns that both have.

    Returns:
        The rows of each kind, on both sides; and how many differ in each column.
    """
    splits = [np.array([side.names[n] for n in range(len(side.names))] or [""]) for side in (a, b)]
    is_moved = splits[0][a.splits[at[0]]] != splits[1][b.splits[at[1]]] if at[0].size else at[0] > 0
    differs = np.zeros(at[0].size, dtype=bool)
    for name in shared:
        differs |= a.hashes[name][at[0]] != b.hashes[name][at[1]]
    differs &= ~is_moved
    n_same_id = int(differs.sum())
    left = np.concatenate([at[0][differs], stand[0]])
    right = np.concatenate([at[1][differs], stand[1]])
    where = {name: a.hashes[name][left] != b.hashes[name][right] for name in shared}
    none = np.zeros(left.size, dtype=bool)
    of = {"graded": none.copy(), "content": none.copy(), "answers": none.copy(), "any": none.copy()}
    for name, hit in where.items():
        of["any"] |= hit
        if name in GRADES:
            of["graded"] |= hit
        elif _is_content(name, b.types[name]):
            of["answers" if name.startswith(_PAIR) else "content"] |= hit
    # Of a pair whose answers changed places people, or a scorer, changed their mind.
    of["content"] |= of["answers"] & ~_swapped(a, b, left, right, of["answers"])
    is_same_id = np.arange(left.size) < n_same_id
    is_changed = of["content"] & ~is_same_id
    is_regraded = (of["graded"] | of["answers"]) & ~is_changed
    is_rescored = of["any"] & ~is_changed & ~is_regraded
    masks = {"changed": is_changed, "regraded": is_regraded, "rescored": is_rescored,
             "relinked": ~of["any"]}  # fmt: skip
    kinds = {kind: (left[mask], right[mask]) for kind, mask in masks.items()}
    kinds["moved"] = (at[0][is_moved], at[1][is_moved])
    counts = {name: int(hit.sum()) for name, hit in where.items()}
    return kinds, {n: c for n, c in sorted(counts.items(), key=lambda one: -one[1]) if c}


def _swapped(
    a: Side, b: Side, left: np.ndarray, right: np.ndarray, among: np.ndarray
) -> np.ndarray:
    """Pairs whose chosen answer is the other's rejected one."""
    if not all(name in side.hashes for name in _PAIR for side in (a, b)):
        return np.zeros(left.size, dtype=bool)
    chosen, rejected = ([side.hashes[name] for side in (a, b)] for name in _PAIR)
    is_swapped = (chosen[0][left] == rejected[1][right]) & (rejected[0][left] == chosen[1][right])
    return np.asarray(among & is_swapped)


def _is_content(name: str, dtype: str) -> bool:
    """Whether a column says what a row is, and not what was measured of it."""
    is_text = dtype.startswith(("String", "List", "Struct"))
    return is_text and not name.endswith(_ENDS)
