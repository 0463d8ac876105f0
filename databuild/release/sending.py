"""Send a version to an object store: its files first, several at once, its manifest last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from databuild.release.depots import Entry

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.release.leases import Lease
    from databuild.release.versions import Versions

AT_ONCE = 8
"""Requests under way at once: object stores answer each slowly and many quickly."""


class Tick(Protocol):
    """Told of progress."""

    def __call__(self, n_bytes: int, total: int, /) -> None:
        """So many bytes more are sent, of so many to send in all."""


def nobody(n_bytes: int, total: int) -> None:
    """Watch nothing."""


@dataclass
class Sent:
    """What a release wrote, in files and bytes; small files of the store itself do not count."""

    new_files: int = 0
    new_bytes: int = 0
    shared_files: int = 0
    shared_bytes: int = 0

    def count(self, n_bytes: int, *, is_new: bool) -> None:
        """Count a file that was written, or was there already."""
        if is_new:
            self.new_files += 1
            self.new_bytes += n_bytes
        else:
            self.shared_files += 1
            self.shared_bytes += n_bytes


def send(
    versions: Versions, staging: Path, manifest: dict[str, Any], held: Lease, tick: Tick
) -> None:
    """Send what is not there yet, and publish the manifest if there is none of that number.

    A file counts as there when one of its checksum and size is: a release that was killed half way
    goes on where it was. What is there and was damaged later is found by `verify`.

    Raises:
        StoreError: The store cannot be reached, or somebody else was first.
    """
    from databuild.release.versions import MANIFEST, taken

    depot, name = versions.depot, versions.name
    there = {(one.key, one.bytes) for one in depot.entries(f"{name}/objects")}
    waiting: dict[str, Entry] = {}
    for one in manifest["files"]:
        key = f"{name}/objects/{one['sha256']}"
        is_new = (key, one["bytes"]) not in there and key not in waiting
        versions.sent.count(one["bytes"], is_new=is_new)
        if is_new:
            waiting[key] = Entry(one["path"], one["bytes"], 0.0)
    total = sum(one.bytes for one in waiting.values())
    tick(0, total)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sending = {
            pool.submit(depot.upload, staging / one.key, key): one.bytes
            for key, one in waiting.items()
        }
        try:
            for done in as_completed(sending):
                done.result()
                tick(sending[done], total)
        finally:
            pool.shutdown(cancel_futures=True)
    held.check()
    content = (staging / MANIFEST).read_bytes()
    if not depot.create(f"{name}/{manifest['version']}/{MANIFEST}", content):
        raise taken(versions, manifest["version"])
