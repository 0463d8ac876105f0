"""One contract for every annotation tool: what people say is what the table holds, exactly."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl
import pytest

from databuild.annotate.desk import desk_of
from databuild.annotate.fetching import fetch
from databuild.annotate.files import written_ranks
from databuild.annotate.log import VoteLog
from databuild.annotate.pull import PullConfig, read_votes
from databuild.annotate.push import PushConfig, put_before_people
from databuild.annotate.table import STRENGTHS, label_of
from databuild.annotate.tasks import PREFERENCES
from databuild.engine.batch import run_batch
from databuild.errors import WaitingError
from tests.annotate.label_studio_server import RealLabelStudio, program, results_of, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from databuild.annotate.desk import Tool

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REWRITE = '=1+1, "gut", 很好 🐢\nzweite; Zeile > mehr = weniger'
ISSUES = ["too_long", "unsafe"]


class People(Protocol):
    """Who answers through a tool, as its page would."""

    tool: Tool
    name: str
    """As the vote log calls the annotator `ann`."""

    def answer(self, log: VoteLog, answers: Mapping[str, dict[str, Any]], who: str) -> None:
        """Submit answers by record."""


class Jsonl:
    tool: Tool = "files"
    name = "ann"

    def answer(self, log: VoteLog, answers: Mapping[str, dict[str, Any]], who: str) -> None:
        lines = (log.folder / "tasks.jsonl").read_text("utf-8").splitlines()
        filled = [json.loads(line) for line in lines]
        for line in filled:
            line.update(answers.get(line["record"], {}), annotator=who)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in filled)
        (log.folder / "answers" / f"{who}.jsonl").write_text(text, "utf-8")


class Csv:
    tool: Tool = "files"
    name = "ann"

    def answer(self, log: VoteLog, answers: Mapping[str, dict[str, Any]], who: str) -> None:
        text = (log.folder / "tasks.csv").read_text("utf-8-sig")
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        made = io.StringIO(newline="")
        writer = csv.DictWriter(made, list(lines[0]), delimiter=";")
        writer.writeheader()
        for line in lines:
            given = {k: _as_cell(k, v) for k, v in answers.get(line["record"], {}).items()}
            writer.writerow({**line, **given, "annotator": who})
        (log.folder / "answers" / f"{who}.csv").write_bytes(made.getvalue().encode("utf-8-sig"))


def _as_cell(question: str, value: Any) -> str:
    if question == "ranking":
        return written_ranks(value)
    return ";".join(value) if isinstance(value, list) else str(value)


class LabelStudio:
    tool: Tool = "label_studio"
    name = "ann@example.org"

    def answer(self, log: VoteLog, answers: Mapping[str, dict[str, Any]], who: str) -> None:
        tasks = json.loads((log.folder / "label-studio-tasks.json").read_text("utf-8"))
        for task in tasks:
            given = answers.get(task["data"]["record"])
            if given is not None:
                task["annotations"] = [
                    {
                        "completed_by": {"email": f"{who}@example.org"},
                        "was_cancelled": False,
                        "updated_at": "2026-03-01T09:30:00.000000Z",
                        "lead_time": 12.5,
                        "result": [r for k, v in given.items() for r in results_of(k, v)],
                    }
                ]
        path = log.folder / "answers" / f"export-{who}.json"
        path.write_text(json.dumps(tasks, ensure_ascii=False), "utf-8")


class Argilla:
    tool: Tool = "argilla"
    name = "ann"

    def __init__(self) -> None:
        from databuild.annotate.argilla_api import Api
        from databuild.annotate.connection import Connection, connect

        self._own = connect()
        self._api, self._connection = Api, Connection

    def answer(self, log: VoteLog, answers: Mapping[str, dict[str, Any]], who: str) -> None:
        with self._api(self._own) as owner:
            dataset = owner.dataset(log.dataset)
            assert dataset is not None
            ids = {r["external_id"]: r["id"] for r in owner.records(dataset["id"], responses=False)}
            key = self._key_of(owner, who)
        me = self._connection(self._own.url, key, self._own.workspace)
        items = [
            {
                "record_id": ids[record],
                "status": "submitted",
                "values": {k: {"value": v} for k, v in given.items()},
            }
            for record, given in answers.items()
        ]
        with self._api(me) as api:
            done = api.post("/me/responses/bulk", {"items": items})
        assert not [one["error"] for one in done["items"] if one["error"]]

    def _key_of(self, owner: Any, who: str) -> str:
        found = next((u for u in owner.get("/users")["items"] if u["username"] == who), None)
        if found is None:
            person = {
                "username": who,
                "first_name": who,
                "role": "annotator",
                "password": os.urandom(12).hex(),
            }
            found = owner.post("/users", person)
            workspace = owner.workspace_id()
            owner.post(f"/workspaces/{workspace}/users", {"user_id": found["id"]})
        return str(found["api_key"])


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLabelStudio]:
    if program() is None:
        pytest.skip("no Label Studio (uv tool install label-studio, or DATABUILD_LABEL_STUDIO)")
    with running(tmp_path_factory.mktemp("label-studio")) as url:
        people = RealLabelStudio(url)
        yield people
        people.close()


LIVE = [pytest.param(one, marks=pytest.mark.live) for one in (Argilla, RealLabelStudio)]


@pytest.fixture(params=[Jsonl, Csv, LabelStudio, *LIVE], ids=lambda made: made.__name__)
def people(request: pytest.FixtureRequest) -> People:
    if request.param is RealLabelStudio:
        real: People = request.getfixturevalue("label_studio")
        return real
    if request.param is Argilla:
        request.getfixturevalue("argilla")
    made: People = request.param()
    return made


def rows_of(n: int = 9) -> pl.DataFrame:
    return pl.DataFrame({
        "row_id": [f"r{i}" for i in range(n)],
        "prompt": [f"Frage {i}: was ist 良い? 🐢" for i in range(n)],
        "response_a": [f"erste {i}\n\n- *Liste*" for i in range(n)],
        "response_b": [f"zweite {i}" for i in range(n)],
        "model_a": ["small"] * n,
        "model_b": ["large"] * n,
    })  # fmt: skip


def pushed(
    people: People, rows: pl.DataFrame, folder: Path, **options: Any
) -> tuple[VoteLog, dict[str, Any], dict[str, Any]]:
    """Push rows under a name of the test's own; return the log, the facts and the options."""
    common = {"dataset": f"t{os.urandom(6).hex()}", "tool": people.tool}
    common |= {k: v for k, v in options.items() if k == "task"}
    config = PushConfig.model_validate({**common, **options})
    journals = folder / "journals"
    out = folder / f"out-{os.urandom(4).hex()}"
    out.mkdir()
    facts = put_before_people(rows, config, out=out, journals=journals, files=(), seed=7)
    return VoteLog(journals, config.dataset), facts, common


def pulled(log: VoteLog, rows: pl.DataFrame, options: Mapping[str, Any], **more: Any) -> Any:
    config = PullConfig.model_validate({**options, **more})
    told = fetch(log, desk_of(config.tool, log))
    resources = {"journals": log.path.parents[1], "told": told.note}
    return run_batch(read_votes, config, [rows, None], resources)


def test_every_strength_edit_and_rating_comes_back_exactly(people: People, tmp_path: Path) -> None:
    rows = rows_of()
    log, facts, options = pushed(people, rows, tmp_path)
    assert (facts["records"], facts["new"]) == (9, 9)
    records = log.read().records
    assert {one.is_swapped for one in records.values()} == {True, False}
    with pytest.raises(WaitingError, match="0 of 9 records"):
        pulled(log, rows, options)

    grades = dict(zip(records, [4, 3, 2, 1, -1, -2, -3, -4, 1], strict=True))
    answers: dict[str, dict[str, Any]] = {
        record: {"preference": label_of(grade, records[record]), "accuracy": 1 + abs(grade)}
        for record, grade in grades.items()
    }
    first = next(iter(answers))
    answers[first] |= {"edited": REWRITE, "relevance": 1, "safety": 5, "issues": ISSUES}
    answers[first] |= {"comment": "schön"}
    people.answer(log, answers, "ann")
    batch = pulled(log, rows, options)
    got = {row["record"]: row for row in batch.rows.to_dicts()}
    by_id = {row["row_id"]: row for row in rows.to_dicts()}
    assert {record: row["grade"] for record, row in got.items()} == grades
    for record, row in got.items():
        (parent,) = row["parent_ids"]
        assert (row["response_a"], row["response_b"], row["prompt"]) == tuple(
            by_id[parent][name] for name in ("response_a", "response_b", "prompt")
        )
        assert row["shown_first"] == ("b" if records[record].is_swapped else "a")
        assert (row["model_a"], row["annotator"]) == ("small", people.name)
        assert row["accuracy"] == 1 + abs(grades[record])
    one = got[first]
    assert (one["edited"], one["comment"], one["issues"]) == (REWRITE, "schön", ISSUES)
    assert (one["relevance"], one["safety"]) == (1, 5)
    assert {log_vote.answers["preference"] for log_vote in log.read().submitted()} <= {*PREFERENCES}
    assert set(map(abs, grades.values())) == set(STRENGTHS.values())


def test_twice_pulled_adds_nothing_and_a_change_of_mind_is_kept_beside(
    people: People, tmp_path: Path
) -> None:
    rows = rows_of(2)
    log, _, options = pushed(people, rows, tmp_path)
    records = log.read().records
    people.answer(log, {r: {"preference": "a_much"} for r in records}, "ann")
    before = pulled(log, rows, options).rows
    head = log.head()
    assert pulled(log, rows, options).rows.equals(before)
    assert log.head() == head
    changed = next(iter(records))
    people.answer(log, {r: {"preference": "a_much"} for r in records} | {
        changed: {"preference": "b_slightly"}
    }, "ann")  # fmt: skip
    after = {row["record"]: row["grade"] for row in pulled(log, rows, options).rows.to_dicts()}
    assert abs(after[changed]) == 2
    lines = [json.loads(line) for line in log.path.read_text("utf-8").splitlines()]
    votes = [line for line in lines if line["kind"] == "vote" and line["record"] == changed]
    assert len(votes) == 2
    assert votes[0]["replaces"] is None
    assert votes[1]["replaces"] is not None


def test_the_log_alone_makes_the_table_and_a_second_person_counts(
    people: People, tmp_path: Path
) -> None:
    rows = rows_of(3)
    log, _, options = pushed(people, rows, tmp_path, votes_per_record=2)
    records = log.read().records
    for who in ("ann", "bob", "cai"):  # one more than asked
        people.answer(log, {r: {"preference": "b_better"} for r in records}, who)
    whole = pulled(log, rows, options).rows
    assert whole.height == 9
    config = PullConfig.model_validate(options)
    journals = {"journals": log.path.parents[1], "told": ""}
    assert run_batch(read_votes, config, [rows, None], journals).rows.equals(whole)


@pytest.mark.parametrize(
    ("task", "given", "expected"),
    [
        ("rating", {"rating": 4}, {"rating": 4}),
        ("thumbs", {"thumb": "down"}, {"label": False}),
        (
            "verification",
            {"verdict": "partly", "edited": "Um 10."},
            {"verdict": "partly", "edited": "Um 10."},
        ),
    ],
)
def test_every_other_task(
    people: People, tmp_path: Path, task: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    rows = rows_of(2).with_columns(
        response="response_a", question="prompt", answer="response_a", passage="response_b"
    )
    log, _, options = pushed(people, rows, tmp_path, task=task)
    people.answer(log, dict.fromkeys(log.read().records, given), "ann")
    got = pulled(log, rows, options).rows.to_dicts()
    assert [{name: row[name] for name in expected} for row in got] == [expected] * 2


def test_a_ranking_comes_back_in_the_rows_own_order(people: People, tmp_path: Path) -> None:
    rows = rows_of(4).with_columns(
        responses=pl.concat_list("response_a", "response_b", pl.lit("dritte"))
    )
    log, _, options = pushed(people, rows, tmp_path, task="ranking", k=3)
    records = log.read().records
    answers = {}
    for record, one in records.items():  # the row's own first answer is best, the others tie
        ranks = [1 if own == 0 else 2 for own in one.shown]
        values = [{"value": f"response_{i}", "rank": rank} for i, rank in enumerate(ranks, 1)]
        answers[record] = {"ranking": values}
    people.answer(log, answers, "ann")
    got = pulled(log, rows, options).rows
    assert got["ranks"].to_list() == [[1, 2, 2]] * 4
    assert {one.shown for one in records.values()} != {(0, 1, 2)}


@pytest.mark.live
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
def test_what_is_clicked_and_typed_in_label_studios_page_is_what_is_heard(
    label_studio: RealLabelStudio, tmp_path: Path
) -> None:
    rows = rows_of(2)
    log, _, options = pushed(label_studio, rows, tmp_path)
    with label_studio.page(log, str(CHROMIUM)) as page:
        page.keyboard.press("8")
        page.get_by_label("B is much better").and_(page.locator(":checked")).wait_for()
        page.locator("textarea").first.fill(REWRITE)  # and its button `Add` is forgotten
        page.get_by_text("Too long").first.click()
        with page.expect_response(lambda one: one.request.method == "POST" and one.ok):
            page.get_by_role("button", name="Submit").first.click()
        page.locator(":checked").first.wait_for(state="detached")
        with page.expect_response(lambda one: one.request.method == "POST" and one.ok):
            page.get_by_role("button", name="Skip").first.click()
    label_studio.answer(log, {}, "ann")
    (row,) = pulled(log, rows, options, share=0).rows.to_dicts()
    assert abs(row["grade"]) == 4
    assert row["shown_first"] != ("a" if row["grade"] > 0 else "b")
    assert (row["edited"], row["issues"]) == (REWRITE, ["too_long"])
    heard = list(log.read().votes.values())
    assert sorted(vote.status for vote in heard) == ["discarded", "submitted"]
    assert all(vote.seconds is not None for vote in heard)
