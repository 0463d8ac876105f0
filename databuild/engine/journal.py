"""An append-only journal: what was paid for is on disk before it is counted.

One folder per model, one JSON line per finished request, written with a single `write` to a file
opened for appending: `[key, value]`, or `[key, value, note]` with what is to be known beside it
(who paid, how long it took). A line that a kill cut short is cut off when the journal is next
opened, and a line that does not parse is skipped and counted, so its request is made again.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from databuild.engine.store import writing
from databuild.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_FILE = "requests.jsonl"
_CHUNK = 4 << 20
"""Bytes of lines that are parsed at once."""
_NOTHING: dict[str, Any] = {}


class Journal:
    """The finished requests of one model, by key."""

    def __init__(self, folder: Path) -> None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / _FILE
            self.damaged = 0
            # Two flat mappings: Python's garbage collector need not look at what holds only texts
            # and numbers, as every value and note does.
            self._entries: dict[str, dict[str, Any]] = {}
            self._notes: dict[str, dict[str, Any]] = {}
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self._lock()
            self._read()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> dict[str, Any] | None:
        """What was journalled under a key, or None."""
        return self._entries.get(key)

    def note(self, key: str) -> dict[str, Any]:
        """What was noted beside it; nothing where nothing was, as in journals of before."""
        return self._notes.get(key, _NOTHING)

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
        self._keep(key, value, note)

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

    def _keep(self, key: str, value: dict[str, Any], note: dict[str, Any] | None) -> None:
        self._entries[key] = value
        if note is not None:
            self._notes[key] = note
        elif key in self._notes:
            del self._notes[key]

    def _read(self) -> None:
        whole = 0
        with self._path.open("rb") as source, unswept():
            while lines := source.readlines(_CHUNK):
                if not lines[-1].endswith(b"\n"):
                    lines.pop()
                whole += sum(map(len, lines))
                for entry in _parsed(lines):
                    if entry is None:
                        self.damaged += 1
                    else:
                        self._keep(entry[0], entry[1], entry[2] if len(entry) == 3 else None)
        if whole < self._path.stat().st_size:
            os.truncate(self._path, whole)


@contextmanager
def unswept() -> Iterator[None]:
    """Pause Python's garbage collector: for loops that make many objects and no circles of them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _parsed(lines: list[bytes]) -> Iterable[list[Any] | None]:
    """The entries of whole lines, None for each that is damaged.

    All at once where none is, by Pydantic's parser: that is four times as quick as one by one by
    Python's, which alone knows lone surrogates.
    """
    try:
        entries: list[Any] = from_json(b"[%b]" % b",".join(lines))
    except ValueError:
        entries = []
    if len(entries) != len(lines):  # a damaged line may be no entry, or look like two
        entries = [_parsed_alone(line) for line in lines]
    return (entry if _is_whole(entry) else None for entry in entries)


def _parsed_alone(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8", "surrogatepass"))
    except ValueError:
        return None


def _is_whole(entry: Any) -> bool:
    if type(entry) is not list or not 2 <= len(entry) <= 3:
        return False
    is_pair = type(entry[0]) is str and type(entry[1]) is dict
    return is_pair and (len(entry) == 2 or type(entry[2]) is dict)
