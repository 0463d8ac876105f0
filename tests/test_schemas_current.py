"""`schemas/` is generated; to refresh it: `UPDATE=1 pytest tests/test_schemas_current.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from databuild.recipe.json_schema import recipe_schema
from databuild.schema.published import kind_schema
from databuild.schema.rows import KINDS
from databuild.steps import all_steps

ROOT = Path(__file__).parents[1]
FILE = ROOT / "schemas" / "recipe.schema.json"


def test_the_recipe_schema_is_current() -> None:
    text = json.dumps(recipe_schema(all_steps()), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE"):
        FILE.write_text(text)
    assert FILE.read_text() == text


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_of_a_kind_of_row_is_current(kind: str) -> None:
    file = ROOT / "schemas" / "rows" / f"{kind}.schema.json"
    text = json.dumps(kind_schema(kind), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text
    Draft202012Validator.check_schema(json.loads(text))


def test_there_is_no_schema_of_a_kind_that_is_gone() -> None:
    names = {path.name.partition(".")[0] for path in (ROOT / "schemas" / "rows").iterdir()}
    assert names == set(KINDS)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_recipes_follow_the_schema(path: Path) -> None:
    recipe = YAML(typ="safe").load(path.read_text())
    faults = list(Draft202012Validator(json.loads(FILE.read_text())).iter_errors(recipe))
    assert not faults, faults[0].message


def test_the_schema_refuses_an_unknown_option() -> None:
    recipe = {
        "name": "x",
        "steps": {"a": {"use": "sample.where", "from": "b", "keep": "1 > 0", "kep": 1}},
    }
    assert list(Draft202012Validator(json.loads(FILE.read_text())).iter_errors(recipe))
