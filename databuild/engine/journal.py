"""An append-only journal: what was paid for is on disk before it is counted.

One folder per model, one JSON line per finished request, written with a single `write` to a file
opened for appending: `[key, value]`, or `[key, value, note]` with what is to be known beside it
(who paid, how long it took). A line that a kill cut short is cut off when the journal is next
opened, and a line that does not parse is skipped and counted, so its request is made again.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

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
            self._entries: dict[str, list[Any]] = {}
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self._lock()
            self._read()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> dict[str, Any] | None:
        """What was journalled under a key, or None."""
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    def note(self, key: str) -> dict[str, Any]:
        """What was noted beside it; nothing where nothing was, as in journals of before."""
        entry = self._entries.get(key, ())
        return entry[2] if len(entry) > 2 else {}

    def put(self, key: str, value: dict[str, Any], note: dict[str, Any] | None = None) -> None:
        """Append an entry. A process killed right afterwards does not lose it.

        Raises:
            StoreError: The disk is full, or the folder cannot be written.
        """
        entry = [key, value] if note is None else [key, value, note]
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        with writing(self._path):
            start = os.fstat(self._file).st_size
            written = os.write(self._file, line)
            if written != len(line):
                os.ftruncate(self._file, start)
                raise OSError(28, os.strerror(28))
        self._entries[key] = entry

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
                entry = _parsed(line)
                if entry is None:
                    self.damaged += 1
                else:
                    self._entries[entry[0]] = entry
        if whole < self._path.stat().st_size:
            os.truncate(self._path, whole)


def _parsed(line: bytes) -> list[Any] | None:
    """An entry, or None where the line is damaged.

    Pydantic's parser is three times as quick as Python's, and knows no lone surrogates.
    """
    try:
        entry = from_json(line)
    except ValueError:
        try:
            entry = json.loads(line.decode("utf-8", "surrogatepass"))
        except ValueError:
            return None
    is_whole = isinstance(entry, list) and 2 <= len(entry) <= 3 and isinstance(entry[0], str)
    return entry if is_whole and all(isinstance(one, dict) for one in entry[1:]) else None
