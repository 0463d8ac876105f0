"""Argilla's own search-engine tests, from its source distribution, on the embedded engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from databuild.annotate.installation import install, package_folder

HERE = Path(__file__).parent / "argilla_upstream"
RELEASE = "argilla-server==2.8.0"
SDIST_SHA256 = "c3ca464f7e024d1232fde23dbd6014e2c82a7cebd0382de03d7cb3cfae71e4b0"

pytestmark = pytest.mark.live

# What the tests wrote into Elasticsearch themselves is written into the database.
EDITS = {
    'not in ["elasticsearch", "opensearch"]': 'not in ["embedded"]',
    "dataset = await DatasetFactory.create(fields=[], questions=[])\n    records = await RecordFactory.create_batch(size=100, dataset=dataset)": (
        'dataset = await DatasetFactory.create(fields=[await TextFieldFactory.create(name="text")], questions=[])\n'
        '    records = await RecordFactory.create_batch(size=100, dataset=dataset, fields={"text": "The same text for all documents"})'
    ),
    "    helpers.bulk(client=opensearch, actions=bulk_actions)\n": "",
    '            record_responses = opensearch.get(index=index_name, id=record.id)["_source"].get("responses") or []\n            record_responses.extend(responses)\n\n            opensearch.update(index_name, id=record.id, body={"doc": {"responses": record_responses}})': (
        "            from argilla_server.models import Response\n"
        "            for made in responses:\n"
        '                one = [another_user, user][made["user_id"] == str(user.id if user else None)]\n'
        "                if await Response.get_by(TestSession(), record_id=record.id, user_id=one.id) is None:\n"
        '                    await ResponseFactory.create(record=record, user=one, status=made["status"], values={"rating": {"value": made["rating"]}})'
    ),
    "from tests.factories import (": "from tests.database import TestSession\nfrom tests.factories import (",
}


def cached(request, tmp_path_factory) -> Path:
    cache = getattr(request.config, "cache", None)
    return cache.mkdir("argilla-upstream") if cache else tmp_path_factory.mktemp("upstream")


def fetched(folder: Path) -> Path:
    """The folder of the unpacked source distribution, and beside it what its tests need."""
    lock = HERE / "requirements.lock"
    source, needed = folder / RELEASE.replace("==", "-"), folder / "packages"
    if not needed.exists():
        part = folder / f"packages.{os.getpid()}"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes"]
        run([*pip, "--no-compile", "--target", str(part), "-r", str(lock)])
        part.rename(needed)
    if not source.exists():
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{RELEASE} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
        only = ["--no-binary", "argilla-server", "-d", str(folder), "-r", str(wanted)]
        run([*pip, *only])
        with tarfile.open(next(folder.glob("argilla_server-*.tar.gz"))) as packed:
            packed.extractall(folder / f"unpacked.{os.getpid()}", filter="data")
        next((folder / f"unpacked.{os.getpid()}").iterdir()).rename(source)
    return source


def run(words: list[str]) -> None:
    done = subprocess.run(words, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{words[3]}: the package index gave nothing: {done.stderr[-300:]}")


def test_argillas_own_search_engine_tests_pass(request, tmp_path_factory, tmp_path, argilla_home):
    folder = cached(request, tmp_path_factory)
    python = install(lambda _: None)
    shutil.copytree(fetched(folder) / "tests", tmp_path / "tests")
    place = tmp_path / "tests/unit/search_engine"
    shutil.copy(HERE / "adapter.py", place / "conftest.py")
    tests = place / "test_commons.py"
    text = tests.read_text(encoding="utf-8")
    for before, after in EDITS.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    tests.write_text(text, encoding="utf-8")
    lines = (HERE / "not_applicable.txt").read_text(encoding="utf-8").splitlines()
    left_out = [line.split("  # ")[0] for line in lines if line and not line.startswith("#")]
    one = "tests/unit/search_engine/test_commons.py"
    words = [f"--deselect={one}::TestBaseElasticAndOpenSearchEngine::{name}" for name in left_out]
    ran = subprocess.run(
        [str(python), "-P", "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(tmp_path),
         "-p", "no:cacheprovider", "-p", "asyncio", "-p", "pytest_mock", one, *words],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{tmp_path}:{package_folder()}:{folder / 'packages'}",
            "ARGILLA_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'test.db'}",
            "ARGILLA_SEARCH_ENGINE": "embedded",
            "ARGILLA_HOME_PATH": str(tmp_path),
            "HF_HUB_OFFLINE": "1",
            "TMPDIR": str(tmp_path),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = re.search(r"(\d+) passed, (\d+) deselected", ran.stdout)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert told is not None
    assert int(told[1]) >= 92
    assert int(told[2]) == len(left_out)
