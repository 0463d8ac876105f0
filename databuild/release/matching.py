"""Which row of one version stands for which of the other, and in what they differ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.release.reading import config_of, read_file, split_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from databuild.release.versions import File, Version, Versions

KINDS = ("added", "removed", "changed", "regraded", "rescored", "relinked", "moved")
GRADES = frozenset({
    "grade", "strength", "weight", "agreement", "confidence", "spread", "vote", "n_votes", "votes",
    "annotator", "annotators", "voted_at", "label", "rating", "ratings", "rank", "verdict",
    "edited",
    "accuracy", "relevance", "safety", "issues", "comment", "seconds", "relation",
})  # fmt: skip
"""Columns that say what people, or scorers in their place, think of a row."""
_PAIR = ("chosen", "rejected")
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
    hashes: np.ndarray
    """Of what both versions tell of a row."""
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
        shared: Sequence[str],
        types: dict[str, str],
    ) -> Side:
        """Read every file once, and keep of a row its id and its hash."""
        names = tuple(sorted(version.configs.get(config, {})))
        files = tuple(
            one
            for one in version.files
            if config_of(one) == config and (split_of(one), one.sha256) not in others
        )
        ids = [pl.Series("row_id", [], dtype=pl.String)]
        hashes, splits = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int16)]
        for one in files:
            there = version.configs[config][split_of(one)].columns
            rows = read_file(versions, version, one, ["row_id", *(n for n in shared if n in there)])
            ids.append(rows["row_id"])
            rows = rows.drop("row_id")
            # What another split of the configuration has and this one lacks is null here.
            absent = [pl.lit(None).alias(n) for n in shared if n not in there]
            rows = rows.with_columns(absent).select(shared) if absent else rows
            hashes.append(rows.hash_rows().to_numpy() if shared else np.zeros(ids[-1].len(), "u8"))
            splits.append(np.full(ids[-1].len(), names.index(split_of(one)), dtype=np.int16))
        bounds = np.cumsum([0, *(one.len() for one in ids[1:])])
        return cls(versions, version, files, bounds, pl.concat(ids), np.concatenate(hashes),
                   np.concatenate(splits), names, types)  # fmt: skip

    @property
    def height(self) -> int:
        """How many rows."""
        return self.ids.len()

    def column(self, name: str) -> pl.Series | None:
        """One column of all rows; None where this side has none of that name."""
        if name not in self.types or not self.files:
            return None
        told = self.take([name], np.arange(self.height))
        return told[name]

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
        if all(name in side.types for name in names for side in (a, b)):
            sides = [_named(side, at, names) for side, at in ((a, only_a), (b, only_b))]
            both = sides[0].join(sides[1], on="name", suffix="_b").sort("at")
            pair = both["at"].to_numpy(), both["at_b"].to_numpy()
            for n in range(2):
                found[n].append(pair[n])
            only_a, only_b = np.setdiff1d(only_a, pair[0]), np.setdiff1d(only_b, pair[1])
    return np.concatenate(found[0]), np.concatenate(found[1])


def _named(side: Side, at: np.ndarray, names: list[str]) -> pl.DataFrame:
    """Rows with what names them, those that are the only one of their name."""
    rows = side.take(names, at)
    if len(names) > 1:  # a pair is the same pair whichever of its answers is the better one
        first, last = pl.min_horizontal(_PAIR), pl.max_horizontal(_PAIR)
        told = pl.struct("prompt", first=first, last=last)
        missing = pl.any_horizontal(pl.col(names).is_null())
    else:
        told, missing = pl.col(names[0]), pl.col(names[0]).is_null()
        if isinstance(rows.schema[names[0]], pl.List):
            missing |= pl.col(names[0]).list.len() == 0
    named = rows.select(name=told, missing=missing).with_columns(at=pl.Series(at))
    named = named.filter(~pl.col("missing")).drop("missing")
    return named.filter(pl.col("name").is_unique())


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
    differs = (a.hashes[at[0]] != b.hashes[at[1]]) & ~is_moved
    n_same_id = int(differs.sum())
    left = np.concatenate([at[0][differs], stand[0]])
    right = np.concatenate([at[1][differs], stand[1]])
    where = _by_column(a, b, left, right, shared)
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


def _by_column(
    a: Side, b: Side, left: np.ndarray, right: np.ndarray, shared: Sequence[str]
) -> dict[str, np.ndarray]:
    """Of each column, in which of the pairs it differs."""
    if not left.size:
        return {}
    one, other = _hashed(a, left, shared), _hashed(b, right, shared)
    return {name: one[name] != other[name] for name in shared}


def _hashed(side: Side, at: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Of each column of some rows, hashes of the values; a file is read once and forgotten."""
    found = {name: np.zeros(at.size, dtype=np.uint64) for name in names}
    order = np.argsort(at, kind="stable")
    place = np.searchsorted(at[order], side.bounds)
    for one, (begin, end), start in zip(side.files, pairwise(place), side.bounds, strict=False):
        if end > begin:
            there = side.version.configs[config_of(one)][split_of(one)].columns
            rows = read_file(side.versions, side.version, one, [n for n in names if n in there])
            rows = rows[at[order[begin:end]] - start]
            for name in rows.columns:
                found[name][order[begin:end]] = rows.select(name).hash_rows().to_numpy()
    return found


def _swapped(
    a: Side, b: Side, left: np.ndarray, right: np.ndarray, among: np.ndarray
) -> np.ndarray:
    """Pairs whose chosen answer is the other's rejected one."""
    found = np.zeros(left.size, dtype=bool)
    if among.any() and all(name in side.types for name in _PAIR for side in (a, b)):
        one, other = a.take(_PAIR, left[among]), b.take(_PAIR, right[among])
        swapped = (one["chosen"] == other["rejected"]) & (one["rejected"] == other["chosen"])
        found[among] = swapped.fill_null(value=False).to_numpy()
    return found


def _is_content(name: str, dtype: str) -> bool:
    """Whether a column says what a row is, and not what was measured of it."""
    is_text = dtype.startswith(("String", "List", "Struct"))
    return is_text and not name.endswith(_ENDS)
