"""Votes through the real server: simulated people, half-said answers, and a server that dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import pytest

from databuild.annotate import argilla as desk
from databuild.annotate import argilla_api, local, people
from databuild.annotate.aggregate import AggregateConfig, aggregate_votes
from databuild.annotate.argilla import ArgillaDesk
from databuild.annotate.argilla_api import Api
from databuild.annotate.connection import Connection
from databuild.annotate.desk import UnreachableError
from databuild.annotate.fetching import fetch
from databuild.annotate.log import VoteLog
from databuild.annotate.people import add_user
from databuild.annotate.pull import PullConfig, read_votes
from databuild.annotate.push import PushConfig, put_before_people
from databuild.annotate.simulate import SimulateConfig, answer_as_people
from databuild.annotate.tasks import load_task
from databuild.errors import StepError
from tests.cli.conftest import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.step import Produced

pytestmark = pytest.mark.live

N = 24
GRADES = [4, 3, 2, 1, -1, -2, -3, -4]


def rows_of(n: int) -> pl.DataFrame:
    grades = [GRADES[i % len(GRADES)] for i in range(n)]
    return pl.DataFrame({
        "row_id": [f"row{i:03d}" for i in range(n)],
        "prompt": [f"Frage {i}: 为什么? 🐢" for i in range(n)],
        "response_a": [f"One answer to {i}." for i in range(n)],
        "response_b": [f"另一个答案 {i}" for i in range(n)],
        "truth": [grade / 4 for grade in grades],
    })  # fmt: skip


def push(folder: Path, rows: pl.DataFrame, dataset: str, **options: Any) -> dict[str, Any]:
    out = folder / f"out-{os.urandom(4).hex()}"
    out.mkdir(parents=True)
    config = PushConfig(dataset=dataset, **options)
    return put_before_people(rows, config, out=out, journals=folder, files=(), seed=3)


def pull(folder: Path, rows: pl.DataFrame, dataset: str) -> Produced:
    fetch(VoteLog(folder, dataset), ArgillaDesk())
    config = PullConfig(dataset=dataset, share=0.0)
    return read_votes(rows, config, journals=folder, told="")


def records_there(api: Api, dataset: str) -> list[dict[str, Any]]:
    found = api.dataset(dataset)
    assert found is not None
    include = {"include": "suggestions", "limit": 500}
    items: list[dict[str, Any]] = api.get(f"/datasets/{found['id']}/records", **include)["items"]
    return items


def voter_of(argilla: Connection, name: str) -> Connection:
    add_user(argilla, name, "a password of length")
    with Api(argilla) as api:
        users = {one["username"]: one["api_key"] for one in api.get("/users")["items"]}
    return Connection(argilla.url, users[name], argilla.workspace)


def answer(who: Connection, record: str, values: dict[str, Any]) -> None:
    body = {"status": "submitted", "values": {k: {"value": v} for k, v in values.items()}}
    with Api(who) as api:
        api.post(f"/records/{record}/responses", body)


def test_a_known_record_pushed_again_takes_its_new_place_and_keeps_its_votes(
    argilla: Connection, tmp_path: Path
) -> None:
    rows = rows_of(4).with_columns(margin=pl.Series([0.4, 0.3, 0.2, 0.1]))
    options = {"margins": ("margin",), "annotators": ("ann", "bob"), "assist": True}
    told = push(tmp_path, rows, "moving", **options)
    assert (told["new"], told["changed"], told["there"]) == (4, 0, 0)
    assert set(told["answer_at"]) == {"ann", "bob"}
    assert "metadata=assigned_to.ann&sort=metadata.place.asc" in told["answer_at"]["ann"]
    with Api(argilla) as api:
        before = {one["external_id"]: one for one in records_there(api, "moving")}
    last = next(one for one in before.values() if one["metadata"]["place"] == 3)
    answer(voter_of(argilla, "mover"), last["id"], {"preference": "b_better"})
    with Api(argilla) as api:  # changed by hand, which is said at every pull, and never undone
        api.patch(f"/records/{last['id']}", {"metadata": {"place": 77}})

    again = rows.with_columns(margin=pl.Series([0.1, 0.2, -0.3, 0.4]))
    told = push(tmp_path, again, "moving", **options)
    assert (told["new"], told["there"]) == (0, 4 - told["changed"])
    with Api(argilla) as api:
        after = {one["external_id"]: one for one in records_there(api, "moving")}
    noted = VoteLog(tmp_path, "moving").read().records
    assert {name: one["metadata"]["place"] for name, one in after.items()} == {
        name: one.place for name, one in noted.items()
    }
    assert noted[last["external_id"]].place == 0
    assert {name: one["id"] for name, one in after.items()} == {
        name: one["id"] for name, one in before.items()
    }
    turned = next(one for one in noted.values() if one.margins == {"margin": -0.3})
    sides = [one[turned.record]["suggestions"][0]["value"][0] for one in (before, after)]
    assert sides[0] != sides[1]
    assert pull(tmp_path, rows, "moving").rows["annotator"].to_list() == ["mover"]
    assert push(tmp_path, again, "moving", **options)["there"] == 4


OWN = """\
task: thumbs
fields:
  - {name: prompt, kind: chat, title: Question}
  - {name: response, kind: text, title: Reply}
questions:
  - {name: thumb, kind: label, required: true, title: Send it?, options: {up: Send it, down: Do not}}
  - {name: tone, kind: multi_label, title: Tone, options: {cold: Cold, pushy: Pushy, 太长: 太长了}}
"""


def test_questions_of_ones_own_are_asked_and_answered_in_argilla(
    argilla: Connection, tmp_path: Path
) -> None:
    rows = rows_of(2).rename({"response_a": "response"})
    (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
    (tmp_path / "own.md").write_text("# Ours\n\nBe kind.\n", encoding="utf-8")
    rows.write_ndjson(tmp_path / "rows.jsonl")
    words = ("annotate", "push", "own", "rows.jsonl", "task=thumbs", "files=[own.yaml, own.md]")
    assert "keeps for itself" in Terminal(tmp_path)(*words, code=2).stderr
    renamed = Terminal(tmp_path)(*words, "rename={row_id: number}")
    assert "2 records of own are before people (2 new)" in renamed.stdout
    with Api(argilla) as api:
        found = api.dataset("own")
        assert found is not None
        assert found["guidelines"] == "# Ours\n\nBe kind.\n"
        questions = {q["name"]: q for q in api.get(f"/datasets/{found['id']}/questions")["items"]}
        assert questions["thumb"]["title"] == "Send it?"
        first = records_there(api, "own")[0]["id"]
    answer(voter_of(argilla, "own-voter"), first, {"thumb": "down", "tone": ["pushy", "太长"]})
    told = Terminal(tmp_path).json("annotate", "pull", "own", "--out", "votes.jsonl")
    assert (told["new"], told["note"]) == (1, "")  # the number tells it
    (vote,) = VoteLog(tmp_path / "runs" / "journals", "own").read().submitted()
    assert vote.answers == {"thumb": "down", "tone": ["pushy", "太长"]}
    assert not pl.read_ndjson(tmp_path / "votes.jsonl")["label"].item()


def test_simulated_people_vote_with_keys_of_their_own_and_the_truth_is_recovered(
    argilla: Connection, tmp_path: Path
) -> None:
    rows, journals = rows_of(N), tmp_path / "runs" / "journals"
    config = SimulateConfig(
        dataset="crowd",
        annotators={
            "exact": {"skill": 1.0, "noise": 0, "rewrites": 1.0},
            "good": {"skill": 0.95}, "left": {"skill": 0.95, "answers": 0.5},
        },
        rewrite="prompt",
    )  # fmt: skip
    (tmp_path / "out").mkdir()

    def simulate() -> dict[str, Any]:
        return answer_as_people(rows, config, out=tmp_path / "out", journals=journals, seed=5)

    with pytest.raises(StepError, match="put before people as 'crowd'"):
        simulate()
    push(journals, rows, "crowd", votes_per_record=2)
    told = simulate()
    cast = {"simulated-exact": N, "simulated-good": N, "simulated-left": N // 2}
    assert told["votes"] == cast
    pulled = Terminal(tmp_path).json("annotate", "pull", "crowd")
    assert (pulled["new"], pulled["answered"]) == (sum(cast.values()), N)

    votes = pull(journals, rows, "crowd").rows
    assert dict(votes.group_by("annotator").len().iter_rows()) == cast
    assert votes.select("record", "annotator").n_unique() == votes.height == sum(cast.values())
    assert votes["simulated"].all()
    truth = rows.select(pl.col("row_id").alias("parent"), "prompt", grades=pl.col("truth") * 4)
    known = votes.with_columns(parent=pl.col("parent_ids").list.first()).join(truth, on="parent")
    exact = known.filter(annotator="simulated-exact")
    assert (exact["grade"] == exact["grades"]).all()
    assert (exact["edited"] == exact["prompt"]).all()

    head = VoteLog(journals, "crowd").head()
    simulate()
    assert fetch(VoteLog(journals, "crowd"), ArgillaDesk()).new == 0
    assert VoteLog(journals, "crowd").head() == head
    voted = aggregate_votes(votes.with_row_index("row_id"), AggregateConfig()).rows
    by_prompt = voted.join(rows.select("prompt", "truth"), on="prompt")
    assert by_prompt.height == N
    assert (by_prompt["grade"].sign() == by_prompt["truth"].sign()).mean() >= 0.95

    with Api(argilla) as api:
        users = {one["username"]: one for one in api.get("/users")["items"]}
        assert {users[name]["role"] for name in cast} == {"annotator"}
        found = api.dataset("crowd")
        assert found is not None
        api._ask("DELETE", f"/datasets/{found['id']}")
    with pytest.raises(StepError, match="'crowd' is not in the workspace 'databuild'"):
        simulate()


def test_half_said_and_unsaid_answers_are_no_votes_and_come_to_no_harm(
    argilla: Connection, tmp_path: Path
) -> None:
    rows, said = rows_of(5), {"preference": {"value": "a_much"}}
    push(tmp_path, rows, "halves")
    add_user(argilla, "ines", "a long enough password")
    with Api(argilla) as api:
        key = next(
            one["api_key"] for one in api.get("/users")["items"] if one["username"] == "ines"
        )
        ids = {one["external_id"]: one["id"] for one in records_there(api, "halves")}
    log = VoteLog(tmp_path, "halves")
    whole, draft, discard, bare, blank = (ids[one] for one in log.read().records)
    answers = [
        {"record_id": whole, "status": "submitted", "values": said},
        {"record_id": draft, "status": "draft", "values": {"comment": {"value": "…"}}},
        {"record_id": discard, "status": "discarded", "values": said},
        {"record_id": bare, "status": "discarded", "values": None},
        {"record_id": blank, "status": "submitted", "values": said | {"comment": {"value": " "}}},
    ]
    with Api(Connection(argilla.url, key, argilla.workspace)) as ines:
        told = ines.post("/me/responses/bulk", {"items": answers})["items"]
        assert [one["error"] for one in told] == [None] * 5
        made = pull(tmp_path, rows, "halves")
        assert made.rows["comment"].to_list() == [None, None]
        assert made.rows["annotator"].to_list() == ["ines", "ines"]
        assert made.dropped is not None
        reasons = sorted(made.dropped["reason"])
        assert reasons == ["no votes yet", "only discarded", "only discarded"]
        back = {"record_id": whole, "status": "draft", "values": said}
        ines.post("/me/responses/bulk", {"items": [back]})
    assert pull(tmp_path, rows, "halves").rows.height == 1
    kinds = [vote.status for vote in log.read().votes.values()]
    assert sorted(kinds) == ["discarded", "discarded", "draft", "submitted"]


def test_what_a_model_says_is_suggested_only_where_assist_is_asked_for(
    argilla: Connection, tmp_path: Path
) -> None:
    margins = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, float("nan"), 0.0, None]
    rows = rows_of(10).with_columns(margin=pl.Series(margins), second=pl.lit(-5.0))
    push(tmp_path, rows, "plain", margins=["margin", "second"])
    push(tmp_path, rows, "helped", margins=["margin", "second"], assist=True)
    with Api(argilla) as api:
        plain, helped = (records_there(api, name) for name in ("plain", "helped"))
    assert not any(one["suggestions"] for one in plain)
    records = VoteLog(tmp_path, "helped").read().records
    for one in helped:
        record = records[one["external_id"]]
        values = [suggestion["value"] for suggestion in one["suggestions"]]
        assert len(values) == (
            record.row not in {"row007", "row008", "row009"}
        )  # nothing speaks for either answer
        if values:
            margin = (record.margins or {})["margin"]
            is_first = (margin > 0) != record.is_swapped
            assert values[0].startswith("a_" if is_first else "b_")
            assert values[0].endswith("much") == (margin == 0.7)  # the upper quarter
        assert set(one["metadata"]) == {"place"}  # no score, model or truth goes to the server


def test_an_account_comes_whole_and_who_has_none_is_named(
    argilla: Connection, argilla_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed, passwords = Terminal(tmp_path), argilla_home / "argilla" / "passwords"
    whole = people.call

    def dies_half_way(connection: Connection, method: str, path: str, body: Any = None) -> Any:
        if path.startswith("/api/v1/workspaces/") and method == "POST":
            raise UnreachableError("annotate", "it does not answer", fix="run it again")
        return None if method == "DELETE" else whole(connection, method, path, body)

    monkeypatch.setattr(people, "call", dies_half_way)
    typed("annotate", "add-user", "kim", "--generate", code=5)
    monkeypatch.undo()
    told = typed("annotate", "add-user", "kim", "--generate").stdout
    assert "kim had an account; it is in the workspace databuild now, too." in told
    assert str(passwords / "kim.password") in told
    text = (passwords / "kim.password").read_text("utf-8")
    with httpx.Client(base_url=f"{argilla.url}/api/v1") as client:
        secret = {"username": "kim", "password": text.strip()}
        assert client.post("/token", data=secret).is_success
    again = typed("annotate", "add-user", "kim", "--generate", code=5).stderr
    assert "kim has an account" in again
    assert (passwords / "kim.password").read_text("utf-8") == text
    assert not list(passwords.glob("*.new"))

    rows_of(3).drop("row_id").write_ndjson(tmp_path / "pairs.jsonl")
    said = typed("annotate", "push", "named", "pairs.jsonl", "annotators=[kim,lou]")
    assert said.stderr == "lou has no account there: databuild annotate add-user lou\n"
    (line,) = (one for one in said.stdout.splitlines() if one.startswith("kim answers at"))
    assert line.endswith("&metadata=assigned_to.kim&sort=metadata.place.asc")


class Ended(BaseException):
    """Stands for the end of the process that pushes."""


@pytest.mark.parametrize("n_writes", [1, 7, 14])
def test_a_push_that_ends_while_the_data_set_is_made_goes_on_where_it_stopped(
    argilla: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_writes: int
) -> None:
    rows, dataset, whole, done = rows_of(3), f"half-{n_writes}", Api._ask, []

    def ask(api: Api, method: str, path: str, **content: Any) -> Any:
        if method != "GET":
            if len(done) == n_writes:
                raise Ended
            done.append(path)
        return whole(api, method, path, **content)

    monkeypatch.setattr(Api, "_ask", ask)
    with pytest.raises(Ended):
        push(tmp_path, rows, dataset)
    monkeypatch.undo()
    assert push(tmp_path, rows, dataset)["new"] == 3
    with Api(argilla) as api:
        found = api.dataset(dataset)
        assert found is not None
        assert found["status"] == "ready"
        asked = api.get(f"/datasets/{found['id']}/questions")["items"]
        assert [one["name"] for one in asked] == [q.name for q in load_task("preference").questions]
        assert len(records_there(api, dataset)) == 3


def test_a_server_that_is_killed_while_records_go_in_loses_and_doubles_none(
    argilla: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, before = rows_of(60), local.state()
    monkeypatch.setattr(desk, "BULK", 20)
    monkeypatch.setattr(argilla_api, "_PAUSES", ())
    whole, sent = Api.put, []

    def put(api: Api, path: str, content: Any = None) -> Any:
        if path.endswith("/records/bulk"):
            sent.append(path)
            if len(sent) == 2:  # 20 of 60 are in; the next 20 are on their way
                kill = (before.pids["server"], signal.SIGKILL)
                threading.Timer(0.02, os.kill, kill).start()
        return whole(api, path, content)

    monkeypatch.setattr(Api, "put", put)
    with pytest.raises(UnreachableError, match="run the same command again"):
        push(tmp_path, rows, "broken")
    assert len(sent) == 2
    monkeypatch.undo()
    end = time.monotonic() + 60
    while (now := local.state()).state != "running" or now.pids == before.pids:
        assert time.monotonic() < end
        time.sleep(0.1)
    again = push(tmp_path, rows, "broken")
    assert again["new"] + again["there"] == 60
    assert again["there"] >= 20
    with Api(argilla) as api:
        ids = [one["external_id"] for one in records_there(api, "broken")]
    records = VoteLog(tmp_path, "broken").read().records
    assert sorted(ids) == sorted(records)
    assert len(ids) == 60
    assert push(tmp_path, rows, "broken")["new"] == 0
