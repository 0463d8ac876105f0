"""The page of a version in a real Chromium, opened from its file: read, search, filter, open a row."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from databuild.release.browsing import browse
from databuild.release.versions import Versions
from tests.release.made import release
from tests.release.test_browsing import lineage, pairs, votes

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]


def test_a_version_is_read_from_its_file_alone(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    tables = {"preference": {"train": pairs(60)}, "votes": {"train": votes(60)}}
    release(tmp_path, "1.0.0", tables, {"rows": lineage(60)})
    versions = Versions(tmp_path, "made")
    browse(versions, versions.read("latest"), tmp_path / "page.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda one: said.append(one.text))
        page.on("pageerror", lambda one: said.append(str(one)))
        page.on("dialog", lambda one: said.append(one.message))
        page.goto((tmp_path / "page.html").as_uri())
        count = page.get_by_role("status")
        count.get_by_text("60 of 60 rows; page 1 of 2").wait_for()
        page.get_by_label("strength").select_option("=better")
        count.get_by_text("30 of 60 rows").wait_for()
        page.get_by_label("strength").select_option("")
        page.get_by_label("Search in the texts").fill("折射 17")
        count.get_by_text("1 of 60 rows").wait_for()
        page.locator(".row").click()
        assert page.locator(".open mark").inner_text() == "折射 17"
        assert "I do not know 17" in page.locator(".rejected").inner_text()
        way = page.locator(".open ul").first.inner_text()
        assert all(word in way for word in ("annotate.pull", "annotator heron", "a.jsonl"))
        page.get_by_label("Search in the texts").fill("onerror")
        page.locator(".row").click()
        assert "<img src=x onerror" in page.locator(".open .text").first.inner_text()
        assert page.locator("img").count() == 0
        page.get_by_label("Configuration and split").select_option("1")
        page.get_by_label("Search in the texts").fill("")
        count.get_by_text("60 of 60 rows").wait_for()
        assert said == []
        browser.close()
