"""What a person grades is what the model wrote: tags, entities and images are characters."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from databuild.annotate.argilla import fields_of
from databuild.annotate.literal import literal
from databuild.annotate.records import Record

PIECES = st.sampled_from(
    ["<think>", "</p>", "<b", "&lt;", "&#60;", "![a](http://x.test/a.png)", "a", " ", "2 < 3", "```",
     "~~~", "`", "``", "\n", "\r\n", "\n\n", "    ", "- ", "> ", "\u2028", "&", "<!-- x -->"]
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Plain **text** only.", "Plain **text** only."),
        ("", ""),
        ("<think>So</think> 4 < 5", "&lt;think>So&lt;/think> 4 &lt; 5"),
        ("Write &lt; for <", "Write &amp;lt; for &lt;"),
        ("AT&T & you", "AT&T & you"),
        ("See ![it](http://x.test/a.png)", r"See !\[it](http://x.test/a.png)"),
        ("Use `a<b>` or ``x ` <y>``", "Use `a<b>` or ``x ` <y>``"),
        ("an open ` and <b>", "an open ` and &lt;b>"),
        ("one `\n\ntwo <b> ` three", "one `\n\ntwo &lt;b> ` three"),
        ("<p>\n```html\n<p>&amp;\n```\n<p>", "&lt;p>\n```html\n<p>&amp;\n```\n&lt;p>"),
        ("a\u2028<b>\n\n    <code>\n", "a\u2028&lt;b>\n\n    <code>\n"),
        ("- item\n\n  ~~~\n  <x>\n  ~~~\n- <y>", "- item\n\n  ~~~\n  <x>\n  ~~~\n- &lt;y>"),
    ],
)
def test_only_what_would_not_be_shown_is_changed(text, expected):
    assert literal(text) == expected


@given(st.lists(PIECES, max_size=30).map("".join))
def test_a_page_shows_no_tag_and_no_image_of_any_text(text):
    page = MarkdownIt("commonmark", {"html": True}).render(literal(text))
    # What Markdown itself makes is left: these tags have no such names.
    assert not re.search(r"<(/?think|b\b|!--|img)", page)
    if "``" not in text and "~~" not in text:  # a page shows no more of these lines than a language
        shown = html.unescape(re.sub(r"<[^>]*>", "", page))
        assert shown.count("<think>") == text.count("<think>")


def test_fields_are_sent_so_that_all_of_them_is_seen():
    record = Record(
        "0" * 32, "preference",
        {"prompt": "Make <b>", "messages": None, "answers": ["<think>", "![x](y)"]}, (1, 0),
    )  # fmt: skip
    assert fields_of(record) == {
        "prompt": [{"role": "user", "content": "Make &lt;b>"}],
        "response_a": r"!\[x](y)",
        "response_b": "&lt;think>",
    }
