"""Every shipped prompt: there in both languages, with its source, and nothing left unfilled."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

import databuild
from databuild.generate import critique, rewrite
from databuild.generate.rewriting import is_chinese
from databuild.models.templates import LANGUAGES, Prompts, read_template
from databuild.steps import STEPS

FILES = sorted(Path(databuild.__file__).parent.glob("*/prompts/*/*"))


def sets():
    """The prompts of every step that has some, by their folder."""
    modules = [importlib.import_module(step.module) for step in STEPS if step.brings is not None]
    found = [one for module in modules for one in vars(module).values() if isinstance(one, Prompts)]
    return {one.folder: one for one in found}


def test_every_file_belongs_to_a_step_and_is_part_of_its_key():
    assert set(FILES) == {path for prompts in sets().values() for path in prompts.shipped()}
    brought = [
        step.brings(step.config.model_construct())
        for step in STEPS
        if step.brings and not step.name.startswith("annotate.")
    ]
    assert set(FILES) == {path for paths in brought for path in paths}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_shipped_prompt_parses_and_says_where_its_idea_comes_from(path):
    text = path.read_text(encoding="utf-8")
    comment, end, rest = text.partition("-->")
    assert comment.startswith("<!--")
    assert end
    assert "arXiv:" in comment or "ours" in comment
    name, language = path.name.removesuffix(".md").split(".")
    read_template(path, sets()[path.parent].known[name])
    assert is_chinese(rest) == (language == "zh")


def test_every_prompt_is_there_in_every_language():
    names = {(path.parent.name, path.name.split(".")[0]) for path in FILES}
    there = {(path.parent.name, *path.name.split(".")[:2]) for path in FILES}
    assert there == {(*name, language) for name in names for language in LANGUAGES}


@pytest.mark.parametrize(
    "prompts", [rewrite.PROMPTS, critique.PROMPTS], ids=["rewrite", "critique"]
)
@pytest.mark.parametrize("principles", [(), ("be short", "be kind")])
def test_what_is_sent_has_every_value_and_no_sign_of_a_template(prompts, principles):
    for (name, _), template in prompts.read().items():
        values: dict[str, Any] = {key: f"<{key}>" for key in prompts.known[name]}
        if "principles" in values:
            values["principles"] = principles
        values |= {"k": 1} if "k" in values else {}
        sent = "\n".join(message.content for message in template.messages(**values))
        assert "{" not in sent
        for key, value in values.items():
            if key == "principles":
                assert all(f"\n- {one}\n" in sent for one in principles)
                assert ("#Principles#" in sent or "#原则#" in sent) == bool(principles)
            elif key != "k":
                assert value in sent
