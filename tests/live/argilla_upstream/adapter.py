"""Stands in for tests/unit/search_engine/conftest.py of argilla-server: its tests on our engine.

Argilla's tests keep everything in one transaction that is never committed, so the engine reads over
the test's own session here, and the index is made within it.
"""

from __future__ import annotations

import asyncio
from unittest.mock import MagicMock

import pytest
import pytest_asyncio
from argilla_server.cli.database.migrate import migrate_db
from argilla_server.settings import settings
from databuild_argilla_server import index, storage
from databuild_argilla_server.engine import EmbeddedEngine
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import create_async_engine
from tests.database import TestSession, set_task

assert getattr(storage, "index") is index  # noqa: B009 - it is not exported  # importing it adds the index's function to every connection


class Engine(EmbeddedEngine):
    """The tests put vectors into Elasticsearch themselves; here they are in the database already."""

    async def _bulk_op_request(self, actions):
        """Nothing."""


@pytest_asyncio.fixture(scope="session")
async def connection():
    set_task(asyncio.current_task())
    engine = create_async_engine(settings.database_url, poolclass=NullPool)
    opened = await engine.connect()
    TestSession.configure(bind=opened)
    migrate_db("head")
    yield opened
    await opened.close()
    await engine.dispose()


@pytest.fixture(autouse=True)
def sync_db():
    return None


@pytest.fixture(autouse=True)
def empty_job_queues():
    return None


@pytest.fixture(scope="session", autouse=True)
def opensearch():
    return MagicMock()


@pytest_asyncio.fixture(autouse=True)
async def search_engine(db):
    async def run(sql, values):
        await db.flush()
        found = await (await db.connection()).exec_driver_sql(sql, tuple(values))
        return [tuple(row) for row in found.fetchall()]

    opened = await db.connection()
    statements = []
    index.build(statements.append)
    for statement in statements:
        await opened.exec_driver_sql(statement)
    return Engine(run)
