"""The bytes of a file as one stream of UTF-8: unpacked, decoded, without a byte-order mark.

What a file is packed with is told by its first bytes, not by its name: gzip (any number of members)
and Zstandard (any number of frames); a member of a zip archive is opened by its name inside, and
nothing is written to disk (but tables for a while: `ingest.spool`). A stream that breaks off ends
there and says why in `fault`.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

from databuild.ingest.encodings import as_utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BLOCK = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class TornError(Exception):
    """A file cannot be read further; the text says why."""


class Stream(io.RawIOBase):
    """A file, or a member of a zip archive, as UTF-8."""

    def __init__(self, path: Path, member: str | None = None, encoding: str | None = None) -> None:
        self.fault: str | None = None
        """Why it ended before its end."""
        self.repaired = 0
        """How many lone surrogates of UTF-16 became U+FFFD."""
        blocks = unpacked(partial(_blocks, path, member))
        self._blocks = blocks if encoding is None else as_utf8(blocks, encoding, self._count)
        self._held = memoryview(b"")

    def readable(self) -> bool:
        """It is for reading only."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as one block reaches; 0 is the end."""
        if not self._held and self.fault is None:
            try:
                self._held = memoryview(next(self._blocks, b""))
            except (TornError, OSError) as error:
                self.fault = str(error)
            except UnicodeError as error:
                self.fault = f"broken text: {error}"
        n = min(len(buffer), len(self._held))
        buffer[:n] = self._held[:n]
        self._held = self._held[n:]
        return n

    def take(self, n: int) -> bytes:
        """The next `n` bytes, fewer only at the end."""
        pieces = []
        while n > 0 and (piece := self.read(min(n, _BLOCK))):
            pieces.append(piece)
            n -= len(piece)
        return b"".join(pieces)

    def _count(self, n: int) -> None:
        self.repaired += n


def head_of(path: Path, member: str | None, n: int) -> tuple[bytes, str | None]:
    """The first `n` bytes, unpacked and not decoded, and the fault that was met on the way."""
    stream = Stream(path, member)
    return stream.take(n), stream.fault


def is_packed(path: Path) -> bool:
    """Say whether a file is packed, by its first bytes."""
    with path.open("rb") as file:
        return file.read(4).startswith((_GZIP, _ZSTD))


def unpacked(open_blocks: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked if its first bytes say that it is packed.

    Raises:
        TornError: It breaks off, or is damaged; all that could be read was yielded before.
    """
    blocks = open_blocks()
    first = next(blocks, b"")
    if first.startswith(_GZIP):
        yield from _gunzipped(first, blocks)
    elif first.startswith(_ZSTD):
        yield from _unzstd(open_blocks)
    elif first:
        yield first
        yield from blocks


def _gunzipped(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    unpack, data = zlib.decompressobj(31), first
    while True:
        try:
            piece = unpack.decompress(data, _BLOCK)
        except zlib.error as error:
            msg = f"broken gzip: {error}"
            raise TornError(msg) from None
        if piece:
            yield piece
        if unpack.eof:
            # Another member may follow, or zeros that fill a tape's block.
            data = (unpack.unused_data or next(blocks, b"")).lstrip(b"\0")
            if not data:
                data = b"".join(blocks).lstrip(b"\0")
            if not data:
                return
            unpack = zlib.decompressobj(31)
        else:
            data = unpack.unconsumed_tail or next(blocks, b"")
            if not data and not piece:
                msg = "truncated gzip: the file ends within it"
                raise TornError(msg)


def _unzstd(open_blocks: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
    n_read, fault = 0, ""
    for size in (1 << 16, 1):
        # Where Arrow meets a fault it keeps what it read on the way: once more, byte by byte.
        unpack = _zstd_stream(open_blocks())
        left = n_read
        try:
            while left and (piece := unpack.read(min(left, 1 << 16))):
                left -= len(piece)
            while piece := unpack.read(size):
                n_read += len(piece)
                yield piece
        except OSError as error:
            fault = str(error)
        else:
            return
    what = "truncated" if "runcated" in fault else "broken"
    msg = f"{what} zstd: {fault}"
    raise TornError(msg)


def _zstd_stream(blocks: Iterator[bytes]) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(_Joined(blocks)), "zstd")


class _Joined(io.RawIOBase):
    """Blocks as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._held, self._blocks = b"", blocks

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._held = self._held or next(self._blocks, b"")
        n = min(len(buffer), len(self._held))
        buffer[:n] = self._held[:n]
        self._held = self._held[n:]
        return n


def _blocks(path: Path, member: str | None) -> Iterator[bytes]:
    if member is None:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
        return
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as held:
            while block := held.read(_BLOCK):
                yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        msg = f"broken zip member: {error}"
        raise TornError(msg) from None
