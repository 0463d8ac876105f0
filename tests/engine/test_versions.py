"""A step whose source changed and whose version did not would take old results for new ones.

`step_versions.json` holds what every step said when it was last looked at. When this test fails:

- the same input now gives another output: raise `version` in the step's `@step(...)`;
- it gives the same output (a pure refactoring): leave the version;

then, in both cases, write the file anew: `UPDATE=1 pytest tests/engine/test_versions.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from databuild.steps import STEPS
from tests.engine.sources import facts_of, meaning, modules_of

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).with_name("step_versions.json")
UPDATE = "UPDATE=1 pytest tests/engine/test_versions.py"


def complaint(name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str | None:
    """What is wrong with a step's version, None where nothing is."""
    if old == new:
        return None
    if old is None:
        return f"{name} is new. Fix: run `{UPDATE}`"
    if old["version"] != new["version"]:
        return f"{name} has another version. Fix: run `{UPDATE}`"
    changed = [
        inner
        for part in ("modules", "defaults")
        for inner in {**old[part], **new[part]}
        if old[part].get(inner) != new[part].get(inner)
    ]
    return (
        f"{name}: {', '.join(sorted(changed))} changed and its version {new['version']} did not. Fix: raise "
        f"`version` if the same input gives another output; then, or if it does not, run `{UPDATE}`"
    )


@pytest.mark.slow
def test_no_steps_source_changed_without_its_version() -> None:
    now = {step.name: facts_of(step) for step in STEPS}
    if os.environ.get("UPDATE"):
        FILE.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", "utf-8")
    known = json.loads(FILE.read_text("utf-8"))
    complaints = [complaint(name, known.get(name), facts) for name, facts in now.items()]
    complaints += [f"{name} is gone. Fix: run `{UPDATE}`" for name in known.keys() - now.keys()]
    found = [text for text in complaints if text]
    assert not found, "\n".join(found)


def test_a_step_leads_to_the_text_modules_that_it_uses() -> None:
    steps = {step.name: step for step in STEPS}
    assert "databuild.text.expression" in modules_of(steps["sample.where"])
    assert "databuild.text.constraints" in modules_of(steps["reward.verify"])
    assert "databuild.ingest.records" in modules_of(steps["ingest.files"])
    assert "databuild.train.worker" in modules_of(steps["train.sft"])


SOURCE = '''"""A module."""
from x import y

LIMIT = 3


def count(rows: int) -> int:
    """Count."""
    return rows + LIMIT  # why not
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Count."""', '"""Count all."""'),
        ("  # why not", ""),
        ("rows + LIMIT", "(rows +\n      LIMIT)"),
        ("from x import y", "import x\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import z"),
        ("rows: int) -> int", "rows: float) -> float"),
        ("LIMIT = 3\n", "LIMIT = 3\n'''How many.'''\n"),
    ],
)  # fmt: skip
def test_layout_words_and_types_are_no_change(old: str, new: str) -> None:
    assert old in SOURCE
    assert meaning(SOURCE.replace(old, new)) == meaning(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+", "-"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("rows: int)", "rows: int = 0)"),
        ("def", "@cached\ndef"),
    ],
)
def test_anything_that_runs_is_a_change(old: str, new: str) -> None:
    assert meaning(SOURCE.replace(old, new, 1)) != meaning(SOURCE)


def test_what_is_complained_of() -> None:
    old = {"version": 1, "modules": {"a": "1", "b": "1"}, "defaults": {"k": "1"}}
    assert complaint("s", old, old) is None
    new = {**old, "modules": {"a": "1", "b": "2"}, "defaults": {"k": "2"}}
    assert "s: b, k changed and its version 1 did not. Fix: raise `version`" in str(
        complaint("s", old, new)
    )
    assert "has another version" in str(complaint("s", old, {**new, "version": 2}))
    assert "s is new" in str(complaint("s", None, new))
