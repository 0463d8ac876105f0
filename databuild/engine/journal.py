"""An append-only journal: what was paid for is on disk before it is counted.

One folder per model, one JSON line per finished request, written with a single `write` to a file
opened for appending. A line that a kill cut short is cut off when the journal is next opened, and
a line that does not parse is skipped and counted, so its request is made again.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from databuild.engine.store import writing
from databuild.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "requests.jsonl"


class Journal:
    """The finished requests of one model, by key."""

    def __init__(self, folder: Path) -> None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / _FILE
            self.damaged = 0
            self._entries: dict[str, dict[str, Any]] = {}
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self._lock()
            self._read()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> dict[str, Any] | None:
        """What was journalled under a key, or None."""
        return self._entries.get(key)

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Append an entry. A process killed right afterwards does not lose it.

        Raises:
            StoreError: The disk is full, or the folder cannot be written.
        """
        line = json.dumps([key, value], ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        with writing(self._path):
            start = os.fstat(self._file).st_size
            written = os.write(self._file, line)
            if written != len(line):
                os.ftruncate(self._file, start)
                raise OSError(28, os.strerror(28))
        self._entries[key] = value

    def flush(self) -> None:
        """Make what was written survive a power cut too."""
        with writing(self._path):
            os.fsync(self._file)

    def close(self) -> None:
        """Flush and let go of the file."""
        self.flush()
        os.close(self._file)

    def _lock(self) -> None:
        """Refuse a journal that another run writes to: each would cut off the other's last line."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            what = "another run asks the same model and writes to this journal"
            fix = "wait for it to end, or use another folder with `--runs DIR`"
            raise StoreError(str(self._path), what, fix=fix) from error

    def _read(self) -> None:
        whole = 0
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                try:
                    key, value = json.loads(line)
                    self._entries[str(key)] = dict(value)
                except (ValueError, TypeError):
                    self.damaged += 1
        if whole < self._path.stat().st_size:
            os.truncate(self._path, whole)
