"""Texts that are made to be slow: a search that is quadratic would take minutes on them."""

from __future__ import annotations

import time

import pytest

from databuild.text.cutting import breaks_off, cut_back
from databuild.text.fused import take_apart
from databuild.text.html_text import html_to_text
from databuild.text.masking import RowMask
from databuild.text.pii import TYPES
from databuild.text.pseudonyms import Placeholders

HOSTILE = [
    "<" * 20_000 + "</p><p>", "<a " * 10_000 + "</a>", "&amp;" * 10_000, "`` x " * 5_000 + "<p></p>", "<!--" * 10_000,
    "Q: a\n" * 3_000, "Q: a\nA: b\n" * 3_000, "a. b " * 10_000, ". " * 20_000 + "x y", "```" * 5_001, "1.\n" * 5_000,
    " " * 30_000 + "x", "x\n" * 5_000 + "the", " ".join(f"u{i}@post.org" for i in range(1_000)),
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:8]))
def test_no_text_takes_for_ever(text):
    started = time.process_time()
    for work in (html_to_text, take_apart, breaks_off, cut_back):
        work(text)
    RowMask(Placeholders(), TYPES, [text]).mask(text)
    assert time.process_time() - started < 5
