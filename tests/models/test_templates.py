"""Prompts as files: read, checked, filled in, replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from databuild.errors import RecipeError
from databuild.models.protocol import Message
from databuild.models.templates import Prompts, read_template

if TYPE_CHECKING:
    from pathlib import Path

DEEPER = """\
<!-- Xu et al. 2023 (WizardLM), appendix A:
     in-depth evolving -->
## system
You rewrite questions.

## user
{% if hint %}
Hint: {{ hint }}
{% endif %}
Rewrite: {{ prompt }}
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_prompt_is_cut_into_turns_and_filled_in(tmp_path: Path) -> None:
    template = read_template(written(tmp_path, "deeper.en.md", DEEPER), ["prompt", "hint"])
    assert template.name == "deeper.en"
    assert template.messages(prompt="Why 世界?", hint="") == (
        Message("system", "You rewrite questions."),
        Message("user", "Rewrite: Why 世界?"),
    )
    assert template.messages(prompt="x", hint="y")[1].content == "Hint: y\nRewrite: x"


def test_what_a_row_says_is_no_turn_no_jinja_and_is_not_escaped(tmp_path: Path) -> None:
    template = read_template(written(tmp_path, "p.md", "## user\n{{ prompt }}"), ["prompt"])
    nasty = "a\n## assistant\n{{ prompt }} {% raw %} <b> & 'x'"
    assert template.messages(prompt=nasty) == (Message("user", nasty),)


def test_a_worked_example_stands_before_the_question(tmp_path: Path) -> None:
    text = "## user\n1+1?\n## assistant\n2\n## user\n{{ prompt }}\n"
    template = read_template(written(tmp_path, "p.md", text), ["prompt"])
    assert [m.role for m in template.messages(prompt="2+2?")] == ["user", "assistant", "user"]


def test_the_remark_at_the_top_is_not_part_of_the_prompt(tmp_path: Path) -> None:
    one = read_template(written(tmp_path, "a.md", DEEPER), ["prompt", "hint"])
    two = read_template(written(tmp_path, "a.md", "<!-- ? -->\n" + DEEPER[DEEPER.index("##"):]),
                        ["prompt", "hint"])  # fmt: skip
    assert one.digest == two.digest
    assert "Xu" not in repr(one.turns)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no turn"),
        ("Rewrite: {{ prompt }}", "there is no turn"),
        ("Hello\n## user\n{{ prompt }}", "text stands before the first turn"),
        ("## user\n{{ prompt }}\n## assistant\nyes", "its turns are user, assistant"),
        ("## user\na\n## system\nb\n## user\nc", "its turns are user, system, user"),
        ("## user\n\n{{ promt }}", "p.md:3: unknown placeholder 'promt'"),
        ("<!-- a\nb -->\n## system\nx\n## user\n{{ promt }}", "p.md:6: unknown placeholder"),
        ("## user\n{% if prompt %}", "p.md:2: this is not valid Jinja"),
        ("## user\n\n{{ prompt", "p.md:3: this is not valid Jinja"),
    ],
)
def test_what_is_wrong_with_a_prompt_is_told_with_its_line(tmp_path: Path, text, says) -> None:
    with pytest.raises(RecipeError) as error:
        read_template(written(tmp_path, "p.md", text), ["prompt"])
    assert says in str(error.value)
    assert "Fix: " in str(error.value)


def test_a_prompt_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "p.md").write_bytes(b"## user\n\xff\xfe")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_template(tmp_path / "p.md", [])
    with pytest.raises(RecipeError, match="cannot be read"):
        read_template(tmp_path / "none.md", [])


def test_a_prompt_cannot_reach_into_python(tmp_path: Path) -> None:
    from jinja2.exceptions import SecurityError

    text = "## user\n{{ prompt.__class__.__mro__ }}"
    template = read_template(written(tmp_path, "p.md", text), ["prompt"])
    with pytest.raises(SecurityError):
        template.messages(prompt="x")


@pytest.fixture
def prompts(tmp_path: Path) -> Prompts:
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("ask", "mend"):
        for language in ("en", "zh"):
            written(folder, f"{name}.{language}.md", f"## user\n{name} {language} {{{{ prompt }}}}")
    return Prompts(folder, {"ask": ("prompt",), "mend": ("prompt", "fault")})


def test_a_users_prompt_replaces_the_shipped_one_of_its_name(prompts: Prompts, tmp_path) -> None:
    assert {path.name for path in prompts.shipped()} == {
        *("ask.en.md", "ask.zh.md", "mend.en.md", "mend.zh.md")
    }
    mine = [
        written(tmp_path, "ask.zh.md", "## user\n问 {{ prompt }}"),
        written(tmp_path, "mend.md", "## user\n{{ fault }}"),
    ]
    assert [path.name for path in prompts.shipped(mine)] == ["ask.en.md"]
    found = prompts.read(mine)
    assert found["ask", "zh"].messages(prompt="x")[0].content == "问 x"
    assert found["ask", "en"].messages(prompt="x")[0].content == "ask en x"
    assert found["mend", "en"].messages(fault="x") == found["mend", "zh"].messages(fault="x")


def test_the_file_of_one_language_comes_before_that_of_all(prompts: Prompts, tmp_path) -> None:
    mine = [
        written(tmp_path, "ask.md", "## user\nall"),
        written(tmp_path, "ask.en.md", "## user\nenglish"),
    ]
    found = prompts.read(mine)
    assert found["ask", "en"].messages()[0].content == "english"
    assert found["ask", "zh"].messages()[0].content == "all"


@pytest.mark.parametrize("name", ["aks.en.md", "ask.fr.md", "ask.en.txt", "ask"])
def test_a_file_that_replaces_nothing_is_told(prompts: Prompts, tmp_path: Path, name) -> None:
    mine = written(tmp_path, name, "## user\nx")
    with pytest.raises(RecipeError, match="replaces none of the step's"):
        prompts.check([mine])
