"""What a version is, as its manifest file says it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from databuild.release.encryption import Encrypted

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
MANIFEST = "manifest.json"


class File(BaseModel):
    """A file of a version."""

    path: str
    """Within the version's folder, with slashes."""
    sha256: str
    bytes: int
    rows: int | None = None
    seal: str | None = None
    """Of an encrypted file: the digest of its plain bytes under the key."""


class Split(BaseModel):
    """A split of a configuration."""

    step: str
    """The table that it is: `step` or `step.part`."""
    rows: int
    columns: dict[str, str]
    """Polars types, by name."""


class Gate(BaseModel):
    """Something that a version had to pass."""

    name: str
    passed: bool | None
    """None: not checked, for want of a step that checks it."""
    told: str
    """What was found."""
    override: str | None = None
    """Why it was released all the same."""


class Tombstone(BaseModel):
    """What was erased from a version after it was released."""

    at: str
    what: list[str]
    why: str
    rows: dict[str, int]
    """Rows that were erased, by `config/split`."""
    fingerprint: str
    """That of the version before; nobody is to train on it any more."""


class Version(BaseModel):
    """A released version of a data set."""

    format: int = FORMAT
    name: str
    version: str
    created: str
    databuild: str
    recipe: str
    run: str
    """The run that it was released from."""
    fingerprint: str
    """Hash of the checksums of all data files: equal fingerprints, equal data."""
    configs: dict[str, dict[str, Split]]
    files: list[File]
    gates: list[Gate] = Field(default_factory=list)
    licence: dict[str, str | None] = Field(default_factory=dict)
    """Of each source, by step."""
    steps: dict[str, str] = Field(default_factory=dict)
    """The key of every step behind it, by name."""
    trained: dict[str, str] = Field(default_factory=dict)
    """Models that were trained on it in the run that it was released from: step to identity."""
    encrypted: Encrypted | None = None
    """What of it needs a key, and which."""
    about: dict[str, Any] = Field(default_factory=dict)
    """What else the card tells: see `release.about`."""
    withdrawn: list[Tombstone] = Field(default_factory=list)
    """What was erased from it since."""
    token: str = ""
    """A word drawn when it was made: by it a writer knows its own manifest from another's."""

    def of(self, config: str, split: str) -> list[File]:
        """The files of a split, in the order of its rows."""
        place = re.compile(rf"data/{re.escape(config)}/{re.escape(split)}-\d+\.parquet")
        return sorted((f for f in self.files if place.fullmatch(f.path)), key=lambda f: f.path)


class Removed(BaseModel):
    """What stays of a version that was removed."""

    removed: str
    created: str
    fingerprint: str
    rows: int


def sha256_of(path: Path) -> str:
    """The checksum of a file, read once."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint(files: list[File]) -> str:
    """The hash of all data files, whatever their order."""
    data = sorted((one.path, one.sha256) for one in files if one.path.startswith("data/"))
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:32]


def plain(version: Version) -> dict[str, Any]:
    """What a manifest file holds."""
    return version.model_dump(mode="json")


def told(version: Version) -> str:
    """The text of a manifest file."""
    return json.dumps(plain(version), indent=1, ensure_ascii=False) + "\n"
