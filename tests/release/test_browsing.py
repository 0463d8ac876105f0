"""The page of a version: all of it in one file, and nothing in a row is markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.release.browsing import browse
from databuild.release.diff_page import render
from databuild.release.versions import Versions
from tests.release.made import release

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def _vote(number: int) -> str:
    return f"{16**31 + number:032x}"


def pairs(n: int) -> pl.DataFrame:
    """Graded pairs, some in Chinese, one full of markup."""
    return pl.DataFrame({
        "row_id": [f"{one:032x}" for one in range(n)],
        "parent_ids": [[_vote(one)] for one in range(n)],
        "prompt": [EVIL if not one else "彩虹是怎样形成的？" for one in range(n)],
        "chosen": [f"阳光在水滴中折射 {one}" for one in range(n)],
        "rejected": [f"I do not know {one}" for one in range(n)],
        "strength": ["better" if one % 2 else "slightly better" for one in range(n)],
        "margin": [float("inf") if one == 1 else float("nan") for one in range(n)],
        "rejected_score": [0.25] * n,
    })  # fmt: skip


def votes(n: int) -> pl.DataFrame:
    return pl.DataFrame({
        "row_id": [_vote(one) for one in range(n)], "parent_ids": [["s"]] * n,
        "prompt": ["p"] * n, "annotator": ["heron"] * n, "grade": [3] * n,
        "voted_at": ["2026-01-01"] * n,
    })  # fmt: skip


def lineage(n: int) -> pl.DataFrame:
    made = [{"row_id": f"{one:032x}", "parent_ids": [_vote(one)], "step": "pairs",
             "use": "annotate.pairs", "source_file": None} for one in range(n)]  # fmt: skip
    made += [{"row_id": _vote(one), "parent_ids": ["s"], "step": "votes", "use": "annotate.pull",
              "source_file": None} for one in range(n)]  # fmt: skip
    made += [{"row_id": "s", "parent_ids": ["s"], "step": "raw", "use": "ingest.files",
              "source_file": "a.jsonl"}]  # fmt: skip
    return pl.DataFrame(made, infer_schema_length=None)


def written(folder: Path, n: int, rows: int = 5000) -> tuple[str, dict[str, Any]]:
    """The page, and what is packed in it."""
    tables = {"preference": {"train": pairs(n)}, "votes": {"train": votes(n)}}
    release(folder / "store", "1.0.0", tables, {"rows": lineage(n)}, told=EVIL)
    versions = Versions(folder / "store", "made")
    browse(versions, versions.read("latest"), folder / "page.html", rows)
    page = (folder / "page.html").read_text("utf-8")
    [packed] = re.findall(r'id="data">([^<]*)<', page)
    return page, json.loads(gzip.decompress(base64.b64decode(packed)))


def test_nothing_of_a_row_or_of_the_recipe_is_markup_and_only_our_script_may_run(tmp_path) -> None:
    page, packed = written(tmp_path, 3)
    assert packed["tables"][0]["columns"]["prompt"][0] == EVIL
    assert "alert(1)</script>" not in page
    assert page.count("<script") == 2
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "innerHTML" not in script
    assert not re.findall(r"<[^>]*\s(?:src|href|on\w+)=", page)


def test_rows_lead_to_their_votes_and_their_source(tmp_path) -> None:
    _, packed = written(tmp_path, 3)
    made = packed["made"]
    [vote] = made[f"{1:032x}"]["parent_ids"]
    assert (made[vote]["annotator"], made[vote]["grade"]) == ("heron", 3)
    assert made[made[vote]["parent_ids"][0]]["source_file"] == "a.jsonl"
    columns = packed["tables"][0]["columns"]
    assert columns["margin"] == ["nan", "inf", "nan"]
    assert "parent_ids" not in columns


def test_of_many_rows_the_same_sample_is_drawn_and_said(tmp_path) -> None:
    page, packed = written(tmp_path / "a", 400, rows=100)
    again, _ = written(tmp_path / "b", 400, rows=100)
    assert page == again
    assert [len(one["columns"]["row_id"]) for one in packed["tables"]] == [50, 50]
    assert "<b>A sample: 100 of 800 rows</b>" in page
    assert set(packed["made"]) >= set(packed["tables"][0]["columns"]["row_id"])
    assert "All 6 rows." in written(tmp_path / "c", 3)[0]


def test_the_page_of_a_difference_marks_words_and_escapes_them(tmp_path) -> None:
    from databuild import api

    release(tmp_path, "1.0.0", {"preference": {"train": pairs(3)}})
    other = pairs(3).with_columns(
        prompt=pl.lit(f"{EVIL} 彩云"), strength=pl.lit("better"),
        row_id=pl.lit("f") + pl.col("row_id").str.slice(1),
    )  # fmt: skip
    release(tmp_path, "1.1.0", {"preference": {"train": other}})
    found = api.difference("made@1.0.0", "made", by=None, limit=20, store=tmp_path)
    page = render("made@1.0.0", "made", found)
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;img src=x" in page
    assert "<ins>" in page
    assert "<del>slightly better</del> <ins>better</ins>" in page
    assert "By strength" in page
