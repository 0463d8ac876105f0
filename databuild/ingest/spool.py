"""A packed file as one on disk, for formats that are read from their end: Parquet and Arrow."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING

from databuild.ingest.streams import Stream, TornError, is_packed

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 8 << 30
"""What a packed Parquet or Arrow file may have unpacked."""
_BLOCK = 1 << 20


@contextmanager
def on_disk(path: Path, member: str | None = None) -> Iterator[Path]:
    """Give the path of a file's unpacked bytes: its own, or for a while that of a temporary file.

    The temporary file lies in the system's folder for them (`TMPDIR`) and goes with the block.

    Raises:
        TornError: It breaks off, has more than 8 GiB unpacked, or the folder is full.

    Example:
        >>> import gzip, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     packed = Path(folder) / "a.gz"
        ...     _ = packed.write_bytes(gzip.compress(b"PAR1"))
        ...     with on_disk(packed) as found:
        ...         print(found.read_bytes())
        b'PAR1'
    """
    if member is None and not is_packed(path):
        yield path
        return
    with NamedTemporaryFile(prefix="databuild-") as file:
        _unpack(Stream(path, member), file.file)
        yield Path(file.name)


def _unpack(stream: Stream, file: IO[bytes]) -> None:
    n_bytes = 0
    try:
        while piece := stream.take(_BLOCK):
            n_bytes += file.write(piece)
            if n_bytes > MOST_BYTES:
                msg = (
                    f"too large: a packed table may have {MOST_BYTES >> 20:,} MiB unpacked; "
                    "unpack it yourself (Parquet and Arrow are packed inside)"
                )
                raise TornError(msg)
        file.flush()
    except OSError as error:
        msg = f"cannot be unpacked: {error.strerror} in the folder of temporary files (TMPDIR)"
        raise TornError(msg) from None
    if stream.fault:
        raise TornError(stream.fault)
