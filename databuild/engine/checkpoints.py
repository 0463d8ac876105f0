"""Named checkpoints in a step's scratch folder: what is finished is kept through a kill.

A checkpoint is a set of NumPy arrays under a name. It is written to a temporary folder, fsynced and
renamed, so one that is there is whole; it is read memory-mapped, so it costs no memory of its own.
What is quicker made again than written, that of a small table, is held in memory instead.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from databuild.engine.store import making_room, remove_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

_STAMP = "stamp.json"


class Appending:
    """A file that arrays are appended to; where nothing is durable, bytes in memory."""

    def __init__(self, to: BinaryIO | bytearray) -> None:
        self._to = to

    def write(self, numbers: NDArray[Any]) -> None:
        """Append an array."""
        if not numbers.size:
            return
        data = np.ascontiguousarray(numbers).data
        if isinstance(self._to, bytearray):
            self._to.extend(data.cast("B"))
        else:
            self._to.write(data)

    def flush(self) -> None:
        """Hand what was written to the system."""
        if not isinstance(self._to, bytearray):
            self._to.flush()

    def sync(self) -> None:
        """Wait until all that was flushed is on the disk; from any thread."""
        if not isinstance(self._to, bytearray):
            os.fsync(self._to.fileno())


class Checkpoints:
    """The checkpoints of one step, or of one phase of it.

    Args:
        folder: Where they lie: the step's `scratch`, or a folder in it.
        stamp: What they depend on besides the step's key, such as the layout of its input. Where
            another stamp is found, everything in the folder is removed.
        is_durable: False: nothing is written, and `folder` is not made.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> kept = Checkpoints(Path(mkdtemp()), {"layout": "x"})
        >>> kept.arrays("squares", lambda: {"n": np.arange(4) ** 2})["n"].tolist()
        [0, 1, 4, 9]
        >>> kept.arrays("squares", lambda: {"n": np.zeros(0)})["n"].tolist()
        [0, 1, 4, 9]
    """

    def __init__(self, folder: Path, stamp: Mapping[str, Any], *, is_durable: bool = True) -> None:
        self.folder, self.is_durable = folder, is_durable
        self._held: dict[str, Arrays] = {}
        self._appended: dict[str, bytearray] = {}
        if not is_durable:
            return
        told = json.dumps(stamp, sort_keys=True, default=str)
        place = folder / _STAMP
        with making_room(folder):
            if not place.is_file() or place.read_text("utf-8") != told:
                remove_at_once(folder)
                folder.mkdir(parents=True)
                _write_text(place, told)
        for half in folder.glob(".*.half"):
            shutil.rmtree(half, ignore_errors=True)

    def has(self, name: str) -> bool:
        """Whether this checkpoint was reached."""
        return name in self._held or (self.is_durable and (self.folder / name).is_dir())

    def arrays(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """What `make` returns, now or in an earlier attempt; read from the file, memory-mapped."""
        if not self.has(name):
            self.keep(name, make())
        return self.read(name)

    def facts(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """As `arrays`, for plain JSON."""
        if not self.is_durable:
            return make()
        place = self.folder / f"{name}.json"
        if not place.is_file():
            with making_room(self.folder):
                _write_text(place, json.dumps(make()))
        found: dict[str, Any] = json.loads(place.read_text("utf-8"))
        return found

    def keep(self, name: str, arrays: Arrays) -> None:
        """Write a checkpoint, whole or not at all."""
        if not self.is_durable:
            self._held[name] = arrays
            return
        half = self.folder / f".{name}.half"
        with making_room(self.folder):
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            for key, values in arrays.items():
                with (half / f"{key}.npy").open("wb") as handle:
                    np.save(handle, values, allow_pickle=False)
                    handle.flush()
                    os.fsync(handle.fileno())
            half.replace(self.folder / name)

    def read(self, name: str) -> Arrays:
        """Read a checkpoint that was reached, memory-mapped and not to be written to."""
        if not self.is_durable:
            return self._held[name]
        files = sorted((self.folder / name).glob("*.npy"))
        return {path.stem: _mapped(path) for path in files}

    @contextmanager
    def appending(self, name: str, at: int) -> Iterator[Appending]:
        """Write arrays to a file from byte `at` on, over what a killed attempt left there.

        What was written since the last `sync` may be lost with the process.
        """
        if not self.is_durable:
            held = self._appended.setdefault(name, bytearray())
            del held[at:]
            yield Appending(held)
            return
        place = self.folder / name
        with making_room(place), place.open("r+b" if place.exists() else "w+b") as handle:
            handle.truncate(at)
            handle.seek(at)
            yield Appending(handle)

    def appended(self, name: str) -> bytes:
        """What `appending` wrote, where nothing is durable."""
        return bytes(self._appended.get(name, b""))


def _mapped(path: Path) -> NDArray[Any]:
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _write_text(place: Path, text: str) -> None:
    temporary = place.with_name(f".{place.name}.new")
    with temporary.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(place)
