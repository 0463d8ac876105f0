"""An append-only journal: what was paid for is on disk before it is counted.

One folder per model, one JSON line per finished request, written with a single `write` to a file
opened for appending: `[key, value]`, or `[key, value, note]` with what is to be known beside it
(who paid, how long it took). A line that a kill cut short is cut off when the journal is next
opened, and a line that does not parse is passed over and counted, so its request is made again.

What was there when the journal was opened stays in the file: memory holds where each key stands
(`engine.key_index`), and a line is parsed when it is asked for. So a journal of ten million answers
costs some 300 MB of memory, and opening it costs one look at every byte.
"""

from __future__ import annotations

import fcntl
import gc
import json
import mmap
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic_core import from_json

from databuild.engine.key_index import HEAD_BYTES, KEY_DIGITS, KeyIndex
from databuild.engine.store import writing
from databuild.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_FILE = "requests.jsonl"
_AT_ONCE = 1 << 13
"""Lines that are parsed at once."""
_NOTHING: dict[str, Any] = {}
_NOTE, _JOINED = b'}, {"', b', "'
"""Where a value ends and its note begins (a quote within a text is written with a backslash, so
this stands nowhere else), and what makes one object of both."""

Entry = tuple[dict[str, Any], dict[str, Any]]
"""A value and its note."""


class Journal:
    """The finished requests of one model, by key."""

    def __init__(self, folder: Path) -> None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / _FILE
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            self._lock()
            self._text = self._whole_lines()
        self.damaged = 0
        """Lines that were found to be no entry, so far."""
        self._damaged: set[int] = set()
        # What is not in the index: what was put since, and lines of another form.
        self._entries: dict[str, Entry] = {}
        self._index = KeyIndex(np.frombuffer(self._text, np.uint8))
        for start, end in self._index.odd:
            self._take(self._text[start:end])

    def __len__(self) -> int:
        """How many keys it has; one whose line is damaged inside counts until it is asked for."""
        indexed = self._places(list(self._entries))
        return len(self._index) + len(self._entries) - int((indexed >= 0).sum())

    def get(self, key: str) -> dict[str, Any] | None:
        """What was journalled under a key, or None."""
        (entry,) = self.find([key])
        return None if entry is None else entry[0]

    def find(self, keys: Sequence[str]) -> list[Entry | None]:
        """What was journalled under each key, with what was noted beside it; None for nothing."""
        found = [self._entries.get(key) for key in keys]
        missing = [i for i, entry in enumerate(found) if entry is None]
        places = self._places([keys[i] for i in missing])
        at = np.flatnonzero(places >= 0)
        with unswept():
            for start in range(0, len(at), _AT_ONCE):
                some = at[start : start + _AT_ONCE]
                for i, entry in zip(some.tolist(), self._parsed(places[some]), strict=True):
                    found[missing[i]] = entry
        return found

    def frame(self, keys: bytes, schema: Mapping[str, Any]) -> pl.DataFrame:
        """What was journalled under each key, as columns: for many keys ten times as quick.

        Args:
            keys: Keys of 16 bytes each, one after another.
            schema: The fields of value and note that are wanted, by type. The first is never null.

        Returns:
            A row for each key that is there, in the order of the keys: `at`, its number among
            them, and the fields, null where an entry lacks them.
        """
        places = self._index.places(keys)
        own = {}
        if self._entries:
            names = (keys[i : i + 16].hex() for i in range(0, len(keys), 16))
            own = {i: self._entries[name] for i, name in enumerate(names) if name in self._entries}
            places[list(own)] = -1
        at = np.flatnonzero(places >= 0)
        frames = [_frame(list(own), list(own.values()), schema)]
        for start in range(0, len(at), _AT_ONCE):
            some = at[start : start + _AT_ONCE]
            read = _read_flat(self._lines(places[some]), schema)
            if read is None:  # a line is damaged, or holds what Polars cannot read
                read = _frame(some.tolist(), self._parsed(places[some]), schema)
            else:
                read = read.insert_column(0, pl.Series("at", some, dtype=pl.Int64))
            frames.append(read)
        return pl.concat(frames).sort("at") if own else pl.concat(frames)

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
        self._entries[key] = (value, note or _NOTHING)

    def flush(self) -> None:
        """Make what was written survive a power cut too."""
        with writing(self._path):
            os.fsync(self._file)

    def close(self) -> None:
        """Flush and let go of the file."""
        self.flush()
        if isinstance(self._text, mmap.mmap):  # which holds the lock too
            self._text.close()
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

    def _whole_lines(self) -> bytes | mmap.mmap:
        """The file as it is now, after what follows its last newline was cut off."""
        size = os.fstat(self._file).st_size
        whole = size
        while whole:
            start = max(0, whole - mmap.PAGESIZE)
            newline = os.pread(self._file, whole - start, start).rfind(b"\n")
            whole = start + newline + 1
            if newline >= 0:
                break
        if whole < size:
            os.ftruncate(self._file, whole)
        return mmap.mmap(self._file, whole, access=mmap.ACCESS_READ) if whole else b""

    def _take(self, line: bytes) -> None:
        """Keep the entry of a line that is not in the index."""
        entry = _parsed_alone(line)
        if entry is None:
            self.damaged += 1
        else:
            key, *kept = entry
            self._entries[key] = (kept[0], kept[1] if len(kept) > 1 else _NOTHING)

    def _places(self, keys: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Where the index has each key; -1 for one that it has not."""
        places = np.full(len(keys), -1, dtype=np.int64)
        plain = [i for i, key in enumerate(keys) if len(key) == KEY_DIGITS]
        try:
            places[plain] = self._index.places(bytes.fromhex("".join(keys[i] for i in plain)))
        except ValueError:  # not our keys
            for i in plain:
                if set(keys[i]) <= set("0123456789abcdef"):
                    places[i] = self._index.places(bytes.fromhex(keys[i]))[0]
        return places

    def _lines(self, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[bytes]:
        text = self._text
        return [text[start:end] for start, end in self._index.lines(places)]

    def _parsed(self, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[Entry | None]:
        """The entries of lines of the index; None for each that is damaged."""
        entries = _parsed(self._lines(places))
        for place, entry in zip(places.tolist(), entries, strict=True):
            if entry is None and place not in self._damaged:
                self._damaged.add(place)
                self.damaged += 1
        return [
            None if one is None else (one[1], one[2] if len(one) == 3 else _NOTHING)
            for one in entries
        ]


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


def _read_flat(lines: list[bytes], schema: Mapping[str, Any]) -> pl.DataFrame | None:
    """The fields of plain lines as columns, by Polars' parser; None where that is not sure."""
    values = b"\n".join([line[HEAD_BYTES:-1] for line in lines]).replace(_NOTE, _JOINED)
    try:
        read = pl.read_ndjson(values, schema=dict(schema))
    except pl.exceptions.PolarsError:
        return None
    is_whole = read.height == len(lines) and not read.to_series(0).null_count()
    return read if is_whole else None


def _frame(
    at: Sequence[int], entries: Sequence[Entry | None], schema: Mapping[str, Any]
) -> pl.DataFrame:
    """The fields of entries as columns, without those that are damaged or lack the first field."""
    first = next(iter(schema))
    fields = [
        {"at": i} | entry[0] | entry[1]
        for i, entry in zip(at, entries, strict=True)
        if entry is not None and entry[0].get(first) is not None
    ]
    columns = {name: [one.get(name) for one in fields] for name in schema}
    places = pl.Series("at", [one["at"] for one in fields], dtype=pl.Int64)
    return pl.DataFrame(columns, schema=dict(schema)).insert_column(0, places)


def _parsed(lines: list[bytes]) -> list[list[Any] | None]:
    """The entries of whole lines, None for each that is damaged.

    All at once where none is, by Pydantic's parser: that is four times as quick as one by one by
    Python's, which alone knows lone surrogates.
    """
    try:
        entries: list[Any] = from_json(b"[%b]" % b",".join(lines))
    except ValueError:
        entries = []
    if len(entries) != len(lines):  # a damaged line may be no entry, or look like two
        return [_parsed_alone(line) for line in lines]
    return [entry if _is_whole(entry) else None for entry in entries]


def _parsed_alone(line: bytes) -> list[Any] | None:
    try:
        entry = json.loads(line.decode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    return entry if _is_whole(entry) else None


def _is_whole(entry: Any) -> bool:
    if type(entry) is not list or not 2 <= len(entry) <= 3:
        return False
    is_pair = type(entry[0]) is str and type(entry[1]) is dict
    return is_pair and (len(entry) == 2 or type(entry[2]) is dict)
