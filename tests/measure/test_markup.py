from __future__ import annotations

import pytest

from databuild.measure.markup import measure_markup
from tests.measure.columns import measured


def faults(*texts, **options):
    return measured(measure_markup, "t", {"t": list(texts)}, column="t", **options)["markup_faults"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<p>Roses</p>", "html_tags"),
        ("Roses<br/>beans", "html_tags"),
        ('See <a href="x">this</a>', "html_tags"),
        ("Roses&nbsp;&amp; beans", "html_entities"),
        ("it&#39;s fine", "html_entities"),
        ("Bye<|im_end|>", "special_tokens"),
        ("[INST] Water the roses [/INST]", "special_tokens"),
        ("<<SYS>>be kind<</SYS>>", "special_tokens"),
        ("Roses.</s>", "special_tokens"),
        ("<｜end▁of▁sentence｜>", "special_tokens"),
        ("Fine.\n### Human: and beans?", "role_labels"),
        ("Human: hi\n\nAssistant: hello", "role_labels"),
        ("### 用户：你好", "role_labels"),
        ("![a rose](rose.png)", "markdown_debris"),
        ("A **bold rose", "markdown_debris"),
        ("[roses]()", "markdown_debris"),
        ("Roses\\_and\\_beans", "markdown_debris"),
        (r"It is \frac{1}{2 of it", "broken_latex"),
        (r"\[ \frac{1}{2}", "broken_latex"),
        ("$$ x = 1", "broken_latex"),
        (r"\begin{cases} \frac{1}{2}", "broken_latex"),
        ("Roses are red [12].", "citations"),
        ("Roses are red【3†source】", "citations"),
    ],
)
def test_leftovers(text, fault):
    assert faults(text) == [[fault]]


@pytest.mark.parametrize(
    "text",
    [
        "Use `<br>` to break a line.",
        "```html\n<p>&nbsp;</p>\n<|im_end|>\n```",
        "<html>\n<body>\n<p>Roses</p>\n</body>\n</html>",
        "2 < 3 and 4 > 1 & so on",
        "**Roses** are *red* and **beans** green",
        "2**3 is 8",
        "x = [n ** 2 for n in range(3)]\nprint(x)",
        r"\( \frac{1}{2} \) and $$x^2$$",
        "It costs $5 or $6",
        "The human: a being. An assistant: a helper",
        "[1, 2, 3] is a list",
        "R&D; AT&T",
        "",
        None,
        "玫瑰 🌹",
    ],
)
def test_honest_text_has_none(text):
    assert faults(text) == [[]]


def test_tags_that_were_asked_for_are_no_fault():
    columns = {"t": ["<p>Roses</p>"] * 2, "prompt": ["Write some HTML.", "Write a word."]}
    found = measured(measure_markup, "t", columns, column="t", prompt="prompt")
    assert found["markup_faults"] == [[], ["html_tags"]]


def test_counts():
    texts = ["<p>a</p> &amp; &lt; <s>", "plain", None]
    found = measured(measure_markup, "t", {"t": texts}, column="t")
    assert found["n_html_tags"] == [2, 0, 0]
    assert found["n_html_entities"] == [2, 0, 0]
    assert found["n_special_tokens"] == [1, 0, 0]


def test_faults_can_be_left_out():
    assert faults("<p>&amp;</p>", ignore=["html_tags"]) == [["html_entities"]]
    with pytest.raises(ValueError, match="did you mean 'html_tags'"):
        faults("x", ignore="html_tag")
