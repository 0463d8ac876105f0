"""Which rows differ between two versions. Files that both hold are not read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.errors import SchemaError, nearest
from databuild.release.encryption import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from databuild.release.encryption import Key
    from databuild.release.versions import File, Version, Versions

KINDS = ("added", "removed", "changed", "rescored", "moved")
_SPLIT = "_split"
_NO_CONTENT = ("row_id", "content_id", "parent_ids", "source_file", "source_record", _SPLIT)
"""Who a row is and where it lay."""


@dataclass(frozen=True)
class Changes:
    """What became of the rows of one configuration.

    `added` and `removed` rows are in one version only; a `changed` row stands for one of the other
    version that has the same user key, or the same parents; a `rescored` row is the same row with
    other measures, grades or weights; a `moved` row is in another split.
    """

    config: str
    before: int
    after: int
    counts: dict[str, int]
    columns: dict[str, int] = field(default_factory=dict)
    """Of changed and rescored rows: how many differ in each column."""
    strata: list[dict[str, Any]] = field(default_factory=list)
    """`stratum`, and how many rows of it are of each kind."""
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def same(self) -> int:
        """Rows that both versions have as they are."""
        return self.after - sum(self.counts[kind] for kind in KINDS if kind != "removed")


def difference(
    versions: tuple[Versions, Versions],
    a: Version,
    b: Version,
    *,
    by: str | None = None,
    key: str = "key",
    limit: int = 3,
    secret: Key | None = None,
) -> list[Changes]:
    """Compare two versions row by row.

    Args:
        versions: Where each of them lies.
        a: The version before.
        b: The version after.
        by: A column whose values are counted apart.
        key: The user's own name of a row, where the rows have one; else parents tell.
        limit: Examples of each kind.
        secret: The key of versions that are encrypted.

    Raises:
        StoreError: A version is encrypted, and there is no key, or another one.
        SchemaError: Neither version has the column `by`.
    """
    found = []
    for config in sorted({*a.configs, *b.configs}):
        splits = (a.configs.get(config, {}), b.configs.get(config, {}))
        known = {name for of in splits for split in of.values() for name in split.columns}
        if by is not None and by not in known:
            what = f"{config} has no column {by!r}; {nearest(by, known)}"
            raise SchemaError("diff", what, fix="name one of its columns with --by")
        mine, others = (
            {(_split_of(one), one.sha256) for one in v.files if _config_of(one) == config}
            for v in (a, b)
        )
        left = _rows(versions[0], a, config, others, secret)
        right = _rows(versions[1], b, config, mine, secret)
        n = [sum(split.rows for split in of.values()) for of in splits]
        found.append(_compare(config, (n[0], n[1]), left, right, by, key, limit))
    return found


def _rows(
    versions: Versions,
    version: Version,
    config: str,
    others: set[tuple[str, str]],
    secret: Key | None,
) -> pl.DataFrame:
    """The rows of the files that the other version does not have."""
    folder = versions.folder(version.version)
    frames = [pl.DataFrame(schema={"row_id": pl.String, _SPLIT: pl.String})]
    for one in version.files:
        split = _split_of(one)
        if _config_of(one) == config and (split, one.sha256) not in others:
            path = folder / one.path
            rows = read_rows(path, secret, "diff") if one.seal else pl.read_parquet(path)
            frames.append(rows.with_columns(pl.lit(split).alias(_SPLIT)))
    return pl.concat(frames, how="diagonal_relaxed")


def _compare(
    config: str,
    rows: tuple[int, int],
    a: pl.DataFrame,
    b: pl.DataFrame,
    by: str | None,
    key: str,
    limit: int,
) -> Changes:
    shared = [name for name in a.columns if name in b.columns and name not in _NO_CONTENT]
    shared = [name for name in shared if a.schema[name] == b.schema[name]]
    removed = a.join(b, on="row_id", how="anti")
    added = b.join(a, on="row_id", how="anti")
    both = a.join(b, on="row_id", how="inner", suffix=":after")
    moved = both.filter(pl.col(_SPLIT) != pl.col(f"{_SPLIT}:after"))
    rescored = both.filter(_differs(both, shared)).join(moved, on="row_id", how="anti")
    changed = _same_key(removed, added, [key, "parent_ids"])
    removed = removed.join(changed, on="row_id", how="anti")
    added = added.join(changed, left_on="row_id", right_on="row_id:after", how="anti")
    kinds = dict(zip(KINDS, (added, removed, changed, rescored, moved), strict=True))
    pairs = [changed, rescored]
    return Changes(
        config=config,
        before=rows[0],
        after=rows[1],
        counts={kind: of.height for kind, of in kinds.items()},
        columns=_by_column(pairs, shared),
        strata=_by_stratum(kinds, by),
        examples={kind: _examples(of, shared, limit) for kind, of in kinds.items() if of.height},
    )


def _differs(both: pl.DataFrame, shared: Iterable[str]) -> pl.Expr:
    """Whether any column of a pair of rows differs."""
    names = [name for name in shared if f"{name}:after" in both.columns]
    found = [pl.col(name).ne_missing(pl.col(f"{name}:after")) for name in names]
    return pl.any_horizontal(found) if found else pl.lit(value=False)


def _same_key(removed: pl.DataFrame, added: pl.DataFrame, keys: Iterable[str]) -> pl.DataFrame:
    """Rows of one side that stand for one of the other, by the first column that both have."""
    for key in keys:
        if key in removed.columns and key in added.columns:
            sides = [side.filter(_names_one(side, key)) for side in (removed, added)]
            return sides[0].join(sides[1], on=key, how="inner", suffix=":after")
    return removed.join(added, on="row_id", how="inner", suffix=":after").with_columns(
        pl.col("row_id").alias("row_id:after")
    )


def _names_one(side: pl.DataFrame, key: str) -> pl.Expr:
    is_list = isinstance(side.schema[key], pl.List)
    told = pl.col(key).list.len() > 0 if is_list else pl.col(key).is_not_null()
    return told & pl.col(key).is_unique()


def _by_column(pairs: Iterable[pl.DataFrame], shared: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for both in pairs:
        for name in shared:
            if f"{name}:after" in both.columns:
                n = both.select(pl.col(name).ne_missing(pl.col(f"{name}:after")).sum()).item()
                counts[name] = counts.get(name, 0) + n
    return {name: n for name, n in sorted(counts.items(), key=lambda one: -one[1]) if n}


def _by_stratum(kinds: dict[str, pl.DataFrame], by: str | None) -> list[dict[str, Any]]:
    if by is None:
        return []
    counts: dict[str, dict[str, int]] = {}
    for kind, rows in kinds.items():
        if by in rows.columns:
            tally = rows.group_by(pl.col(by).cast(pl.String).alias("stratum")).len()
            for stratum, n in tally.rows():
                counts.setdefault(str(stratum), {})[kind] = n
    return [
        {"stratum": stratum, **{kind: of.get(kind, 0) for kind in KINDS}}
        for stratum, of in sorted(counts.items())
    ]


def _examples(rows: pl.DataFrame, shared: Iterable[str], limit: int) -> list[dict[str, Any]]:
    """The first rows by id: of a pair, what it was before and after, where that differs."""
    found = []
    for row in rows.sort("row_id").head(limit).to_dicts():
        pairs = {
            name: (row[name], row[f"{name}:after"])
            for name in shared
            if f"{name}:after" in row and row[name] != row[f"{name}:after"]
        }
        told: dict[str, Any] = {"row_id": row["row_id"], "split": row[_SPLIT]}
        if f"{_SPLIT}:after" in row:
            told |= {"split_after": row[f"{_SPLIT}:after"], "differs": pairs}
            told["row_id_after"] = row.get("row_id:after", row["row_id"])
        else:
            told["row"] = {name: row[name] for name in shared if row.get(name) is not None}
        found.append(told)
    return found


def _config_of(one: File) -> str:
    pieces = one.path.split("/")
    return pieces[1] if pieces[0] == "data" else ""


def _split_of(one: File) -> str:
    return one.path.rpartition("/")[2].rpartition("-")[0]
