"""YAML 1.2 is read as it says, faults are named with their line, overrides find what they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from databuild.errors import RecipeError
from databuild.recipe.load import fill, load_document

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
name: r
seed: 1
vars: {k: 2, names: [a, b]}
models:
  start: {fake: {}}
steps:
  raw: {use: ingest.files, path: a.jsonl}
  answers:
    use: generate.respond
    from: raw
    model: start
"""


def load(tmp_path: Path, text: str, *overrides: str) -> dict[str, Any]:
    path = tmp_path / "r.yaml"
    path.write_text(text, "utf-8")
    return load_document(path, overrides).data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("off", "off"), ("yes", "yes"), ("y", "y"), ("true", True), ("1e-5", 1e-5),
        ("0o14", 12), ("1_000", 1000), ("~", None), ("12:30", "12:30"), ("'1'", "1"), ("é 日本", "é 日本"),
    ],
)  # fmt: skip
def test_values_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: object) -> None:
    data = load(tmp_path, f"on: {text}\n")
    assert data == {"on": value}
    assert type(data["on"]) is type(value)


def test_everything_is_plain_python(tmp_path: Path) -> None:
    data = load(tmp_path, "a: [1, 0x10, 2.50, 'q', {b: \"r\"}]\nc: |\n  folded\n")
    kinds = {type(value) for value in (*data["a"], data["c"], data["a"][4]["b"], data["a"])}
    assert kinds == {int, float, str, dict, list}


def test_anchors_and_merged_mappings_are_put_in(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("base: &b {use: x, k: 1}\nsteps:\n  a:\n    <<: *b\n    k: 2\n")
    document = load_document(path)
    assert document.data["steps"]["a"] == {"use": "x", "k": 2}
    assert document.where("steps", "a", "k") == f"{path}:5"
    assert document.where("steps", "a", "use") == f"{path}:3"  # came in with the anchor


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE + "  last:\n    list:\n    - 1\n    - {x: 2}\n")
    document = load_document(path)
    for keys, line in {
        ("name",): 1, ("vars", "k"): 3, ("steps", "answers"): 8, ("steps", "answers", "model"): 11,
        ("steps", "last", "list", 1): 15, ("steps", "last", "list", 1, "x"): 15,
    }.items():  # fmt: skip
        assert document.where(*keys) == f"{path}:{line}"
    assert document.where("steps", "answers", "nothing", "like", "it") == f"{path}:8"
    assert document.where("nowhere") == str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: r\nsteps: {}\nname: s\n", r'r\.yaml:3: not valid YAML: .*duplicate key "name"'),
        ("name: r\nsteps:\n  a: {use: x}\n  a: {use: y}\n", r'r\.yaml:4: .*duplicate key "a"'),
        (
            "name: r\nsteps: [a\nseed: 1\n",
            r"r\.yaml:3: not valid YAML: .*flow sequence.*Fix: correct this line",
        ),
        ("name: 'r\n", r"r\.yaml:2: not valid YAML"),
        ("name: r\n\tseed: 1\n", r"r\.yaml:2: not valid YAML"),
        ("name: r\n---\nname: s\n", r"r\.yaml:2: not valid YAML: expected a single document"),
        ("name: *x\n", r"r\.yaml:1: not valid YAML: .*undefined alias"),
        ("name: \x01\n", r"r\.yaml: not valid YAML"),
        ("- a\n- b\n", "a recipe is a mapping, this file holds a list"),
        ("just text\n", "a recipe is a mapping, this file holds one value"),
        ("", "a recipe is a mapping, this file holds nothing"),
        ("# only a comment\n", "this file holds nothing. Fix: start with `name:` and `steps:`"),
    ],
)
def test_what_is_no_recipe_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, text)


def test_a_file_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(RecipeError, match=r"cannot be read.*databuild init"):
            load_document(path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_document(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("override", "keys", "value"),
    [
        ("seed=3", ["seed"], 3),
        ("k=5", ["vars", "k"], 5),
        ("vars.k=5", ["vars", "k"], 5),
        ("answers.k=4", ["steps", "answers", "k"], 4),
        ("steps.answers.k=4", ["steps", "answers", "k"], 4),
        ("answers.from={rows: raw}", ["steps", "answers", "from"], {"rows": "raw"}),
        ("answers.temperature=1e-1", ["steps", "answers", "temperature"], 0.1),
        ("answers.stop=[a, 'b c']", ["steps", "answers", "stop"], ["a", "b c"]),
        ("answers.system=", ["steps", "answers", "system"], ""),
        ("answers.system=a=b", ["steps", "answers", "system"], "a=b"),
        ("answers.system=null", ["steps", "answers", "system"], None),
        ("sft.k=1", ["steps", "sft", "k"], 1),
        ("flywheel.gate.min_gain=0.1", ["flywheel", "gate", "min_gain"], 0.1),
        ("models.start.fake.skill_ratio=0.9", ["models", "start", "fake", "skill_ratio"], 0.9),
        ("steps.new={use: sample.mix}", ["steps", "new"], {"use": "sample.mix"}),
    ],
)
def test_overrides_reach_what_they_name(
    tmp_path: Path, override: str, keys: list[str], value: object
) -> None:
    found: Any = load(tmp_path, RECIPE + "  sft: {use: train.sft}\n", override)
    for key in keys:
        found = found[key]
    assert found == value


def test_overrides_need_no_section_and_may_follow_each_other(tmp_path: Path) -> None:
    bare = "name: r\nvars:\nsteps:\n  a: {use: x, k: '${k}'}\n"
    data = load(tmp_path, bare, "vars.k=3", "models.big={fake: {}}", "a.model=big")
    assert data["vars"] == {"k": 3}
    assert data["models"] == {"big": {"fake": {}}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("anwsers.k=4", r"'anwsers\.k=4' names nothing in the recipe; did you mean 'answers'"),
        ("steps.anwsers.k=4", r"names nothing in the recipe; did you mean 'answers'"),
        ("sed=4", "did you mean 'seed'"),
        ("vars.kk=4", "names nothing in the recipe; did you mean 'k'"),
        ("models.strat={fake: {}}", "did you mean 'start'"),
        ("answers.k", "is not key=value. Fix: write for example `answers.k=4`"),
        ("=4", "is not key=value"),
        ("answers.=4", "is not key=value"),
        ("seed.deep=4", r"goes below 'seed', which is 1\. Fix: shorten the key"),
        ("answers.k=[1", r"the value of the override 'answers\.k=\[1' is not valid YAML"),
        ("answers.k=a: b: c", "is not valid YAML. Fix: quote the value"),
    ],
)
def test_an_override_that_names_nothing_is_refused(
    tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=rf"command line: .*{message}"):
        load(tmp_path, RECIPE, override)


def test_an_override_of_an_empty_section_names_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="names nothing in the recipe"):
        load(tmp_path, "name: r\nvars:\nsteps:\n", "k=3")


def test_a_text_that_is_one_variable_takes_its_type() -> None:
    variables = {"n": 3, "names": ["a"], "exam.part": "pools.dev", "my-var": True}
    value = {"a": "${n}", "b": ["${names}", "r${n}.${exam.part}"], "c": "${my-var}", "d": 1.5}
    assert fill(value, variables, "x") == {
        "a": 3, "b": [["a"], "r3.pools.dev"], "c": True, "d": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["${rond}", "rounds.r${rond}", "${rond}${round}"])
def test_an_unknown_variable_is_named_with_its_place(text: str) -> None:
    with pytest.raises(RecipeError, match=r"f:7: \$\{rond\} is no variable; did you mean 'round'"):
        fill([text], {"round": 1}, "f:7")
