"""The command `databuild`: every command family registers itself here."""

from __future__ import annotations

from databuild.cli import (
    annotating,
    costs,
    deduping,
    explaining,
    exporting,
    looking,
    overview,
    planning,
    profiling,
    prompting,
    releasing,
    running,
    starting,
    unmasking,
    voting,
)
from databuild.cli.application import app

__all__ = [
    "annotating",
    "app",
    "costs",
    "deduping",
    "explaining",
    "exporting",
    "looking",
    "overview",
    "planning",
    "profiling",
    "prompting",
    "releasing",
    "running",
    "starting",
    "unmasking",
    "voting",
]

if __name__ == "__main__":
    app(prog_name="databuild")
