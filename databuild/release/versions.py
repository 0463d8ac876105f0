"""The released versions of a data set: what lies where, and the only code that moves its pointers.

In a folder:

    <store>/<name>/<version>/manifest.json    what the version is: files, checksums, steps, gates
    <store>/<name>/<version>/README.md        the data set card
    <store>/<name>/<version>/data/<config>/<split>-*.parquet
    <store>/<name>/<version>/lineage/{rows,sources}-*.parquet
    <store>/<name>/objects/<sha256>           every file once; versions hold hard links to them
    <store>/<name>/pointers.json              latest, best and tags
    <store>/<name>/removed.json               versions that were removed: their numbers stay taken
    <store>/<name>/.leases/                   who works here now

In an object store a version is its manifest alone, and the files lie among the objects: all of
them are sent first, the manifest last and only where there is none, so a version is there whole or
not at all and of two that are released at once one wins. In a folder it is made beside its place
and moved there in one step, to the same effect.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from databuild.engine.store import writing
from databuild.errors import StoreError, nearest
from databuild.release.depots import Folder, cache, link, opened
from databuild.release.leases import RELEASE, lease, living
from databuild.release.manifest import (
    FORMAT,
    MANIFEST,
    File,
    Gate,
    Removed,
    Split,
    Tombstone,
    Version,
    fingerprint,
    plain,
    sha256_of,
    told,
)
from databuild.release.naming import Reference, numbers
from databuild.release.sending import Sent, nobody, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from databuild.release.depots import Depot
    from databuild.release.encryption import Key
    from databuild.release.sending import Tick

__all__ = [
    "FORMAT", "MANIFEST", "File", "Gate", "Removed", "Split", "Tombstone", "Version", "Versions",
    "at", "cache", "fingerprint", "names_in", "plain", "remove", "sha256_of", "taken", "told",
]  # fmt: skip


@dataclass(frozen=True)
class Versions:
    """All versions of one data set.

    Args:
        store: A folder, or a URL as `s3://bucket/prefix`.
        name: The data set.
    """

    store: Path | str
    name: str
    sent: Sent = field(default_factory=Sent, compare=False)
    """What was written by this object, and what was there already."""
    secret: Key | None = field(default=None, compare=False, repr=False)
    """The key of what is encrypted."""

    @cached_property
    def depot(self) -> Depot:
        """The folder or bucket."""
        return opened(self.store)

    @property
    def root(self) -> Path:
        """The data set's own folder.

        Raises:
            StoreError: It lies in an object store.
        """
        if not isinstance(self.depot, Folder):
            fix = "take the version out with `databuild checkout`, or name a folder as --store"
            raise StoreError(self.depot.where, "this needs a store in a folder", fix=fix)
        return self.depot.root / self.name

    @property
    def where(self) -> str:
        """The data set's folder or URL, for people."""
        return f"{self.depot.where}/{self.name}"

    def known(self) -> list[str]:
        """The versions that are there, oldest number first."""
        gone = self.removed()
        found = [one for one in self._numbers() if one not in gone]
        if isinstance(self.depot, Folder):
            found = [one for one in found if (self.root / one / MANIFEST).is_file()]
        return sorted(found, key=lambda one: numbers(one) or ())

    def half_removed(self) -> list[str]:
        """Versions that are noted as removed and of which something is there still."""
        gone = self.removed()
        return [one for one in self._numbers() if one in gone]

    def taken(self) -> list[str]:
        """The numbers that can be given no more: of versions that are there, and removed ones."""
        return sorted({*self.known(), *self.removed()}, key=lambda one: numbers(one) or ())

    def folder(self, version: str) -> Path:
        """A folder that holds a version; one in an object store is fetched into the cache."""
        if isinstance(self.depot, Folder):
            return self.root / version
        made, place = self.read(version), cache() / "versions" / self._cached / version
        for one in made.files:
            path = place / one.path
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                link(self.file(made, one), path)
        (place / MANIFEST).write_text(told(made), encoding="utf-8")
        return place

    def place(self, version: str) -> Path | str:
        """Where a version lies: its folder, or its URL."""
        is_folder = isinstance(self.depot, Folder)
        return self.root / version if is_folder else f"{self.where}/{version}"

    def file(self, version: Version, one: File) -> Path:
        """A file of a version on this machine; of an object store, fetched once and checked.

        Raises:
            StoreError: It is missing there, or not as it was released.
        """
        if isinstance(self.depot, Folder):
            return self.root / version.version / one.path
        path = cache() / "objects" / one.sha256
        if not (path.is_file() and path.stat().st_size == one.bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            waiting = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                found = self.depot.download(self.key(version, one), waiting)
                if found != one.sha256:
                    what = "missing" if found is None else "changed"
                    what = f"{version.name}@{version.version}: {one.path} is {what}"
                    fix = "see `databuild verify` for what is still whole"
                    raise StoreError(self.where, what, fix=fix)
                waiting.replace(path)
            finally:
                waiting.unlink(missing_ok=True)
        return path

    def key(self, version: Version, one: File) -> str:
        """Where a version's own file lies in the store: in its folder, or among the objects."""
        is_folder = isinstance(self.depot, Folder)
        return f"{self.name}/{version.version}/{one.path}" if is_folder else self.object_key(one)

    def object_key(self, one: File) -> str:
        """Where a file lies among the objects."""
        return f"{self.name}/objects/{one.sha256}"

    def leftovers(self, token: str) -> list[Path]:
        """What killed releases and clearings-out left on this machine, or in this folder.

        Args:
            token: Our own lease, by whose time others are alive or dead.
        """
        is_folder = isinstance(self.depot, Folder)
        above = self.root if is_folder else cache() / "staging" / self._cached
        there = sorted(above.glob(".*.*.*.*"))  # before we ask who lives: who begins later, lives
        alive = living(self.depot, self.name, besides=token)
        return [one for one in there if one.name.rpartition(".")[2] not in alive]

    def half_written(self) -> list[Path]:
        """Objects that were being written when their writer died; asked when nobody writes."""
        return sorted(self.root.glob("objects/.*")) if isinstance(self.depot, Folder) else []

    def find(self, version: str) -> str:
        """The version that a number, a tag, `latest` or `best` means.

        Raises:
            StoreError: There is none, or it was removed; says which are near.
        """
        known = self.known()
        if not known:
            others = [name for name in names_in(self.store) if name != self.name]
            what = f"no version of {self.name!r} is here; {nearest(self.name, others)}"
            fix = "publish one with `databuild release`, or name the folder with `--store DIR`"
            raise StoreError(self.depot.where, what, fix=fix)
        pointers = {"latest": known[-1], **self.pointers()}
        found = pointers.get(version, version)
        if found not in known:
            gone = self.removed().get(found)
            near = f"was removed on {gone.removed[:10]}" if gone else "is not there"
            what = f"{self.name} has no version {version!r} ({near}); "
            what += nearest(version, [*known, *pointers])
            raise StoreError(self.where, what, fix="see `databuild versions`")
        return found

    def read(self, version: str) -> Version:
        """The manifest of a version.

        Raises:
            StoreError: It is damaged, or of another databuild.
        """
        key = f"{self.name}/{self.find(version)}/{MANIFEST}"
        content = self._json(key)
        if content.get("format") != FORMAT:
            what = f"it has format {content.get('format')}, this databuild reads {FORMAT}"
            fix = (
                f"read it with the databuild that it names ({content.get('databuild', 'unknown')})"
            )
            raise StoreError(f"{self.depot.where}/{key}", what, fix=fix)
        try:
            return Version.model_validate(content)
        except ValidationError as error:
            what = f"the manifest is damaged ({error.error_count()} faults)"
            fix = "take the version from a copy"
            raise StoreError(f"{self.depot.where}/{key}", what, fix=fix) from error

    def pointers(self) -> dict[str, str]:
        """Names that were given to versions: `latest`, `best` and tags."""
        return {k: str(v) for k, v in self._json(f"{self.name}/pointers.json").items()}

    def point(self, **names: str) -> None:
        """Move names to versions, all of them or none; what others moved meanwhile stays."""
        self._merge("pointers.json", names)

    def removed(self) -> dict[str, Removed]:
        """Versions that were removed, by number."""
        found = self._json(f"{self.name}/removed.json")
        return {version: Removed.model_validate(one) for version, one in found.items()}

    def bury(self, version: Version, when: str) -> None:
        """Note that a version is removed, before any of it is."""
        rows = sum(split.rows for of in version.configs.values() for split in of.values())
        gone = Removed(
            removed=when, created=version.created, fingerprint=version.fingerprint, rows=rows
        )
        self._merge("removed.json", {version.version: gone.model_dump()})

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        """Small documents that were kept beside the versions, by name."""
        keys = [one.key for one in self.depot.entries(f"{self.name}/{kind}")]
        return {Path(key).stem: self._json(key) for key in keys if key.endswith(".json")}

    def note(self, kind: str, name: str, content: dict[str, Any]) -> None:
        """Keep a small document beside the versions, in the place of one of that name."""
        self._change(f"{kind}/{name}.json", lambda _: content)

    def drop_objects(self, digests: Iterable[str]) -> int:
        """Remove those of some objects that no version has any more; return how many."""
        needed = {one.sha256 for version in self.known() for one in self.read(version).files}
        there = {one.key.rpartition("/")[2] for one in self.depot.entries(f"{self.name}/objects")}
        gone = (set(digests) - needed) & there
        for digest in gone:
            self.depot.delete(f"{self.name}/objects/{digest}")
        return len(gone)

    @contextmanager
    def making(self, version: str, tick: Tick = nobody) -> Iterator[Path]:
        """A folder to write a version to; at the end it is moved into its place, whole.

        Args:
            version: Its number.
            tick: Told of bytes that are sent to an object store, and how many there are to send.

        Raises:
            StoreError: Somebody else has released the version meanwhile, or the disk is full.
        """
        with lease(self.depot, self.name, RELEASE) as held:
            folder = isinstance(self.depot, Folder)
            above = self.root if folder else cache() / "staging" / self._cached
            staging = above / f".{version}.{held.token}"
            for path in self.leftovers(held.token):
                remove(path)
            with writing(above):
                staging.mkdir(parents=True)
            try:
                with writing(staging):
                    yield staging
                if folder:
                    held.check()
                    self._move(staging, version)
                else:
                    send(self, staging, json.loads((staging / MANIFEST).read_bytes()), held, tick)
            finally:
                remove(staging)

    def keep(self, path: Path, within: Path, rows: int | None = None) -> File:
        """Hash a finished file; of a folder, put it among the objects, where it may lie already.

        What stays at `path` is a hard link, where the file system has them. What goes to an object
        store is sent at the end, after all gates: nothing that they refuse leaves the machine.
        """
        digest = sha256_of(path)
        name = path.relative_to(within).as_posix()
        found = File(path=name, sha256=digest, bytes=path.stat().st_size, rows=rows)
        if isinstance(self.depot, Folder):
            there = self.root / "objects" / digest
            is_new = not (there.is_file() and there.stat().st_size == found.bytes)
            if is_new:
                self.depot.upload(path, self.object_key(found))
            self.sent.count(found.bytes, is_new=is_new)
            path.unlink()
            link(there, path)
        return found

    def _numbers(self) -> list[str]:
        return [one for one in self.depot.children(self.name) if numbers(one)]

    @property
    def _cached(self) -> str:
        return f"{hashlib.sha256(self.depot.where.encode()).hexdigest()[:12]}/{self.name}"

    def _move(self, staging: Path, version: str) -> None:
        for path in staging.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            staging.rename(self.root / version)
        except OSError as error:
            raise taken(self, version) from error

    def _merge(self, file: str, content: dict[str, Any]) -> None:
        self._change(file, lambda before: {**before, **content})

    def _change(self, file: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        key = f"{self.name}/{file}"
        for attempt in range(60):
            found = self.depot.read(key)
            before = _read_json(found.content, f"{self.depot.where}/{key}") if found else {}
            new = json.dumps(change(before), indent=1, ensure_ascii=False) + "\n"
            if self.depot.swap(key, new.encode(), found.tag if found else None):
                return
            time.sleep(min(0.02 * (attempt + 1), 0.5))
        what = f"{file} was changed by others 60 times while we tried to change it"
        raise StoreError(self.where, what, fix="try again")

    def _json(self, key: str) -> dict[str, Any]:
        found = self.depot.read(key)
        return _read_json(found.content, f"{self.depot.where}/{key}") if found else {}


def at(
    store: Path | str, reference: Reference, secret: Key | None = None
) -> tuple[Versions, Version]:
    """A version that was named, and its siblings.

    Raises:
        StoreError: It is not there.
    """
    versions = Versions(store, reference.name, secret=secret)
    return versions, versions.read(reference.version)


def names_in(store: Path | str) -> list[str]:
    """The data sets of a store."""
    depot = opened(store)
    return [name for name in depot.children("") if "objects" in depot.children(name)]


def taken(versions: Versions, version: str) -> StoreError:
    """The error of the second of two writers."""
    what = f"version {version} has been released by somebody else meanwhile"
    fix = "look at it with `databuild diff`, and release as `auto`"
    return StoreError(versions.where, what, fix=fix)


def remove(path: Path) -> None:
    """Remove a file or a folder, also one that was made read-only."""
    import shutil

    if path.is_dir():
        for folder in [path, *(one for one in path.rglob("*") if one.is_dir())]:
            folder.chmod(0o755)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _read_json(content: bytes, where: str) -> dict[str, Any]:
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError) as error:
        fix = "take the file from a copy, or see `databuild verify` for what is whole"
        raise StoreError(where, f"it cannot be read: {error}", fix=fix) from error
