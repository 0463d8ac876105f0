"""Erase rows for good: from older versions, runs, journals, vote logs, and whatever repeats them.

What is to be erased is written down first (`<store>/<name>/purging/unfinished.json`), and each file
is replaced in one move; so a purge that was killed is finished by the next one. Until then that
file has the texts which are looked for; afterwards ids alone are left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.annotate.log import VoteLog
from databuild.engine.store import Store, read_manifest
from databuild.release.ancestry import COLUMNS, RELEASED, downwards, table_of
from databuild.release.erasing import erase_step, has_gone
from databuild.release.journals import erase_requests, journal_name
from databuild.release.renewing import affected, renew
from databuild.release.texts import Patterns, leaves, pieces, sweep_file, unsaid
from databuild.release.uses import reached
from databuild.release.versions import Tombstone, Versions, names_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from databuild.release.uses import Meant

KIND, UNFINISHED = "purging", "unfinished"
_OWN = {"databuild.json", "file-digests.json", "latest.json", "withdrawn.json", ".lock"}


@dataclass
class Purged:
    """What was erased, or would be."""

    rows: dict[str, int] = field(default_factory=dict)
    """Rows, lines or files, by place."""
    left: list[str] = field(default_factory=list)
    """What is to be known besides, such as what was removed whole."""

    def count(self, place: str, n: int) -> None:
        """Count what was erased in a place."""
        if n:
            self.rows[place] = self.rows.get(place, 0) + n


@dataclass
class Erasure:
    """What is to be erased."""

    ids: pl.Series
    texts: list[str]
    requests: list[str]
    """Ids of requests whose answers became such rows."""
    meant: list[tuple[str, str]]
    versions: dict[str, dict[str, dict[str, int]]]
    """The files that have such rows, and how many: by data set and version."""
    fingerprints: dict[str, dict[str, str]]
    """Those that these versions have now."""
    objects: dict[str, list[str]]
    """Checksums of those files, by data set."""

    def plain(self) -> dict[str, Any]:
        """It as JSON."""
        told = {name: value for name, value in vars(self).items() if name != "ids"}
        return {**told, "ids": self.ids.to_list()}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Erasure:
        """The same from JSON."""
        ids = pl.Series("row_id", told["ids"], dtype=pl.String)
        meant = [(str(kind), str(text)) for kind, text in told["meant"]]
        rest = ("versions", "fingerprints", "objects")
        return cls(ids, told["texts"], told["requests"], meant, *(told[one] for one in rest))

    def names(self, kind: str) -> set[str]:
        """What is meant of a kind."""
        return {text for one, text in self.meant if one == kind}


def plan_erasure(store: Path, runs: Path, meant: Sequence[Meant], known: pl.Series) -> Erasure:
    """Find all rows that are to be erased, in every version and every step folder, and their texts.

    Args:
        store: The folder of versions.
        runs: The runs folder, which may be gone.
        meant: What is withdrawn.
        known: Rows that are to be erased in any case.
    """
    tables = [table_of(Versions(store, name), number)
              for name in names_in(store) for number in Versions(store, name).known()]  # fmt: skip
    tables += [_lines(folder) for folder in step_folders(runs)]
    rows = pl.concat([pl.DataFrame(schema=COLUMNS), *tables])
    ids = reached(rows, meant)
    ids = pl.concat([ids.rename("row_id"), reached_from(rows, known)]).unique()
    texts, requests = _texts(store, runs, ids)
    found: dict[str, dict[str, dict[str, int]]] = {}
    objects: dict[str, list[str]] = {}
    fingerprints: dict[str, dict[str, str]] = {}
    for name in names_in(store):
        versions = Versions(store, name)
        for number in versions.known():
            paths = affected(versions, number, ids)
            if paths:
                version = versions.read(number)
                found.setdefault(name, {})[number] = paths
                fingerprints.setdefault(name, {})[number] = version.fingerprint
                # Also the small files, which may repeat what a row said.
                objects.setdefault(name, []).extend(one.sha256 for one in version.files)
    asked: list[tuple[str, str]] = [(one.kind, one.text) for one in meant]
    return Erasure(ids, texts, requests, asked, found, fingerprints, objects)


def reached_from(rows: pl.DataFrame, ids: pl.Series) -> pl.Series:
    """Rows, and all that was made from them."""
    return downwards(rows, ids).rename("row_id")


def erase(store: Path, runs: Path, what: Erasure, stone: Tombstone) -> Purged:
    """Erase it everywhere; doing so twice changes nothing.

    Raises:
        StoreError: A run works in the folder, or it cannot be written.
    """
    done, patterns = Purged(), Patterns(tuple(what.texts))
    for name, numbers in what.versions.items():
        versions = Versions(store, name)
        for number, paths in numbers.items():
            told = stone.model_copy(update={
                "rows": _by_split(paths), "fingerprint": what.fingerprints[name][number],
            })  # fmt: skip
            done.left += renew(versions, number, what.ids, set(paths), patterns, told)
            done.count(f"{name}@{number}", sum(told.rows.values()))
        versions.drop_objects(what.objects[name])
    for recipe in sorted(path.parent for path in runs.glob("*/latest.json")):
        with Store(runs, recipe.name).locked():
            for folder in step_folders(runs, recipe.name):
                done.count(f"run {recipe.name}", erase_step(folder, what.ids, patterns))
    _erase_journals(runs, what, patterns, stone.why, done)
    for path in _other_files(runs):
        told_of = sweep_file(path, patterns)
        if told_of:
            done.left.append(f"{path.parent}: {told_of}")
    return done


def weigh(runs: Path, what: Erasure) -> Purged:
    """Say what would be erased: the rows of every version and run. Nothing is changed."""
    done = Purged()
    for name, numbers in what.versions.items():
        for number, paths in numbers.items():
            done.count(f"{name}@{number}", sum(_by_split(paths).values()))
    for folder in step_folders(runs):
        manifest = read_manifest(folder)
        makes = manifest is not None and manifest.kind == "produce"
        for path in folder.glob("part-*.parquet") if makes else ():
            done.count(f"run {folder.parent.name}", _gone_in(path, what.ids))
    return done


def step_folders(runs: Path, recipe: str = "*") -> list[Path]:
    """Every step's folder under a runs folder, also those that no run points at any more."""
    return sorted(path.parent for path in runs.glob(f"{recipe}/*/manifest.json"))


def _by_split(paths: dict[str, int]) -> dict[str, int]:
    """Released rows by `config/split`, from those of files."""
    found: dict[str, int] = {}
    for path, n in paths.items():
        if path.startswith("data/"):
            split = path.removeprefix("data/").rpartition("-")[0]
            found[split] = found.get(split, 0) + n
    return found


def _gone_in(path: Path, ids: pl.Series) -> int:
    if "row_id" not in pl.read_parquet_schema(path):
        return 0
    return int(pl.read_parquet(path, columns=["row_id"])["row_id"].is_in(ids.implode()).sum())


def _lines(folder: Path) -> pl.DataFrame:
    """The lineage of the rows in a step's folder, finished or not."""
    manifest = read_manifest(folder)
    parts = sorted(folder.glob("part-*.parquet"))
    if manifest is None or manifest.kind != "produce" or not parts:
        return pl.DataFrame(schema=COLUMNS)
    scan = pl.scan_parquet(parts, missing_columns="insert", extra_columns="ignore")
    there = scan.collect_schema()
    own = {"model", "annotator"} if manifest.inputs else {"source_file", "source_record"}
    own = set() if manifest.use == RELEASED else own
    told = [
        (pl.col(c) if c in own | {"row_id", "parent_ids"} and c in there else pl.lit(None))
        .cast(dtype).alias(c)
        for c, dtype in COLUMNS.items()
        if c not in {"step", "use"}
    ]  # fmt: skip
    lines = scan.select(told).collect()
    named = lines.with_columns(step=pl.lit(manifest.step), use=pl.lit(manifest.use))
    return named.select(list(COLUMNS))


def _tables(store: Path, runs: Path) -> Iterator[pl.DataFrame]:
    """Every table of rows: of the steps that made them, and of the versions."""
    for folder in step_folders(runs):
        manifest = read_manifest(folder)
        if manifest is not None and manifest.kind == "produce":
            for path in sorted(folder.rglob("part-*.parquet")):
                yield pl.read_parquet(path)
    for name in names_in(store):
        versions = Versions(store, name)
        for number in versions.known():
            for one in versions.read(number).files:
                if one.path.startswith("data/"):
                    yield pl.read_parquet(versions.folder(number) / one.path)


def _texts(store: Path, runs: Path, ids: pl.Series) -> tuple[list[str], list[str]]:
    """What the rows say that no other row says, and the requests that some are answers to."""
    said, requests = [pl.Series("text", [], dtype=pl.String)], set[str]()
    for rows in _tables(store, runs):
        gone = rows.filter(has_gone(rows, ids))
        said.append(pieces(leaves(gone)))
        if {"k", "parent_ids", "sample_seed"} <= set(gone.columns):
            for parents, k in gone.select("parent_ids", "k").iter_rows():
                requests |= {f"{parent}-{k}" for parent in parents}
    candidates = pl.concat(said).unique()
    texts = candidates.to_list()
    for rows in _tables(store, runs) if texts else ():
        left = leaves(rows.filter(~has_gone(rows, ids)))
        there = pl.concat([left, pieces(left)])
        texts = unsaid(texts, there.filter(there.is_in(candidates.implode())))
    return sorted(texts), sorted(requests)


def _erase_journals(runs: Path, what: Erasure, patterns: Patterns, why: str, done: Purged) -> None:
    journals = runs / "journals"
    ids = frozenset(what.ids.to_list())
    for path in sorted(journals.glob("*/requests.jsonl")):
        whole = path.parent.name in {journal_name(one) for one in what.names("model")}
        n = erase_requests(path, ids | set(what.requests), patterns, whole=whole)
        done.count("answers in journals", n)
    people = what.names("annotator")
    for path in sorted(journals.glob("votes/*.jsonl")):
        n = VoteLog(journals, path.stem).forget(ids, people, why)
        done.count("lines of vote logs", n)
        if n:
            said = f"vote log {path.stem}: a tool such as Argilla may still have these records"
            done.left.append(said)


def _other_files(runs: Path) -> list[Path]:
    """The files of a runs folder that are neither tables of steps nor journals of requests."""
    found = []
    for path in sorted(runs.rglob("*")):
        is_known = path.name in _OWN or path.suffix == ".parquet"
        is_log = path.parent.name == "votes" and path.suffix == ".jsonl"
        if path.is_file() and not path.is_symlink() and not is_known and not is_log:
            found.append(path)
    return found
