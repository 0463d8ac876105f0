"""What a version is, as its manifest file says it."""

from __future__ import annotations

from pydantic import BaseModel, Field

FORMAT = 1
MANIFEST = "manifest.json"


class File(BaseModel):
    """A file of a version."""

    path: str
    """Within the version's folder, with slashes."""
    sha256: str
    bytes: int
    rows: int | None = None


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
    token: str = ""
    """A word drawn when it was made: by it a writer knows its own manifest from another's."""


class Removed(BaseModel):
    """What stays of a version that was removed."""

    removed: str
    created: str
    fingerprint: str
    rows: int
