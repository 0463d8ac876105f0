"""An append-only log whose every line carries the digest of the line before it.

One JSON object a line, written as UTF-8; its field `before` is the digest (BLAKE2b, 128 bits, of
the line's bytes without the newline) of the line before, empty on the first. The digest of the last
line, the head, therefore says everything that the log says: it is a step's key where a step reads
the log. A line that a kill cut short is cut off at the next append; a line that was changed, taken
out or put in by hand breaks the chain, and the log is refused from there.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from databuild.engine.store import writing
from databuild.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

BEFORE = "before"
_TAIL = 1 << 16


def digest_of_line(line: bytes) -> str:
    """The digest of a line without its newline, 32 hexadecimal digits.

    Example:
        >>> digest_of_line(b"{}")
        '2afb9b83f9314e5d029766197f539792'
    """
    return blake2b(line, digest_size=16).hexdigest()


class Chain:
    """A chained log in a file, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def head(self) -> str:
        """The digest of the last whole line; empty where there is none. Reads the end only."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as handle:
            line = _last_line(handle.fileno())
        return digest_of_line(line) if line else ""

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield every whole line, checked against the chain, with its own digest as `digest`.

        Raises:
            StoreError: A line is no JSON object, or does not follow the line before it.
        """
        if not self.path.exists():
            return
        before = ""
        with self.path.open("rb") as handle:
            for number, raw in enumerate(handle, 1):
                if not raw.endswith(b"\n"):
                    return  # torn by a kill; the next append cuts it off
                line = raw[:-1]
                entry = _parsed(line)
                if entry is None or entry.get(BEFORE) != before:
                    what = f"line {number} does not follow the line before it: it was changed"
                    fix = "put back a copy of the file; a log is only ever appended to"
                    raise StoreError(str(self.path), what, fix=fix)
                before = digest_of_line(line)
                yield {**entry, "digest": before}

    @contextmanager
    def appending(self) -> Iterator[Appender]:
        """Hold the log for one writer, who waits for others; a torn last line is cut off.

        Raises:
            StoreError: It cannot be written.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield Appender(self.path, handle)
        finally:
            os.close(handle)


class Appender:
    """The one writer of a log, while it holds it."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle = path, handle
        _cut_torn_line(handle)
        line = _last_line(handle)
        self._head = digest_of_line(line) if line else ""

    def append(self, entries: Iterable[Mapping[str, Any]]) -> list[str]:
        """Append entries, all or none, and sync them to the disk; return their digests.

        Raises:
            StoreError: The disk is full, or the file cannot be written.
        """
        lines, digests, head = [], [], self._head
        for entry in entries:
            text = json.dumps({**entry, BEFORE: head}, ensure_ascii=False, separators=(",", ":"))
            line = text.encode("utf-8", "surrogatepass")
            head = digest_of_line(line)
            lines.append(line + b"\n")
            digests.append(head)
        if not lines:
            return []
        whole = b"".join(lines)
        with writing(self._path):
            start = os.fstat(self._handle).st_size
            written = 0
            try:
                while written < len(whole):
                    written += os.write(self._handle, whole[written:])
                os.fsync(self._handle)
            except OSError:
                os.ftruncate(self._handle, start)
                raise
        self._head = head
        return digests


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line.decode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _end_of_lines(handle: int) -> int:
    """Where the last newline ends; 0 where there is none."""
    end = os.fstat(handle).st_size
    while end:
        start = max(0, end - _TAIL)
        newline = os.pread(handle, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _cut_torn_line(handle: int) -> None:
    end = _end_of_lines(handle)
    if end < os.fstat(handle).st_size:
        os.ftruncate(handle, end)


def _last_line(handle: int) -> bytes:
    """The last whole line without its newline."""
    end = _end_of_lines(handle)
    text, start = b"", max(end - 1, 0)
    while start:
        step = max(0, start - _TAIL)
        text = os.pread(handle, start - step, step) + text
        newline = text.rfind(b"\n")
        if newline >= 0:
            return text[newline + 1 :]
        start = step
    return text
