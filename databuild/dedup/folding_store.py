"""Where the folding table is stored, so that it is asked of Polars once and not at every start."""

from __future__ import annotations

import hashlib
import os
import unicodedata
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]


def stored(sources: tuple[str, ...], make: Callable[[], Arrays]) -> Arrays:
    """The arrays that `make` makes, read from a file where they were made before.

    The file lies beside this module, or in the user's cache folder where that cannot be written.
    Its name holds what the arrays depend on: the versions of Polars and of Unicode, and sources.

    Args:
        sources: Files whose content the arrays depend on.
        make: Makes them; what cannot be read or written is made, and no error.
    """
    told = [pl.__version__, unicodedata.unidata_version, np.__version__]
    parts = [word.encode() for word in told] + [Path(one).read_bytes() for one in sources]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    name = f"folding-{digest[:16]}.npz"
    for folder in _folders():
        torn = suppress(OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)
        with torn, (folder / name).open("rb") as handle:
            return dict(np.load(handle, allow_pickle=False))
    made = make()
    for folder in _folders():
        half = folder / f".{name}.{os.getpid()}"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as handle:
                np.savez(handle, **made)  # type: ignore[arg-type]
            half.replace(folder / name)
            break
    return made


def _folders() -> Iterator[Path]:
    """Where it may lie: as numba's compiled loops do (see `kernels.storing`)."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        yield Path(named)
    yield Path(__file__).parent / "__pycache__"
    at_home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    yield Path(at_home) / "databuild"
