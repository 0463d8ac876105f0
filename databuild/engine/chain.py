"""An append-only log whose every line carries the digest of the line before it.

One JSON object a line, written as UTF-8; its field `before` is the digest (BLAKE2b, 128 bits, of
the line's bytes without the newline) of the line before, empty on the first. The digest of the last
line, the head, therefore says everything that the log says: it is a step's key where a step reads
the log. A line that a kill cut short is cut off at the next append; a line that was changed, taken
out or put in by hand breaks the chain, and the log is refused from there.

What has to be forgotten is erased in the open: a line becomes `{"kind": "withdrawn", "was": <its
digest>}`, which stands for it in the chain, and a line of the kind `purge` at the end names every
digest that was erased, when and why. A line that is withdrawn and not named by such is refused.
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
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

BEFORE = "before"
WITHDRAWN, PURGE = "withdrawn", "purge"
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
        before, unnamed = "", set[str]()
        with self.path.open("rb") as handle:
            for number, raw in enumerate(handle, 1):
                if not raw.endswith(b"\n"):
                    break  # torn by a kill; the next append cuts it off
                line = raw[:-1]
                entry = _parsed(line)
                if entry is None or entry.get(BEFORE) != before:
                    what = f"line {number} does not follow the line before it: it was changed"
                    fix = "put back a copy of the file; a log is only ever appended to"
                    raise StoreError(str(self.path), what, fix=fix)
                if entry.get("kind") == WITHDRAWN:
                    before = str(entry.get("was"))
                    unnamed.add(before)
                    continue
                if entry.get("kind") == PURGE:
                    unnamed.difference_update(entry["erased"])
                before = digest_of_line(line)
                yield {**entry, "digest": before}
        if unnamed:
            what = f"{len(unnamed)} lines were taken out, and no purge names them"
            raise StoreError(str(self.path), what, fix="put back a copy of the file")

    def erase(self, which: Callable[[dict[str, Any]], bool], note: Mapping[str, Any]) -> int:
        """Take out the lines that are meant; return how many there were.

        The file is replaced in one move: all of them are gone, and named, or none is.

        Args:
            which: Says of a line whether it is to be forgotten.
            note: What the line that names them says besides, such as when and why.

        Raises:
            StoreError: The log was changed by hand, or cannot be written.
        """
        if not self.path.exists():
            return 0
        for _ in self.read():  # refuse to go on from a log that was changed
            pass
        with self.appending() as appender, self.path.open("rb") as handle:
            lines, erased = [], []
            for raw in handle:
                entry = _parsed(raw[:-1])
                assert entry is not None
                if entry.get("kind") not in {WITHDRAWN, PURGE} and which(entry):
                    erased.append(digest_of_line(raw[:-1]))
                    stone = {"kind": WITHDRAWN, "was": erased[-1], BEFORE: entry[BEFORE]}
                    lines.append(_written(stone))
                else:
                    lines.append(raw)
            if erased:
                told = {**note, "kind": PURGE, "erased": erased, BEFORE: appender.head}
                _replace(self.path, b"".join([*lines, _written(told)]))
        return len(erased)

    @contextmanager
    def appending(self) -> Iterator[Appender]:
        """Hold the log for one writer, who waits for others; a torn last line is cut off.

        Raises:
            StoreError: It cannot be written.
        """
        handle = self._held()
        try:
            yield Appender(self.path, handle)
        finally:
            os.close(handle)

    def _held(self) -> int:
        """The file, locked; once more where it was replaced while we waited."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
                fcntl.flock(handle, fcntl.LOCK_EX)
                if self._is_current(handle):
                    return handle
                os.close(handle)

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except FileNotFoundError:
            return False


class Appender:
    """The one writer of a log, while it holds it."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle = path, handle
        _cut_torn_line(handle)
        line = _last_line(handle)
        self._head = digest_of_line(line) if line else ""

    @property
    def head(self) -> str:
        """The digest of the last line."""
        return self._head

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


def _written(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n"


def _replace(path: Path, content: bytes) -> None:
    """Write a file anew, whole or not at all."""
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        handle = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(path)


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
