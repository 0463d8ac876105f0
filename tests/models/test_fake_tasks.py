"""The fake model knows every prompt of `generate.self_instruct`, as it is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import databuild
from databuild.models.fake_tasks import answer_about_tasks
from databuild.models.templates import LANGUAGES, read_template

FOLDER = Path(databuild.__file__).parent / "generate/prompts/self_instruct"
VALUES = {"tasks": ["Name a fish."], "first": 9, "last": 16, "count": 2}
MARKS = {
    "instructions": ("9. ", "16. "),
    "kind": ("Yes", "No", "是", "否"),
    "input_first": ("Input:", "Output:", "输入：", "输出："),
    "output_first": ("Label:", "Input:", "标签：", "输入："),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", MARKS)
def test_every_shipped_prompt_is_answered_in_its_form(name, language):
    template = read_template(FOLDER / f"{name}.{language}.md", (*VALUES, "instruction"))
    for instruction in ("Classify the remark.", "写一首\n关于雨的诗。"):
        messages = template.messages(**VALUES, instruction=instruction)
        text = answer_about_tasks(messages[-1].content, np.random.default_rng(1))
        assert text is not None
        assert any(mark in text for mark in MARKS[name])


def test_other_prompts_are_not_its_business():
    assert answer_about_tasks("Write one sentence about fish.", np.random.default_rng(1)) is None
