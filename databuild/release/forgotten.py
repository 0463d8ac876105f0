"""What was withdrawn from a data set, as its store remembers it: ids and fingerprints, no text.

<store>/<name>/withdrawals/<version>.json      one withdrawal, named after the version it made
<runs>/withdrawn.json                          fingerprints that were purged, for this folder
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from pydantic import BaseModel, Field

from databuild.engine.store import read_json, write_json
from databuild.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.release.versions import Versions

FOLDER = "withdrawals"
_RUNS = "withdrawn.json"


class Withdrawal(BaseModel):
    """One withdrawal: what was asked, and what it took out."""

    at: str
    what: list[str]
    """As it was asked: `source rows.jsonl`, `annotator ann`, `model ...`, `row ...`."""
    why: str
    before: str
    """The version that rows were taken out of."""
    after: str
    """The version that was made without them; empty where nothing was left to release."""
    removed: dict[str, int]
    """Released rows that are gone, by `config/split`."""
    ids: list[str]
    """All rows that are not to be released again: what was named, and what was made of it."""
    models: list[str] = Field(default_factory=list)
    """Models that were trained on a version that had them, by identity."""
    purged: bool = False
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """Of a purge: the fingerprints that older versions had, by version."""


def withdrawals(versions: Versions) -> list[Withdrawal]:
    """All withdrawals of a data set, the oldest first."""
    found = versions.notes(FOLDER).values()
    return sorted((Withdrawal.model_validate(one) for one in found), key=lambda one: one.at)


def note(versions: Versions, name: str, withdrawal: Withdrawal) -> None:
    """Keep what was withdrawn."""
    versions.note(FOLDER, name, withdrawal.model_dump(mode="json"))


def forbidden(versions: Versions) -> pl.Series:
    """The ids of all rows that are not to be released again."""
    ids = [one for withdrawal in withdrawals(versions) for one in withdrawal.ids]
    return pl.Series("row_id", ids, dtype=pl.String).unique()


def remember(runs: Path, named: str, fingerprints: dict[str, str], at: str) -> None:
    """Let a runs folder know which fingerprints were purged, whatever store offers them again."""
    path = runs / _RUNS
    known = read_json(path) if path.exists() else {}
    told = {one: {"version": f"{named}@{v}", "at": at} for v, one in fingerprints.items()}
    write_json(path, {**known, **told})


def check_not_withdrawn(versions: Versions, fingerprint: str, runs: Path) -> None:
    """Refuse data that was purged: nobody is to train on a copy of it.

    Raises:
        StoreError: The fingerprint is one of a purged version; says when, and what to use.
    """
    path = runs / _RUNS
    known = read_json(path) if path.exists() else {}
    found = [(v, one.at) for one in withdrawals(versions)
             for v, old in one.fingerprints.items() if old == fingerprint]  # fmt: skip
    if not found and fingerprint in known:
        found = [(known[fingerprint]["version"], known[fingerprint]["at"])]
    if found:
        version, when = found[0]
        what = f"the data of version {version} (fingerprint {fingerprint}) was withdrawn on {when}"
        fix = f"read the latest version, `{versions.name}@latest`, and remove this copy"
        raise StoreError(str(versions.root), what, fix=fix)
