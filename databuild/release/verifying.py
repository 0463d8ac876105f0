"""Hash a version again, file by file, where it lies: nothing is copied out of an object store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

from databuild.release.depots import Folder
from databuild.release.sending import AT_ONCE, nobody
from databuild.release.versions import MANIFEST, Version, Versions, fingerprint

if TYPE_CHECKING:
    from databuild.release.sending import Tick


@dataclass(frozen=True)
class Verified:
    """What was found of a version."""

    version: Version
    files: int
    bytes: int
    faults: dict[str, str]
    """What is wrong, by file: `missing`, `changed`, or `not of this version`."""

    @property
    def intact(self) -> dict[str, int]:
        """Rows of each split that can still be read, as `config/split`."""
        found: dict[str, int] = {}
        for one in self.version.files:
            if one.path.startswith("data/") and one.path not in self.faults:
                split = one.path.removeprefix("data/").rpartition("-")[0]
                found[split] = found.get(split, 0) + (one.rows or 0)
        return found


def verify(versions: Versions, version: str, tick: Tick = nobody) -> Verified:
    """Compare every file of a version with its checksum, several files at once.

    Raises:
        StoreError: The version is not there, or its manifest cannot be read.
    """
    found = versions.read(version)
    faults, read = {}, 0
    total = sum(one.bytes for one in found.files)
    tick(0, total)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        hashing = {
            pool.submit(versions.depot.download, versions.key(found, one), None): one
            for one in found.files
        }
        for done in as_completed(hashing):
            one, digest = hashing[done], done.result()
            if digest is None:
                faults[one.path] = "missing"
                continue
            if digest != one.sha256:
                faults[one.path] = "changed"
            read += one.bytes
            tick(one.bytes, total)
    faults = {one.path: faults[one.path] for one in found.files if one.path in faults}
    if isinstance(versions.depot, Folder):
        faults |= _strangers(versions, found)
    if fingerprint(found.files) != found.fingerprint:
        faults[MANIFEST] = "changed"
    return Verified(found, len(found.files), read, faults)


def _strangers(versions: Versions, found: Version) -> dict[str, str]:
    folder = versions.folder(found.version)
    known = {one.path for one in found.files} | {MANIFEST}
    names = ((path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*")))
    return {n: "not of this version" for path, n in names if path.is_file() and n not in known}
