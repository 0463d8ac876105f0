"""Which rows differ between two versions. Files that both hold are not read.

Each of the other files is read once, and of what the versions both tell of a row only hashes stay.
Only rows that are shown are read again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.errors import SchemaError, nearest
from databuild.release.matching import KINDS, NAMING, Side, classify, counterparts
from databuild.release.reading import config_of, split_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from databuild.release.versions import Version, Versions

__all__ = ["KINDS", "Changes", "difference"]
_ROWS = ("row_id", "content_id", "parent_ids", "source_file", "source_record")
"""Who a row is and where it lay."""
_MOST_STRATA = 3


@dataclass(frozen=True)
class Changes:
    """What became of the rows of one configuration.

    `added` and `removed` rows are in one version only. A row of one version stands for one of the
    other where its id is the same, or else one of: the user's key, what an annotator was shown
    (`record`), the content, the two answers of a pair whichever is chosen, the parents. Then it is

    - `moved`: the same row in another split;
    - `regraded`: people's or scorers' verdicts on it differ: grade, strength, vote, label, weight,
      agreement, or which answer of a pair is chosen;
    - `rescored`: only other measures differ;
    - `changed`: its text or other content differs;
    - `relinked`: nothing differs but what it was made from.
    """

    config: str
    before: int
    after: int
    counts: dict[str, int]
    columns: dict[str, int] = field(default_factory=dict)
    """Of rows that stand for each other: how many differ in each column."""
    strata: list[dict[str, Any]] = field(default_factory=list)
    """`column`, `stratum`, how many rows of it are of each kind, and `before` and `after`: all rows
    of it, None where the version does not tell."""
    means: list[dict[str, Any]] = field(default_factory=list)
    """`column`, and its mean over all rows `before` and `after`, where they differ."""
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By kind: `row_id`, `split`, `row`; of two rows that stand for each other `row` is the one
    after, and `row_id_after`, `split_after` and `differs` (column: before, after) are told."""
    new_columns: tuple[str, ...] = ()
    gone_columns: tuple[str, ...] = ()

    @property
    def same(self) -> int:
        """Rows that both versions have as they are."""
        return self.after - sum(self.counts[kind] for kind in KINDS if kind != "removed")


def difference(
    versions: tuple[Versions, Versions],
    a: Version,
    b: Version,
    *,
    by: str | Iterable[str] | None = None,
    key: str = "key",
    limit: int = 3,
) -> list[Changes]:
    """Compare two versions row by row.

    Args:
        versions: Where each of them lies.
        a: The version before.
        b: The version after.
        by: Columns whose values are counted apart; None: those that the versions' cards name.
        key: The user's own name of a row, where the rows have one.
        limit: Examples of each kind.

    Raises:
        SchemaError: Neither version has a column of `by`.
        StoreError: A file cannot be read; a version is encrypted, and there is no key, or another.

    Cost:
        Two versions of a million rows that share no file: tests/bench/diff.json.
    """
    columns = (by,) if isinstance(by, str) else None if by is None else tuple(by)
    _check(a, b, columns or ())
    return [
        _of_config(config, versions, (a, b), columns, key, limit)
        for config in sorted({*a.configs, *b.configs})
    ]


def _check(a: Version, b: Version, by: Iterable[str]) -> None:
    known = {
        name for v in (a, b) for of in v.configs.values() for s in of.values() for name in s.columns
    }
    for name in by:
        if name not in known:
            what = f"the versions have no column {name!r}; {nearest(name, known)}"
            raise SchemaError("diff", what, fix="name one of their columns with --by")


def _of_config(
    config: str,
    versions: tuple[Versions, Versions],
    pair: tuple[Version, Version],
    by: tuple[str, ...] | None,
    key: str,
    limit: int,
) -> Changes:
    if by is None:
        strata = [(v.about.get("data") or {}).get(config, {}).get("strata") or {} for v in pair]
        told = [name for of in strata[::-1] for name, values in of.items() if len(values) > 1]
        by = tuple(dict.fromkeys(told))[:_MOST_STRATA]
    held = [
        {(split_of(one), one.sha256) for one in v.files if config_of(one) == config} for v in pair
    ]
    types = [_types(v, config) for v in pair]
    shared = [n for n, t in types[0].items() if types[1].get(n) == t and n not in _ROWS]
    compared = shared + [n for n in NAMING if n in types[0] and types[1].get(n) == types[0][n]]
    sides = [
        Side.read(versions[n], pair[n], config, held[1 - n], compared, by, types[n])
        for n in range(2)
    ]
    at = _in_both(sides[0], sides[1])
    alone = [np.setdiff1d(np.arange(side.height), at[n]) for n, side in enumerate(sides)]
    stand = counterparts(sides[0], sides[1], alone[0], alone[1], key)
    alone = [np.setdiff1d(alone[n], stand[n]) for n in range(2)]
    kinds, columns = classify(sides[0], sides[1], at, stand, shared)
    kinds["removed"] = (alone[0], np.zeros(0, dtype=np.int64))
    kinds["added"] = (np.zeros(0, dtype=np.int64), alone[1])
    rows = [sum(split.rows for split in v.configs.get(config, {}).values()) for v in pair]
    counts = {kind: max(kinds[kind][0].size, kinds[kind][1].size) for kind in KINDS}
    return Changes(
        config=config,
        before=rows[0],
        after=rows[1],
        counts=counts,
        columns=columns,
        strata=[one for name in by for one in _by_stratum(sides, kinds, name, pair, config)],
        means=_means(pair, config),
        examples={
            kind: _examples(sides, kinds[kind], shared, limit) for kind in KINDS if counts[kind]
        },
        new_columns=tuple(n for n in types[1] if n not in types[0] and types[0]),
        gone_columns=tuple(n for n in types[0] if n not in types[1] and types[1]),
    )


def _types(version: Version, config: str) -> dict[str, str]:
    """The columns of a configuration with their types, of all its splits."""
    return {
        n: t for split in version.configs.get(config, {}).values() for n, t in split.columns.items()
    }


def _in_both(a: Side, b: Side) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the rows that both sides have, by id; of several equal ids the n-th."""
    frames = [pl.DataFrame({"row_id": side.ids, f"at_{n}": np.arange(side.height)}) for n, side in
              enumerate((a, b))]  # fmt: skip
    names = ["row_id"]
    if any(side.ids.n_unique() < side.height for side in (a, b)):
        names.append("nth")
        frames = [f.with_columns(nth=pl.int_range(pl.len()).over("row_id")) for f in frames]
    both = frames[0].join(frames[1], on=names).sort("at_0")
    return both["at_0"].to_numpy(), both["at_1"].to_numpy()


def _by_stratum(
    sides: Sequence[Side],
    kinds: Mapping[str, tuple[np.ndarray, np.ndarray]],
    by: str,
    pair: tuple[Version, Version],
    config: str,
) -> list[dict[str, Any]]:
    """How many rows of each kind have each value; a pair counts by its value after."""
    values = [side.values.get(by) for side in sides]
    counts: dict[str, dict[str, int]] = {}
    for kind, (before, after) in kinds.items():
        of, at = (values[1], after) if after.size else (values[0], before)
        if of is not None:
            told = of.gather(pl.Series(at)).fill_null("(none)").value_counts()
            for stratum, n in told.iter_rows():
                counts.setdefault(stratum, {})[kind] = n
    totals = [
        ((v.about.get("data") or {}).get(config, {}).get("strata") or {}).get(by) for v in pair
    ]
    for of_all in totals:
        counts |= {name: {} for name in of_all or () if name not in counts}
    return [
        {
            "column": by, "stratum": stratum, **{kind: of.get(kind, 0) for kind in KINDS},
            "before": None if totals[0] is None else totals[0].get(stratum, 0),
            "after": None if totals[1] is None else totals[1].get(stratum, 0),
        }
        for stratum, of in sorted(counts.items())
    ]  # fmt: skip


def _means(pair: tuple[Version, Version], config: str) -> list[dict[str, Any]]:
    a, b = ((v.about.get("data") or {}).get(config, {}).get("means") or {} for v in pair)
    return [
        {"column": name, "before": a[name][1], "after": b[name][1]}
        for name in a
        if name in b and abs(a[name][1] - b[name][1]) > 1e-9 * max(1.0, abs(a[name][1]))
    ]


def _examples(
    sides: Sequence[Side],
    of: tuple[np.ndarray, np.ndarray],
    shared: Iterable[str],
    limit: int,
) -> list[dict[str, Any]]:
    """The first rows by id: of a pair, what it was before and after, where that differs."""
    n = 0 if of[0].size else 1
    ids = sides[n].ids.gather(pl.Series(of[n]))
    first = ids.arg_sort().head(limit).to_numpy()
    rows = [side.rows(at[first]) if at.size else None for side, at in zip(sides, of, strict=True)]
    found = []
    for number in range(first.size):
        one, other = (side[number] if side is not None else None for side in rows)
        row = one or other or {}
        told: dict[str, Any] = {"row_id": row["row_id"], "split": row["_split"]}
        if one and other:
            told |= {
                "row_id_after": other["row_id"], "split_after": other["_split"],
                "differs": {c: (one[c], other[c]) for c in shared if one[c] != other[c]},
            }  # fmt: skip
        shown = other or row
        told["row"] = {
            c: v for c, v in shown.items() if v is not None and c not in _ROWS and c != "_split"
        }
        found.append(told)
    return found
