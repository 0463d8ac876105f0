"""The server itself: one uvicorn process with the embedded engine."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

import uvicorn

from databuild_argilla_server import engine, index, storage

if TYPE_CHECKING:
    from pathlib import Path


def serve(folder: Path, settings: dict[str, Any], secrets: dict[str, str]) -> None:
    """Prepare the database and answer until told to stop."""
    database = folder / "argilla.db"
    storage.migrate(database)
    index.prepare(database, storage.tell)
    asyncio.run(storage.add_owner(secrets, settings["workspace"]))
    storage.tell(f"search engine: {engine.NAME}")
    app = importlib.import_module("argilla_server").app
    uvicorn.run(
        app,
        host=settings["host"],
        port=settings["port"],
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )
