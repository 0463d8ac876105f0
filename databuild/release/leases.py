"""Who works in a store right now: a lease is a small file that its holder renews.

Process numbers say nothing across machines and containers, and a lock of the file system (flock)
says nothing on object stores and is silently local on some network file systems. A lease needs no
more of a store than the file's own time: whoever asks writes a lease too, so "now" is read off the
same clock, the store's. A holder that has been silent for `DEAD_S` counts as dead; one of this very
machine and process space is dead as soon as its process is gone.

A clearing-out (`gc`) is alone; releases may be several. Each writes its lease first and looks for
others then, so of two that begin at once at least one sees the other.
"""

from __future__ import annotations

import json
import os
import platform
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from databuild.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databuild.release.depots import Depot

BEAT_S = 60.0
DEAD_S = 600.0
RELEASE, GC = "release", "gc"


@dataclass
class Lease:
    """One that is held."""

    depot: Depot
    key: str
    token: str
    lost: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Make sure that nobody has declared us dead; asked before the last write.

        Raises:
            StoreError: Somebody has, and may have removed what we wrote.
        """
        self.beat()
        if self.lost:
            what = f"this release was silent for {DEAD_S / 60:.0f} minutes and was cleared away"
            raise StoreError(self.depot.where, what, fix="release again: what was sent is kept")

    def beat(self) -> None:
        """Renew it, unless somebody removed it."""
        found = self.depot.read(self.key)
        if found is None or not self.depot.swap(self.key, found.content, found.tag):
            self.lost = True

    def beat_on(self) -> None:
        """Renew it every `BEAT_S`, until it is given back."""
        while not self.over.wait(BEAT_S) and not self.lost:
            try:
                self.beat()
            except StoreError:  # out of reach for a moment: the next beat may pass
                continue


@contextmanager
def lease(depot: Depot, name: str, what: str) -> Iterator[Lease]:
    """Hold a lease on a data set while something is done to it.

    Args:
        depot: The store.
        name: The data set.
        what: `release` or `gc`.

    Raises:
        StoreError: Somebody clears out, or we want to and somebody works.
    """
    token = token_hex(4)
    key = f"{name}/.leases/{what}-{token}"
    about = {**_self(), "what": what, "since": datetime.now(UTC).isoformat(timespec="seconds")}
    depot.create(key, json.dumps(about).encode())
    held = Lease(depot, key, token)
    beating = threading.Thread(target=held.beat_on, daemon=True)
    try:
        for other, told in living(depot, name, besides=token).items():
            if GC in {what, told.get("what")}:
                who = f"{told.get('what')} {other}, process {told.get('pid')} on {told.get('host')}"
                what = f"somebody works here ({who}, since {told.get('since')})"
                fix = "wait for it to end; if it was killed on another machine, it counts as dead "
                fix += f"after {DEAD_S / 60:.0f} minutes"
                raise StoreError(f"{depot.where}/{name}", what, fix=fix)
        beating.start()
        yield held
    finally:
        held.over.set()
        depot.delete(key)


def living(depot: Depot, name: str, besides: str = "") -> dict[str, dict[str, Any]]:
    """The leases of others that are alive, by token; those of the dead are removed.

    Args:
        depot: The store.
        name: The data set.
        besides: Our own token: its time is "now".
    """
    entries = depot.entries(f"{name}/.leases")
    now = max((one.modified for one in entries if one.key.endswith(f"-{besides}")), default=0.0)
    found = {}
    for one in entries:
        token = one.key.rpartition("-")[2]
        if token == besides:
            continue
        read = depot.read(one.key)
        told = _told(read.content) if read else {}
        if read is None:
            continue
        if now - one.modified > DEAD_S or _is_dead_here(told):
            depot.delete(one.key)
        else:
            found[token] = told
    return found


def _self() -> dict[str, Any]:
    """Who we are: the machine's boot and our process space tell whether a pid means anything."""
    return {"host": platform.node(), "space": _space(), "pid": os.getpid(),
            "born": _born(os.getpid())}  # fmt: skip


def _space() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux: only silence tells
        return ""


def _born(pid: int) -> str:
    """When a process began, in ticks since boot: another one may have its number later."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_dead_here(told: dict[str, Any]) -> bool:
    space = told.get("space")
    return bool(space) and space == _space() and _born(int(told["pid"])) != told.get("born")


def _told(content: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError):
        return {}
