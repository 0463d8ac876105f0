"""The only code that writes step output: folders, manifests, parts; atomic, and locked for one run.

    <runs>/databuild.json                        format of the folder
    <runs>/file-digests.json                     digests of source files, by path, size and mtime
    <runs>/journals/<model>/*.jsonl              finished requests, append-only
    <runs>/<recipe>/latest.json                  which folder is each step's, as of the last run
    <runs>/<recipe>/<step>-<key8>/manifest.json  configuration and row counts
    <runs>/<recipe>/<step>-<key8>/part-*.parquet rows, measured columns or verdicts; present = done

Everything is written to a temporary name, fsynced and renamed, so a file that is there is whole.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from databuild.engine.ledger import Usages, added
from databuild.errors import StoreError
from databuild.recipe.model import Prices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FORMAT = 1
ROW_GROUP_ROWS = 16_384
_GONE = ".gone"


class Counts(BaseModel):
    """Row accounting of a step or of one of its parts."""

    model_config = ConfigDict(extra="forbid")

    rows_in: int = 0
    rows_out: int = 0
    """Measured, kept or made."""
    dropped: int = 0
    failed: int = 0
    retry: int = 0
    """Failed, and worth another try."""
    by_reason: dict[str, int] = Field(default_factory=dict)
    by_part: dict[str, int] = Field(default_factory=dict)
    notes: dict[str, int] = Field(default_factory=dict)
    """What else is to be known of the rows, and how often it occurred: what a source repaired."""
    tokens_in: int = 0
    """Of the rows that were made, whoever paid for them."""
    tokens_out: int = 0
    usage: Usages = Field(default_factory=dict)
    """What was asked of each model, by its identity."""

    @classmethod
    def total(cls, counts: Iterable[Counts]) -> Counts:
        """Add up the counts of parts."""
        summed: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        parts: Counter[str] = Counter()
        notes: Counter[str] = Counter()
        usage: Usages = {}
        for one in counts:
            plain = one.model_dump(exclude={"usage"})
            usage = added(usage, one.usage)
            reasons.update(plain.pop("by_reason"))
            parts.update(plain.pop("by_part"))
            notes.update(plain.pop("notes"))
            summed.update(plain)
        return cls(
            **summed, by_reason=dict(reasons.most_common()),
            by_part=dict(sorted(parts.items())), notes=dict(notes.most_common()),
            usage=usage,
        )  # fmt: skip


class Part(BaseModel):
    """What one committed part holds; it travels in the Parquet file's own metadata."""

    counts: Counts
    digest: str
    """Order-free digest of the rows, as 32 hexadecimal digits."""
    part_digests: dict[str, str] = Field(default_factory=dict)
    """Of a select: the digest of each kept part."""
    split: int = 0
    piece: int = 0
    """Of a source: which piece of which split it is."""


class ModelTarget(BaseModel):
    """A model that a step may ask: what it is, and where."""

    model_config = ConfigDict(frozen=True)

    identity: str
    kind: Literal["folder", "packaged", "endpoint", "fake"]
    location: str = ""
    """Folder (below the runs folder, or absolute), package, or URL."""
    options: dict[str, Any] = Field(default_factory=dict)
    prices: Prices | None = None
    """What its tokens cost, where the recipe says so."""
    versions: dict[str, str] = Field(default_factory=dict)
    """The released versions that it was trained on, or its start was: fingerprints by name."""


class Manifest(BaseModel):
    """What a step was, and what became of its rows."""

    format: int = FORMAT
    databuild: str
    step: str
    use: str
    kind: str
    key: str
    key_parts: dict[str, Any]
    config: dict[str, Any]
    inputs: dict[str, str]
    status: Literal["unfinished", "complete"] = "unfinished"
    started: str
    seconds: float = 0.0
    splits: list[dict[str, Any]] | None = None
    """The shard plan of a source, pinned when it starts."""
    n_parts: int = 0
    layout: str = ""
    """Which rows lie in which part of the table that the parts are aligned with."""
    digest: str = ""
    part_digests: dict[str, str] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    rows: Counts = Field(default_factory=Counts)
    usage: Usages = Field(default_factory=dict)
    """What was asked of each model, by its identity, so far: see `engine.ledger`."""
    stopped: str = ""
    """Why it is unfinished, where it ended in good order."""
    metrics: dict[str, Any] = Field(default_factory=dict)
    model: ModelTarget | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    """The released versions (`name@1.2.0`) that its rows came from, with their fingerprints."""
    seed: int | None = None
    machine: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Store:
    """The runs folder of one recipe."""

    runs: Path
    recipe: str

    @property
    def root(self) -> Path:
        """The recipe's own folder."""
        return self.runs / self.recipe

    def folder(self, step: str, key: str) -> Path:
        """The folder of a step's output under its key."""
        return self.root / f"{step}-{key[:8]}"

    def open(self) -> None:
        """Make the folder, or check that it is one of ours and of this format.

        Raises:
            StoreError: It belongs to another version, or cannot be written.
        """
        marker = self.runs / "databuild.json"
        if marker.exists():
            found = read_json(marker).get("format")
            if found != FORMAT:
                what = f"this runs folder has format {found}, this databuild reads format {FORMAT}"
                raise StoreError(str(self.runs), what, fix="use another folder with `--runs DIR`")
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            if not marker.exists():
                write_json(marker, {"format": FORMAT})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the recipe's folder for one run.

        Raises:
            StoreError: Another run holds it.
        """
        with writing(self.root):
            handle = (self.root / ".lock").open("a+")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                handle.seek(0)
                what = f"another run works in this folder (process {handle.read().strip()})"
                fix = "wait for it to end, or use another folder with `--runs DIR`"
                raise StoreError(str(self.root), what, fix=fix) from error
            with writing(self.root):
                handle.truncate(0)
                handle.write(str(os.getpid()))
                handle.flush()
            yield

    def manifest(self, step: str, key: str) -> Manifest | None:
        """The manifest under a key, complete or not; None where there is none."""
        return read_manifest(self.folder(step, key))

    def latest(self) -> dict[str, Any]:
        """The pointer of the last run: `run`, `status`, and `steps` (name to folder name)."""
        path = self.root / "latest.json"
        return read_json(path) if path.exists() else {}


def read_manifest(folder: Path) -> Manifest | None:
    """Read a step folder's manifest; None where there is none.

    Raises:
        StoreError: It is broken, or of another format.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return None
    content = read_json(path)
    if content.get("format") != FORMAT:
        found = content.get("format")
        what = f"the manifest has format {found}, this databuild reads format {FORMAT}"
        fix = f"use another folder with `--runs DIR`, or delete {folder} and run again"
        raise StoreError(str(path), what, fix=fix)
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        what = f"the manifest is of another version or damaged ({error.error_count()} faults)"
        fix = f"delete {folder} and run again"
        raise StoreError(str(path), what, fix=fix) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the store's own JSON files.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        fix = "delete the file and run again"
        raise StoreError(str(path), f"it cannot be read: {error}", fix=fix) from error


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what the file system refuses into one clear error.

    Raises:
        StoreError: No space is left, or the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise _refused(place, error.strerror or str(error)) from error
    except pl.exceptions.ComputeError as error:
        raise _refused(place, str(error)) from error


@contextmanager
def making_room(place: Path) -> Iterator[None]:
    """Turn "no space left" in a step that writes files itself into the same clear error.

    Raises:
        StoreError: No space is left. Everything else is the step's own trouble and passes.
    """
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        is_full = getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}
        if not is_full and os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise _refused(place, os.strerror(errno.ENOSPC)) from error


def _refused(place: Path, reason: str) -> StoreError:
    fix = "make room or writable there, and run again: everything finished is kept"
    return StoreError(str(place), f"cannot write: {reason}", fix=fix)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with writing(path), _temporary(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def write_part(folder: Path, index: int, rows: pl.DataFrame, part: Part | None = None) -> None:
    """Commit `part-<index>.parquet`, with its counts in its own metadata."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {"databuild": part.model_dump_json()} if part else None
        with _temporary(part_path(folder, index)) as temporary:
            rows.write_parquet(
                temporary, compression="zstd", compression_level=1,
                row_group_size=ROW_GROUP_ROWS, metadata=metadata,
            )  # fmt: skip


def sweep(folder: Path) -> None:
    """Remove what a killed attempt left half-written, or half removed, in a step's folder."""
    for name in (".part-*.parquet.*", ".manifest.json.*"):
        for path in folder.glob(f"**/{name}"):
            path.unlink(missing_ok=True)
    for path in folder.glob(f".*{_GONE}"):
        shutil.rmtree(path, ignore_errors=True)


def remove_at_once(folder: Path) -> None:
    """Remove a folder, if it is there: after a kill all of it is there under its name, or nothing.

    What lies in a folder that was half removed would be taken for whole by the next attempt.
    """
    gone = folder.with_name(f".{folder.name.lstrip('.')}{_GONE}")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(OSError):  # it is not there, or stays as it is
        folder.replace(gone)
    shutil.rmtree(gone, ignore_errors=True)


def part_path(folder: Path, index: int) -> Path:
    """Where a part lies."""
    return folder / f"part-{index:05d}.parquet"


def read_part(folder: Path, index: int) -> Part | None:
    """What a committed part holds; None where it is not committed.

    A file that another program damaged counts as not there, so that it is made again.
    """
    path = part_path(folder, index)
    if not path.exists():
        return None
    try:
        metadata = pl.read_parquet_metadata(path)
        return Part.model_validate_json(metadata["databuild"])
    except (pl.exceptions.ComputeError, KeyError, ValidationError):
        return None


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A temporary folder whose content is moved into `folder` at the end, all of it or none."""
    staging = folder / ".staged"
    with writing(folder):
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
    with making_room(folder):
        yield staging
    with writing(folder):
        for item in sorted(staging.iterdir()):
            target = folder / item.name
            if target.is_dir():
                shutil.rmtree(target)
            item.replace(target)
        staging.rmdir()


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name to write to; what was written becomes `path` in one move, or is gone."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
