"""The database before the server opens it: migrated, indexed, with its owner and workspace."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from argilla_server.contexts import accounts
from argilla_server.database import ALEMBIC_CONFIG_FILE, AsyncSessionLocal
from argilla_server.models import User, UserRole, Workspace, WorkspaceUser
from sqlalchemy import event
from sqlalchemy.engine import Engine

from databuild_argilla_server import index

if TYPE_CHECKING:
    from pathlib import Path


def tell(text: str) -> None:
    """A line of the log."""
    sys.stdout.write(f"databuild: {text}\n")
    sys.stdout.flush()


def _add_functions(connection: Any, record: Any) -> None:
    del record
    index.add_functions(connection)


event.listen(Engine, "connect", _add_functions)


def migrate(database: Path) -> None:
    """Bring the tables to this version of Argilla; nothing is done where they are."""
    config = Config(ALEMBIC_CONFIG_FILE)
    head = ScriptDirectory.from_config(config).get_current_head()
    if database.exists() and _revision(database) == head:
        return
    tell("making Argilla's tables")
    with contextlib.redirect_stdout(io.StringIO()):
        command.upgrade(config, "head")


def _revision(database: Path) -> str | None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:  # no such table: an empty file
            return None
    return row[0] if row else None


async def add_owner(secrets: dict[str, str], workspace: str) -> None:
    """Make the owner and the workspace where they are missing; no other account is made."""
    async with AsyncSessionLocal() as session:
        owner = await User.get_by(session, username=secrets["owner_name"])
        if owner is None:
            owner = await User.create(
                session,
                first_name="Owner",
                username=secrets["owner_name"],
                role=UserRole.owner,
                password_hash=accounts.hash_password(secrets["owner_password"]),
                api_key=secrets["owner_api_key"],
            )
        place = await Workspace.get_by(session, name=workspace)
        if place is None:
            place = await Workspace.create(session, name=workspace)
            await WorkspaceUser.create(session, workspace_id=place.id, user_id=owner.id)
