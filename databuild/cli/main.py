"""The command `databuild`: every command family registers itself here."""

from __future__ import annotations

from databuild.cli import (
    annotating,
    comparing,
    costs,
    deduping,
    explaining,
    exporting,
    forgetting,
    looking,
    overview,
    planning,
    pointing,
    profiling,
    prompting,
    pushing,
    releasing,
    running,
    starting,
    storing,
    unmasking,
    voting,
)
from databuild.cli.application import app

__all__ = [
    "annotating",
    "app",
    "comparing",
    "costs",
    "deduping",
    "explaining",
    "exporting",
    "forgetting",
    "looking",
    "overview",
    "planning",
    "pointing",
    "profiling",
    "prompting",
    "pushing",
    "releasing",
    "running",
    "starting",
    "storing",
    "unmasking",
    "voting",
]

if __name__ == "__main__":
    app(prog_name="databuild")
