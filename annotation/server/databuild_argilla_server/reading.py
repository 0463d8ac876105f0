"""Read-only connections for the engine, apart from the server's own.

Each request of the server holds a connection of its pool (5 + 10) already; an engine that took its
second one from there would lock up with 15 requests at once. Four threads read here instead, each
with its own connection; WAL lets them read while the server writes.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Rows = list[tuple[Any, ...]]
_threads = ThreadPoolExecutor(4, thread_name_prefix="embedded-engine")
_own = threading.local()


async def fetch(database: Path, sql: str, values: Sequence[Any]) -> Rows:
    """Run one query in one of the reading threads."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _fetch, database, sql, values)


def _fetch(database: Path, sql: str, values: Sequence[Any]) -> Rows:
    return _connection(database).execute(sql, values).fetchall()


def _connection(database: Path) -> sqlite3.Connection:
    if getattr(_own, "database", None) != database:
        _own.connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
        _own.database = database
    connection: sqlite3.Connection = _own.connection
    return connection
