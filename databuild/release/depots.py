"""Where a store keeps its files: a folder, or a bucket of an object store; the same few operations.

A file is written whole or not at all, and two operations are decided by the store itself, so that
of two writers one wins and knows it: `create` (only where there is none) and `swap` (only where it
is still as it was read). A folder does it by a hard link and by a lock that is held for
milliseconds; an object store by the headers If-None-Match and If-Match.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple, Protocol

from databuild.engine.store import writing
from databuild.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_URL = re.compile(r"([a-z][a-z0-9+]+):/+(.*)")
_BLOCK = 1 << 20


class Entry(NamedTuple):
    """A file that is there."""

    key: str
    bytes: int
    modified: float
    """Seconds since 1970 by the clock of whoever keeps the file, never by our own."""


class Found(NamedTuple):
    """What a small file holds, and the word by which `swap` knows it again."""

    content: bytes
    tag: str


class Depot(Protocol):
    """Files by key, `name/objects/abc`; a key has slashes and never begins with one."""

    @property
    def where(self) -> str:
        """The folder, or the URL, for people."""

    def children(self, prefix: str) -> list[str]:
        """The names directly below, of files and folders, sorted; hidden ones too."""

    def entries(self, prefix: str) -> list[Entry]:
        """The files directly below; what is being written is not among them."""

    def read(self, key: str) -> Found | None:
        """A small file; None where there is none."""

    def create(self, key: str, content: bytes) -> bool:
        """Write a small file if there is none; whether it was written."""

    def swap(self, key: str, content: bytes, tag: str | None) -> bool:
        """Write a small file if it is as it was read (None: not there); whether it was written."""

    def upload(self, path: Path, key: str) -> None:
        """Put a finished file there, whatever lies there."""

    def download(self, key: str, to: Path | None) -> str | None:
        """Copy a file out, or only read it; its SHA-256, or None where there is none."""

    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is no fault."""


def opened(store: Path | str) -> Depot:
    """The folder or bucket that `--store` names: `releases`, `s3://bucket/prefix`, `gs://...`.

    A URL that went through `Path` lost one slash, and is understood all the same.

    Raises:
        StoreError: The extra `stores` is not installed, or the URL is of no known kind.

    Example:
        >>> opened("/data/releases").where
        '/data/releases'
        >>> address(Path("s3://bucket/prefix"))
        's3://bucket/prefix'
    """
    url = address(store)
    if url is None:
        return Folder(Path(store))
    from databuild.release.buckets import bucket

    return bucket(url)


def address(store: Path | str) -> str | None:
    """The URL of a store that is not a folder of this machine; None of one that is."""
    found = _URL.fullmatch(str(store))
    return f"{found[1]}://{found[2].rstrip('/')}" if found else None


@dataclass(frozen=True)
class Folder:
    """A depot in the file system, on one machine or shared by several (NFS, a mounted volume)."""

    root: Path

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.root)

    def children(self, prefix: str) -> list[str]:
        """The names directly below."""
        place = self.root / prefix
        return sorted(one.name for one in place.iterdir()) if place.is_dir() else []

    def entries(self, prefix: str) -> list[Entry]:
        """The files directly below whose names do not begin with a dot."""
        place, found = self.root / prefix, []
        for one in os.scandir(place) if place.is_dir() else ():
            try:
                if not one.name.startswith(".") and one.is_file(follow_symlinks=False):
                    about = one.stat(follow_symlinks=False)
                    key = f"{prefix}/{one.name}"
                    found.append(Entry(key, about.st_size, about.st_mtime))
            except FileNotFoundError:  # removed meanwhile
                continue
        return sorted(found)

    def read(self, key: str) -> Found | None:
        """A small file; its tag is its checksum."""
        try:
            content = (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            what, fix = f"it cannot be read: {error.strerror}", "look at the file and its folder"
            raise StoreError(str(self.root / key), what, fix=fix) from error
        return Found(content, hashlib.sha256(content).hexdigest())

    def create(self, key: str, content: bytes) -> bool:
        """Write under another name and link: a link fails where a file is, on NFS too."""
        path = self.root / key
        with self._written(path, content) as waiting:
            try:
                path.hardlink_to(waiting)
            except FileExistsError:
                return False
            except OSError:  # a file system without links: the copy is not whole for a moment
                return _create_without_links(path, content)
        return True

    def swap(self, key: str, content: bytes, tag: str | None) -> bool:
        """Compare and rename under a lock that the kernel gives back when its holder dies."""
        path = self.root / key
        lock = path.parent / ".lock"
        with self._written(path, content) as waiting, writing(path), lock.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            found = self.read(key)
            if (found.tag if found else None) != tag:
                return False
            waiting.replace(path)
        return True

    def upload(self, path: Path, key: str) -> None:
        """Copy or link a finished file to its place."""
        to = self.root / key
        with writing(to):
            to.parent.mkdir(parents=True, exist_ok=True)
            waiting = to.with_name(f".{to.name}.{token_hex(4)}")
            try:
                link(path, waiting)
                waiting.replace(to)
            finally:
                waiting.unlink(missing_ok=True)

    def download(self, key: str, to: Path | None) -> str | None:
        """Copy a file out while it is hashed."""
        try:
            source = (self.root / key).open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return None
        with source:
            if to is None:
                return hashlib.file_digest(source, "sha256").hexdigest()
            with writing(to):
                return copied(iter(lambda: source.read(_BLOCK), b""), to)

    def delete(self, key: str) -> None:
        """Remove a file, also from a folder that was made read-only."""
        (self.root / key).unlink(missing_ok=True)

    @contextmanager
    def _written(self, path: Path, content: bytes) -> Iterator[Path]:
        waiting = path.with_name(f".{path.name}.{token_hex(4)}")
        try:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with waiting.open("wb") as handle:
                    handle.write(content)
                    handle.flush()
                    os.fsync(handle.fileno())
            yield waiting
        finally:
            waiting.unlink(missing_ok=True)


def link(path: Path, to: Path) -> None:
    """A hard link, or a copy where the file system has none or it is another one."""
    import shutil

    try:
        to.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, to)


def copied(blocks: Iterator[bytes], to: Path) -> str:
    """Write blocks to a file, hashing them on the way; the SHA-256 of what was written."""
    digest = hashlib.sha256()
    with to.open("wb") as target:
        for block in blocks:
            digest.update(block)
            target.write(block)
    return digest.hexdigest()


def _create_without_links(path: Path, content: bytes) -> bool:
    with writing(path):
        try:
            with path.open("xb") as handle:
                handle.write(content)
        except FileExistsError:
            return False
    return True


def cache() -> Path:
    """Where files of object stores are kept: `$XDG_CACHE_HOME/databuild/stores`."""
    at_home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(at_home) / "databuild" / "stores"
