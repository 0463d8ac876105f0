"""Hash a version again, file by file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from databuild.release.versions import MANIFEST, Version, Versions, fingerprint, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable


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


def verify(
    versions: Versions, version: str, tick: Callable[[int], None] = lambda _bytes: None
) -> Verified:
    """Compare every file of a version with its checksum.

    Raises:
        StoreError: The version is not there, or its manifest cannot be read.
    """
    found = versions.read(version)
    folder = versions.folder(found.version)
    faults, read = {}, 0
    for one in found.files:
        path = folder / one.path
        if not path.is_file():
            faults[one.path] = "missing"
            continue
        if sha256_of(path) != one.sha256:
            faults[one.path] = "changed"
        read += one.bytes
        tick(one.bytes)
    known = {one.path for one in found.files} | {MANIFEST}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in known:
            faults[name] = "not of this version"
    if fingerprint(found.files) != found.fingerprint:
        faults[MANIFEST] = "changed"
    return Verified(found, len(found.files), read, faults)
