from __future__ import annotations

import polars as pl
import pytest

from databuild.errors import StepError
from databuild.fix import html as fix_html
from databuild.fix.html import HtmlConfig, turn_html_to_text
from databuild.text.html_text import html_to_text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<p>Hi <b>you</b></p><p>two\n lines</p>", "Hi you\n\ntwo lines"),
        ("one<br>two\n\n  <i>three</i>", "one\ntwo\n\n  three"),
        ("<h2>T</h2><ol><li>a<li><p>b</p><ul><li>c</ul></ol>x", "## T\n\n1. a\n2. b\n  - c\n\nx"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2"),
        ("<pre>\n  x = 1\n    y\n</pre>z", "```\n  x = 1\n    y\n```\n\nz"),
        ("<p>Use <code>a  b</code>, not &lt;br&gt;</p>", "Use `a b`, not `<br>`"),
        ("<a href='https://x.org/a'>this</a>", "[this](https://x.org/a)"),
        ("<a href='https://x.org'>https://x.org</a>", "https://x.org"),
        ("<a href='javascript:f()'>no</a>", "no"),
        ("<style>p{}</style><script>f()</script><p>ok<!-- no --></p>", "ok"),
        ("<img src=x alt='a cat'> <br>", "a cat "),
        ("Fish &amp; chips &#8211; 5&nbsp;&euro;", "Fish & chips – 5\u00a0€"),
        ("see ```<b>x</b> &amp;``` and <b>y</b>", "see ```<b>x</b> &amp;``` and y"),
        ("`<b>&lt;</b>` is <b>bold</b>", "`<b>&lt;</b>` is bold"),
        ("&lt;p&gt;x&lt;/p&gt;", "`<p>`x`</p>`"),
        ("&amp;lt;", "`&lt;`"),
        ("Steps:\n1. Open it.\n2. Add <p>x</p>", "Steps:\n1. Open it.\n2. Add\n\nx"),
        ("<div>\n <label> Name: </label>\n <p> z </p></div>", "Name:\n\nz"),
    ],
)
def test_html_becomes_readable_text(text, wanted):
    assert html_to_text(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["if a<b and c>d: x", "Use the <b> tag", "vector<int> v; a && b; x < 3 > y", "AT&T, R&D; &nope;", "<think>so</think>", "<div>", "```\n<p>x</p>\n```", "a\n\n\n b  ", ""],
)  # fmt: skip
def test_what_only_looks_like_html_is_left(text):
    assert html_to_text(text) == text


def test_a_very_deep_page_is_no_recursion_error():
    assert html_to_text("<div>" * 3_000 + "x" + "</div>" * 3_000) == "x"


def test_without_resiliparse_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(fix_html, "find_spec", lambda _name: None)
    rows = pl.DataFrame({"row_id": ["a"], "prompt": ["x"]})
    with pytest.raises(StepError, match=r"resiliparse, which is not installed\. Fix: uv add"):
        turn_html_to_text(rows, HtmlConfig())
