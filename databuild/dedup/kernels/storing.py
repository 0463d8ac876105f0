"""Where compiled loops are stored: beside their source, also where that can only be read."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numba.core import caching, config

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def _stamp() -> str:
    """All sources of the loops by content: one may use parts of another, and times can lie."""
    here = Path(__file__).parent
    sources = [*sorted(here.glob("*.py")), here.parent / "folding_table.py"]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


class _ByContent:
    def get_source_stamp(self) -> str:
        return _stamp()


class Beside(_ByContent, caching.InTreeCacheLocator):
    """`__pycache__` beside the source, if it can be written or holds what an install compiled."""

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        """The locator of a function, or None."""
        found = cls(py_func, py_file)
        stored = Path(found.get_cache_path()).glob(f"{Path(py_file).stem}.{py_func.__name__}-*.nbi")
        return super().from_function(py_func, py_file) or (found if any(stored) else None)


class AtHome(_ByContent, caching.UserWideCacheLocator):
    """numba's folder in the user's cache folder."""


@contextmanager
def places(*, beside: bool) -> Iterator[None]:
    """Look for compiled loops there (after NUMBA_CACHE_DIR, where that is set) for a while."""
    before = config.CACHE_LOCATOR_CLASSES
    named = [f"{__name__}.{kind.__name__}" for kind in ((Beside, AtHome) if beside else (AtHome,))]
    config.CACHE_LOCATOR_CLASSES = ",".join(["UserProvidedCacheLocator", *named])
    try:
        yield
    finally:
        config.CACHE_LOCATOR_CLASSES = before
