"""What one who uses a version should know: what was not checked, was made up, or went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.release.licences import combine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from databuild.release.versions import Version

_CHECKS = {
    "contamination": "Nobody looked whether rows repeat items of test sets.",
    "personal": "Nobody looked for personal data in these rows.",
}
_WRITTEN = "Texts were written by {}: they may be wrong, and share a style."
_JUDGED = "Rows were judged by {}, whose errors choose along."
_MUCH_FAILED = 0.05
"""Of a step's rows: from this share on it is worth telling."""


def limits(version: Version) -> Iterator[str]:
    """Say what is missing or weak, from the manifest alone; then what the recipe says itself."""
    for gate in version.gates:
        if gate.passed is None and gate.name in _CHECKS:
            yield _CHECKS[gate.name]
        if gate.override:
            yield f"The check {gate.name} was not passed: {gate.told.rstrip('.')}."
    yield from _of_models(version.about.get("models") or ())
    yield from _of_steps(version.about.get("made") or ())
    for one in version.about.get("agreement") or ():
        if one.get("simulated"):
            who = ", ".join(one["votes"])
            yield f"{one['simulated']:,} of the votes that {who} pulled are simulated."
    for config, told in (version.about.get("data") or {}).items():
        drawn = told.get("languages_of") or 0
        if 0 < drawn < told["rows"]:
            yield f"The languages of {config} were found in a sample of {drawn:,} rows."
    for unknown in combine(version.licence).unknown:
        yield f"The terms of a source are not known ({unknown})."
    yield from version.about.get("limits") or ()


def _of_models(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for role, told in (("generator", _WRITTEN), ("judge", _JUDGED)):
        who = {one["identity"] for one in models if one["role"] == role}
        if who:
            yield told.format("a model" if len(who) == 1 else f"{len(who)} models")


def _of_steps(made: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in made:
        total = one["in"] or one["out"] + one["failed"] + one["dropped"]
        if one["failed"] and one["failed"] > _MUCH_FAILED * total:
            yield f"Of {total:,} rows of the step {one['step']}, {one['failed']:,} failed."
