from __future__ import annotations

from databuild.generate.rewrite import PROMPTS
from tests.cli.conftest import Terminal


def test_prompts_are_listed_with_their_sources(tmp_path):
    told = Terminal(tmp_path).json("prompts", "generate.rewrite")
    listed = told["prompts"]["generate.rewrite"]
    assert [one["name"] for one in listed] == sorted(path.name for path in PROMPTS.shipped())
    deeper = next(one for one in listed if one["name"] == "deeper.en.md")
    assert deeper["source"].startswith('Xu et al. 2023, "WizardLM: Empowering Large')
    assert "\n" not in deeper["source"]
    every = Terminal(tmp_path)("prompts").stdout
    assert "generate.rewrite" in every
    assert "generate.critique" in every
    assert "revise.zh.md" in every


def test_copied_prompts_can_be_named_in_a_recipe_and_are_checked(tmp_path):
    terminal = Terminal(tmp_path)
    assert "prompts: mine" in terminal("prompts", "generate.rewrite", "--copy", "mine").stdout
    copy = tmp_path / "mine" / "deeper.en.md"
    assert copy.read_bytes() == (PROMPTS.folder / "deeper.en.md").read_bytes()
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Why is the sky blue?"}\n')
    (tmp_path / "recipe.yaml").write_text(
        "name: own\nmodels: {start: {fake: {}}}\nsteps:\n"
        "  raw: {use: ingest.files, path: rows.jsonl}\n"
        "  new: {use: generate.rewrite, from: raw, model: start, how: deeper, prompts: mine}\n"
    )
    terminal("check")
    copy.write_text(copy.read_text().replace("{{ text }}", "{{ texts }}"))
    told = terminal("check", code=2)
    assert "unknown placeholder 'texts'" in told.stderr
    before = copy.read_text()
    terminal("prompts", "generate.rewrite", "--copy", "mine", code=6)
    assert copy.read_text() == before


def test_what_has_no_prompts_is_said(tmp_path):
    terminal = Terminal(tmp_path)
    assert "has no prompts" in terminal("prompts", "measure.basics", code=2).stderr
    assert "generate.rewrite" in terminal("prompts", "generate.rewrit", code=2).stderr
    assert "one step" in terminal("prompts", "--copy", "mine", code=2).stderr
    assert not (tmp_path / "mine").exists()
