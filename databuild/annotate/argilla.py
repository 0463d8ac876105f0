"""People answer in Argilla's page. What it holds is a copy: the vote log is what counts.

Argilla 2.8 has no assignment of records to people: a record is answered when `min_submitted` people
did, whoever they are. So the plan is shown as metadata `assigned_to`, by which one filters, and
`place`, by which one sorts; `place()` gives the address with both. What annotators may not see
(models, scores, stratum, gold) is not sent at all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from databuild.annotate.argilla_api import Api
from databuild.annotate.connection import connect
from databuild.annotate.desk import Found, UnreachableError
from databuild.annotate.literal import literal
from databuild.annotate.log import Heard, utc
from databuild.annotate.table import label_of
from databuild.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.annotate.desk import Asked
    from databuild.annotate.records import Record
    from databuild.annotate.tasks import Field, Question, Task

BULK = 100
_LONGEST_S = 1800.0
"""A longer time between two votes was no work on one record."""
_GUIDELINE_CHARS = 10_000
_STATUSES = {"submitted", "discarded", "draft"}


class ArgillaDesk:
    """An Argilla server."""

    source = "argilla"

    def __init__(self, server: str | None = None) -> None:
        self._server = server

    def place(self, dataset: str) -> str:
        """The address of the data set's page, in the order that was planned."""
        with self._api() as api:
            found = api.dataset(dataset)
            return api.url if found is None else page_of(api.url, str(found["id"]))

    def places(self, dataset: str, people: Sequence[str]) -> Mapping[str, str]:
        """Each one's page, which shows only the records that are assigned to them."""
        with self._api() as api:
            found = api.dataset(dataset)
            if found is None:
                return {}
            return {name: page_of(api.url, str(found["id"]), name) for name in people}

    def strangers(self, people: Sequence[str]) -> list[str]:
        """Those who cannot answer: there is no account of that name in the workspace."""
        with self._api() as api:
            known = set(api.user_names().values())
        return [name for name in people if name not in known]

    def push(self, asked: Asked) -> Mapping[str, int]:
        """Make the data set, or what is missing of it, then log what is not there as it is now."""
        if len(asked.task.guideline) > _GUIDELINE_CHARS:
            what = f"the guidelines have {len(asked.task.guideline):,} characters"
            fix = f"shorten them to {_GUIDELINE_CHARS:,}, which is what Argilla takes"
            raise ServiceError("annotate", what, fix=fix)
        with self._api() as api:
            dataset = _made(api, asked)
            there = {
                one["external_id"]: one.get("metadata") or {}
                for one in api.records(dataset, responses=False)
            }
            questions = {
                one["name"]: one["id"] for one in api.get(f"/datasets/{dataset}/questions")["items"]
            }
            suggested = _suggestions(asked) if asked.assist else {}
            new = sum(one.record not in there for one in asked.records)
            fresh = [one for one in asked.records if there.get(one.record) != _metadata(one)]
            for start in range(0, len(fresh), BULK):
                some = fresh[start : start + BULK]
                items = [_item(one, questions, suggested.get(one.record)) for one in some]
                for item in items:
                    if item["external_id"] in there:
                        del item["fields"]  # what is shown stays, also where a hand changed it
                api.put(f"/datasets/{dataset}/records/bulk", {"items": items})
            old = len(asked.records) - len(fresh)
            return {"new": new, "changed": len(fresh) - new, "there": old}

    def pull(self, dataset: str, task: Task, records: Mapping[str, Record]) -> Found:
        """Read every response over REST; nulls, drafts, discards and extra votes are all lawful."""
        found = Found()
        with self._api() as api:
            there = api.dataset(dataset)
            if there is None or there["status"] != "ready":
                what = f"the data set {dataset!r} is not in the workspace {api.workspace!r}"
                raise UnreachableError("annotate", what, fix="run annotate.push again with --from")
            names = api.user_names()
            chats = {one.name for one in task.fields if one.kind == "chat"}
            for one in api.records(str(there["id"]), responses=True):
                record = records.get(one["external_id"] or "")
                for response in one.get("responses") or ():
                    fault = _fault(one, record, chats, response)
                    if fault:
                        found.pass_over(fault)
                    else:
                        found.votes.append(_heard(one["external_id"], response, names))
        found.votes = _timed(found.votes)
        return found

    def _api(self) -> Api:
        if self._server is not None:
            return Api(connect(self._server))
        try:
            return Api(connect())
        except ServiceError as error:  # the local server does not run: the log goes on alone
            raise UnreachableError(error.where, error.what, fix=error.fix) from error


def page_of(url: str, dataset: str, annotator: str | None = None) -> str:
    """The page on which records are answered, the first ones first; of one annotator's records.

    Example:
        >>> page_of("http://127.0.0.1:6900", "d1", "ann")
        'http://127.0.0.1:6900/dataset/d1/annotation-mode?page=1&status=pending&metadata=assigned_to.ann&sort=metadata.place.asc'
        >>> "&metadata=assigned_to.Ann%20%26%20Co&" in page_of("http://h", "d1", "Ann & Co")
        True
    """
    mine = f"&metadata=assigned_to.{quote(annotator, safe='')}" if annotator else ""
    query = f"page=1&status=pending{mine}&sort=metadata.place.asc"
    return f"{url}/dataset/{dataset}/annotation-mode?{query}"


def _made(api: Api, asked: Asked) -> str:
    """The id of the data set, published: made, completed after an interruption, or as it is."""
    workspace = api.workspace_id()
    if workspace is None:
        api.post("/workspaces", {"name": api.workspace})
        workspace = api.workspace_id()
    wanted = max((one.wanted for one in asked.records), default=1)
    settings = {
        "guidelines": asked.task.guideline,
        "distribution": {"strategy": "overlap", "min_submitted": wanted},
    }
    found = api.dataset(asked.dataset)
    if found is None:
        named = {"name": asked.dataset, "workspace_id": workspace, "allow_extra_metadata": False}
        found = api.post("/datasets", named | settings) or api.dataset(asked.dataset)
    assert found is not None
    dataset = str(found["id"])
    if found["status"] == "ready":
        _check_same(api, dataset, asked)
        _update(api, found, settings)
        return dataset
    _complete(api, dataset, asked.task)
    api.put(f"/datasets/{dataset}/publish")
    return dataset


def _complete(api: Api, dataset: str, task: Task) -> None:
    """Make what is missing of a draft: a push may have been killed between any two of these."""
    parts = {
        "fields": [_field(one) for one in task.fields],
        "questions": [_question(one) for one in task.questions],
        "metadata-properties": [
            {"name": "place", "title": "place", "settings": {"type": "integer"}},
            {"name": "assigned_to", "title": "assigned_to", "settings": {"type": "terms"}},
        ],
    }
    for kind, wanted in parts.items():
        where = "/me" if kind == "metadata-properties" else ""
        have = {one["name"] for one in api.get(f"{where}/datasets/{dataset}/{kind}")["items"]}
        for one in wanted:
            if one["name"] not in have:
                api.post(f"/datasets/{dataset}/{kind}", one)


def _check_same(api: Api, dataset: str, asked: Asked) -> None:
    """Refuse a data set of that name whose fields or questions are others."""
    for kind, wanted in (
        ("fields", [_field(one) for one in asked.task.fields]),
        ("questions", [_question(one) for one in asked.task.questions]),
    ):
        have = {one["name"]: one for one in api.get(f"/datasets/{dataset}/{kind}")["items"]}
        for one in wanted:
            there = have.get(one["name"])
            if there is None or _shape(there) != _shape(one):
                what = f"the data set {asked.dataset!r} in Argilla has no such {kind[:-1]} as "
                what = f"{what}{one['name']!r} of the task {asked.task.name}"
                raise ServiceError("annotate", what, fix="choose another `dataset`")


def _shape(one: Mapping[str, Any]) -> tuple[str, list[Any]]:
    settings = one["settings"]
    return settings["type"], [option["value"] for option in settings.get("options") or ()]


def _update(api: Api, found: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    changed = {name: value for name, value in settings.items() if found.get(name) != value}
    if changed:
        api.patch(f"/datasets/{found['id']}", changed)


def _field(one: Field) -> dict[str, Any]:
    settings = {"type": one.kind, "use_markdown": True}
    return {"name": one.name, "title": one.title, "required": True, "settings": settings}


def _question(one: Question) -> dict[str, Any]:
    options: list[dict[str, Any]] = [
        {"value": value, "text": words} for value, words in one.options.items()
    ]
    settings: dict[str, Any]
    if one.kind == "text":
        settings = {"type": "text", "use_markdown": True}
    elif one.kind == "rating":
        settings = {"type": "rating", "options": [{"value": value} for value in one.values]}
    elif one.kind == "ranking":
        settings = {"type": "ranking", "options": options}
    else:
        settings = {"type": f"{one.kind}_selection", "options": options}
        if len(options) >= 3:
            settings["visible_options"] = len(options)
    return {"name": one.name, "title": one.title, "required": one.required, "settings": settings}


def fields_of(record: Record) -> dict[str, Any]:
    """What is sent as the record's fields: the texts that are displayed, the prompt as turns.

    All so that the page shows every character of them: see `literal`.
    """
    texts: dict[str, Any] = {name: literal(text) for name, text in record.displayed().items()}
    if "prompt" in texts:
        # Argilla refuses a turn without text.
        texts["prompt"] = [
            {"role": turn["role"], "content": literal(turn["content"]) or " "}
            for turn in record.turns()
        ]
    return texts


def _metadata(record: Record) -> dict[str, Any]:
    metadata: dict[str, Any] = {"place": record.place}
    if record.assigned:
        metadata["assigned_to"] = list(record.assigned)
    return metadata


def _item(record: Record, questions: Mapping[str, str], suggested: str | None) -> dict[str, Any]:
    item: dict[str, Any] = {
        "external_id": record.record,
        "fields": fields_of(record),
        "metadata": _metadata(record),
    }
    if suggested is not None:
        item["suggestions"] = [
            {"question_id": questions["preference"], "value": suggested, "type": "model"}
        ]
    return item


def _suggestions(asked: Asked) -> dict[str, str]:
    """The label that a record's margin stands for: its strength by quartiles of all."""
    margins = {
        one.record: float(margin)
        for one in asked.records
        if (margin := (one.margins or {}).get(asked.assist))
    }
    ordered = sorted(abs(value) for value in margins.values())
    made = {}
    for one in asked.records:
        if one.record in margins:
            below = sum(value < abs(margins[one.record]) for value in ordered)
            strength = 1 + min(3, 4 * below // len(ordered))
            sign = 1 if margins[one.record] > 0 else -1
            made[one.record] = label_of(sign * strength, one)
    return made


def _fault(
    one: Mapping[str, Any], record: Record | None, chats: set[str], response: Mapping[str, Any]
) -> str | None:
    """Why a response is no vote; None where it may be one."""
    if record is None:
        return "votes on records that were never put before people"
    if response.get("status") not in _STATUSES:
        return "responses of an unknown status"
    if not _is_as_pushed(one.get("fields") or {}, fields_of(record), chats):
        return "votes on records that were changed by hand in Argilla (put their texts back)"
    return None


def _is_as_pushed(there: Mapping[str, Any], pushed: Mapping[str, Any], chats: set[str]) -> bool:
    for name, value in pushed.items():
        found = there.get(name)
        if name in chats and isinstance(found, list):
            found = [{"role": turn.get("role"), "content": turn.get("content")} for turn in found]
        if found != value:
            return False
    return True


def _heard(record: str, response: Mapping[str, Any], names: Mapping[str, str]) -> Heard:
    values = response.get("values") or {}
    answers = {name: one.get("value") for name, one in values.items() if isinstance(one, dict)}
    user = str(response.get("user_id"))
    at = utc(datetime.fromisoformat(str(response["updated_at"]).replace("Z", "+00:00")))
    return Heard(
        record, names.get(user, f"user-{user}"), at, response["status"], answers,
        origin=str(response["id"]),
    )  # fmt: skip


def _timed(votes: Sequence[Heard]) -> list[Heard]:
    """Give each vote the seconds since the same person's vote before it, up to half an hour."""
    last: dict[str, datetime] = {}
    made = []
    for one in sorted(votes, key=lambda vote: (vote.at, vote.record)):
        at = datetime.fromisoformat(one.at.replace("Z", "+00:00")).astimezone(UTC)
        gap = (at - last[one.annotator]).total_seconds() if one.annotator in last else None
        last[one.annotator] = at
        made.append(replace(one, seconds=gap if gap is not None and gap <= _LONGEST_S else None))
    return made
