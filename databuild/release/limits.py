"""What one who uses a version should know: what was not checked, was made up, or went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databuild.release.licences import combine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databuild.release.versions import Version

_CHECKS = {
    "contamination": "Nobody looked whether rows repeat items of test sets.",
    "personal": "Nobody looked for personal data in these rows.",
}
_MUCH_FAILED = 0.05
"""Of a step's rows: from this share on it is worth telling."""


def limits(version: Version) -> Iterator[str]:
    """Say what is missing or weak, from the manifest alone; then what the recipe says itself."""
    for gate in version.gates:
        if gate.passed is None and gate.name in _CHECKS:
            yield _CHECKS[gate.name]
        if gate.override:
            yield f"The check {gate.name} was not passed: {gate.told.rstrip('.')}."
    about = version.about
    answers = {one["identity"] for one in about.get("models") or () if one["role"] == "generator"}
    if answers:
        who = "a model" if len(answers) == 1 else f"{len(answers)} models"
        yield f"Texts were written by {who}: they may be wrong, and share a style."
    judges = {one["identity"] for one in about.get("models") or () if one["role"] == "judge"}
    if judges:
        who = "a model" if len(judges) == 1 else f"{len(judges)} models"
        yield f"Rows were judged by {who}, whose errors choose along."
    for one in about.get("agreement") or ():
        if one.get("simulated"):
            who = ", ".join(one["votes"])
            yield f"{one['simulated']:,} of the votes that {who} pulled are simulated."
    for one in about.get("made") or ():
        total = one["out"] + one["failed"] + one["dropped"] if not one["in"] else one["in"]
        if one["failed"] and one["failed"] > _MUCH_FAILED * total:
            yield f"Of {total:,} rows of the step {one['step']}, {one['failed']:,} failed."
    for config, told in (about.get("data") or {}).items():
        drawn = told.get("languages_of") or 0
        if 0 < drawn < told["rows"]:
            yield f"The languages of {config} were found in a sample of {drawn:,} rows."
    for one in combine(version.licence).unknown:
        yield f"The terms of a source are not known ({one})."
    yield from about.get("limits") or ()
