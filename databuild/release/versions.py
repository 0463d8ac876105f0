"""The folder of released versions: what lies where, and the only code that moves its pointers.

    <store>/<name>/<version>/manifest.json    what the version is: files, checksums, steps, gates
    <store>/<name>/<version>/README.md        the data set card
    <store>/<name>/<version>/data/<config>/<split>-*.parquet
    <store>/<name>/<version>/lineage/{rows,sources}-*.parquet
    <store>/<name>/objects/<sha256>           every file once; versions hold hard links to them
    <store>/<name>/pointers.json              latest, best and tags

A version is made beside its place and moved there in one step, so it is there whole or not at all,
and of two that are released at once one wins.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from databuild.engine.store import read_json, write_json, writing
from databuild.errors import StoreError, nearest
from databuild.release.encryption import Encrypted
from databuild.release.naming import Reference, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1
MANIFEST = "manifest.json"


class File(BaseModel):
    """A file of a version."""

    path: str
    """Within the version's folder, with slashes."""
    sha256: str
    bytes: int
    rows: int | None = None
    seal: str | None = None
    """Of an encrypted file: the digest of its plain bytes under the key."""


class Split(BaseModel):
    """A split of a configuration."""

    step: str
    """The table that it is: `step` or `step.part`."""
    rows: int
    columns: dict[str, str]
    """Polars types, by name."""


class Gate(BaseModel):
    """Something that a version had to pass."""

    name: str
    passed: bool | None
    """None: not checked, for want of a step that checks it."""
    told: str
    """What was found."""
    override: str | None = None
    """Why it was released all the same."""


class Version(BaseModel):
    """A released version of a data set."""

    format: int = FORMAT
    name: str
    version: str
    created: str
    databuild: str
    recipe: str
    run: str
    """The run that it was released from."""
    fingerprint: str
    """Hash of the checksums of all data files: equal fingerprints, equal data."""
    configs: dict[str, dict[str, Split]]
    files: list[File]
    gates: list[Gate] = Field(default_factory=list)
    licence: dict[str, str | None] = Field(default_factory=dict)
    """Of each source, by step."""
    steps: dict[str, str] = Field(default_factory=dict)
    """The key of every step behind it, by name."""
    trained: dict[str, str] = Field(default_factory=dict)
    """Models that were trained on it in the run that it was released from: step to identity."""
    encrypted: Encrypted | None = None
    """What of it needs a key, and which."""


@dataclass(frozen=True)
class Versions:
    """All versions of one data set."""

    store: Path
    name: str

    @property
    def root(self) -> Path:
        """The data set's own folder."""
        return self.store / self.name

    def known(self) -> list[str]:
        """The versions that are there, oldest number first."""
        found = [path.parent.name for path in self.root.glob(f"*/{MANIFEST}")]
        return sorted((one for one in found if numbers(one)), key=lambda one: numbers(one) or ())

    def folder(self, version: str) -> Path:
        """Where a version lies."""
        return self.root / version

    def find(self, version: str) -> str:
        """The version that a number, a tag, `latest` or `best` means.

        Raises:
            StoreError: There is none; says which are near.
        """
        known = self.known()
        if not known:
            there = sorted(p.parent.name for p in self.store.glob("*/objects"))
            what = f"no version of {self.name!r} is here; {nearest(self.name, there)}"
            raise StoreError(str(self.store), what, fix="name the folder with `--store DIR`")
        pointers = {"latest": known[-1], **self.pointers()}
        found = pointers.get(version, version)
        if found not in known:
            what = (
                f"{self.name} has no version {version!r}; {nearest(version, [*known, *pointers])}"
            )
            raise StoreError(str(self.root), what, fix="see `databuild versions`")
        return found

    def read(self, version: str) -> Version:
        """The manifest of a version.

        Raises:
            StoreError: It is damaged, or of another databuild.
        """
        path = self.folder(self.find(version)) / MANIFEST
        content = read_json(path)
        if content.get("format") != FORMAT:
            what = f"it has format {content.get('format')}, this databuild reads {FORMAT}"
            raise StoreError(str(path), what, fix="read it with the databuild that it names")
        try:
            return Version.model_validate(content)
        except ValidationError as error:
            what = f"the manifest is damaged ({error.error_count()} faults)"
            raise StoreError(str(path), what, fix="take the version from a copy") from error

    def pointers(self) -> dict[str, str]:
        """Names that were given to versions: `latest`, `best` and tags."""
        path = self.root / "pointers.json"
        return {k: str(v) for k, v in read_json(path).items()} if path.exists() else {}

    def point(self, **names: str) -> None:
        """Move names to versions, all of them or none."""
        write_json(self.root / "pointers.json", {**self.pointers(), **names})

    @contextmanager
    def making(self, version: str) -> Iterator[Path]:
        """A folder to write a version to; at the end it is moved into its place, whole.

        Raises:
            StoreError: Somebody else has released the version meanwhile, or the disk is full.
        """
        staging = self.root / f".{version}.{token_hex(4)}.{os.getpid()}"
        with writing(self.root):
            self._sweep()
            (self.root / "objects").mkdir(parents=True, exist_ok=True)
            staging.mkdir()
        try:
            with writing(staging):
                yield staging
            for path in staging.rglob("*"):
                path.chmod(0o555 if path.is_dir() else 0o444)
            try:
                staging.rename(self.folder(version))
            except OSError as error:
                what = f"version {version} has been released by somebody else meanwhile"
                fix = "look at it with `databuild diff`, and release as `auto`"
                raise StoreError(str(self.root), what, fix=fix) from error
        finally:
            _remove(staging)

    def keep(self, path: Path, within: Path, rows: int | None = None) -> File:
        """Put a finished file among the objects, where an equal one may lie already.

        What stays at `path` is a hard link, where the file system has them.
        """
        digest = sha256_of(path)
        there = self.root / "objects" / digest
        if not there.exists():
            waiting = there.with_name(f".{digest}.{os.getpid()}")
            _link(path, waiting)
            waiting.replace(there)
        path.unlink()
        _link(there, path)
        name = path.relative_to(within).as_posix()
        return File(path=name, sha256=digest, bytes=path.stat().st_size, rows=rows)

    def _sweep(self) -> None:
        """Remove what killed releases left; what they had kept among the objects is used again."""
        for path in self.root.glob(".*.*"):
            pid = path.name.rpartition(".")[2]
            if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                _remove(path)


def at(store: Path, reference: Reference) -> tuple[Versions, Version]:
    """A version that was named, and its siblings.

    Raises:
        StoreError: It is not there.
    """
    versions = Versions(store, reference.name)
    return versions, versions.read(reference.version)


def names_in(store: Path) -> list[str]:
    """The data sets of a store."""
    return sorted(path.parent.name for path in store.glob("*/objects"))


def sha256_of(path: Path) -> str:
    """The checksum of a file, read once."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint(files: list[File]) -> str:
    """The hash of all data files, whatever their order."""
    data = sorted((one.path, one.sha256) for one in files if one.path.startswith("data/"))
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:32]


def plain(version: Version) -> dict[str, Any]:
    """What a manifest file holds."""
    return version.model_dump(mode="json")


def _link(path: Path, to: Path) -> None:
    try:
        to.hardlink_to(path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, to)


def _remove(path: Path) -> None:
    if path.is_dir():
        for folder in [path, *(one for one in path.rglob("*") if one.is_dir())]:
            folder.chmod(0o755)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
