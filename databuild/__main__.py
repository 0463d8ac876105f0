"""`python -m databuild` is the command `databuild`."""

from __future__ import annotations

from databuild.cli.main import app

app()
