"""The page of a profile: every section, right numbers, nothing that runs."""

from __future__ import annotations

import re
import sys

import polars as pl
import pytest

import databuild
from databuild.errors import ServiceError, StoreError
from databuild.profiling.facts import Shift
from databuild.report import wording
from databuild.report.profile_page import render, write_profile

EVIL = "<script>alert(1)</script>\x1b[31m\u202e & </td>{{ 7777*3 }}"
ROWS = pl.DataFrame(
    {
        "prompt": [EVIL, "Explain rainbows", "Explain rainbows", "解释彩虹🌈"],
        "prompt_language": ["en", "en", "en", "zh"],
        "prompt_is_blank": [True, None, False, True],
        "prompt_faults": [[EVIL], ["cut"], [], []],
        "topic<b>": ["a", "a", EVIL, EVIL],
        "score": [1.0, 2.0, 3.0, float("nan")],
        "cluster_id": [EVIL, EVIL, "y", "z"],
        "messages": [[{"role": EVIL, "content": EVIL}]] * 4,
        "chosen": ["a", "b", "c", EVIL],
        "rejected": ["a", "bb", "c", "d"],
    }
)


@pytest.fixture
def paths(tmp_path):
    one, other = tmp_path / "old.parquet", tmp_path / "new.parquet"
    ROWS.write_parquet(one)
    ROWS.slice(1).with_columns(pl.col("score") + 1).write_parquet(other)
    return one, other


def harmless(page):
    """Nothing on the page runs, loads or steers; the style sheet is the page's own."""
    assert "<script" not in page
    assert "topic<b>" not in page
    assert "23331" not in page.partition("</style>")[2]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    assert not re.findall(r"""\s(?:src|href|on\w+)=|url\(|@import|https?://""", page)
    return True


def test_the_page_of_a_table_has_every_section(paths):
    page = render(databuild.profile(paths[0]))
    for title in (
        "Faults and findings", "Languages", "Lengths", "Equal texts", "Near duplicates",
        "Conversations in messages", "Preference pairs", "Strata", "Numbers", "Columns",
    ):  # fmt: skip
        assert f"<h2>{title}</h2>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;␛[31m" in page
    assert "解释彩虹🌈" in page
    assert page.count("<svg") == 2 * 4 + 3  # lengths of four columns; turns, ratio, score
    assert harmless(page)


def test_the_page_of_a_difference_has_both_sides(paths):
    page = render(databuild.profile(*paths))
    for title in ("Faults and findings", "How far distributions moved", "Strata", "Equal texts"):
        assert f"<h2>{title}</h2>" in page
    assert "4 → 3" in page
    assert "before" in page
    assert harmless(page)


def test_a_page_is_named_after_its_table_and_written_whole(paths, tmp_path):
    found = databuild.profile(*paths)
    assert write_profile(found, tmp_path).name == "profile-old.parquet-to-new.parquet.html"
    page = write_profile(found.after, tmp_path / "page.html")
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
    with pytest.raises(StoreError, match="cannot write"):
        write_profile(found, tmp_path / "nowhere" / "page.html")


def test_without_jinja2_it_says_what_to_install(paths, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ServiceError, match="jinja2 is not installed"):
        render(databuild.profile(paths[0]))


def test_an_empty_table_has_a_page(tmp_path):
    for name, rows in (("none", pl.DataFrame()), ("clear", ROWS.clear())):
        rows.write_parquet(tmp_path / f"{name}.parquet")
        page = render(databuild.profile(tmp_path / f"{name}.parquet"))
        assert "<div>0<span>rows</span></div>" in page
        assert "nan" not in page.partition("</style>")[2]


def test_types_are_named_without_their_insides():
    names = {
        "List(Struct({'role': String, 'content': List(String)}))": "list of struct",
        "Array(Int64, shape=(2,))": "array of int64",
        "Datetime(time_unit='us', time_zone='UTC')": "datetime",
        "List(List(String))": "list of list of string",
        "Decimal(precision=10, scale=2)": "decimal",
        "Enum(categories=['a', 'b'])": "enum",
    }
    assert {name: wording.dtype(name) for name in names} == names


@pytest.mark.parametrize(
    ("distance", "psi", "noise", "word"),
    [
        (0.0, 0.0, 0.0, "the same"),
        (0.3, 1.0, 0.4, "within chance"),
        (0.05, 0.25, 0.01, "large"),
        (0.2, 0.0, 0.01, "large"),
        (0.05, 0.1, 0.01, "moderate"),
        (0.1, 0.0, 0.01, "moderate"),
        (0.09, 0.09, 0.01, "small"),
    ],
)
def test_a_shift_is_named_by_its_size(distance, psi, noise, word):
    assert wording.size_of(Shift("n", "values", distance, psi, noise)) == word
