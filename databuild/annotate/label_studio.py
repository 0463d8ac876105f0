"""People answer in Label Studio: its JSON is written for import, and its JSON export is read.

`<dataset>/label-studio-config.xml` is the project's labelling interface (Settings, Labeling
Interface, Code), `label-studio-tasks.json` what is imported into it; the export (format JSON) is
saved under `<dataset>/answers/`. A choice's `alias` is what its export holds, so the words that are
shown may be in any language. A ranking is asked as the place of each answer, so that ties are
possible.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from databuild.annotate.desk import Found
from databuild.annotate.log import Heard, utc
from databuild.engine.store import writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from databuild.annotate.desk import Asked
    from databuild.annotate.records import Record
    from databuild.annotate.tasks import Question, Task

CONFIG, TASKS = "label-studio-config.xml", "label-studio-tasks.json"


class LabelStudioDesk:
    """Label Studio's import and export files in a folder."""

    source = "label_studio"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, dataset: str) -> str:
        """Where files come from and go."""
        del dataset
        return f"Label Studio (import {self._folder / TASKS}, export JSON to its answers/)"

    def places(self, dataset: str, people: Sequence[str]) -> Mapping[str, str]:
        """One place for all: there, a filter on `assigned_to` shows what is one's own."""
        return dict.fromkeys(people, self.place(dataset))

    def push(self, asked: Asked) -> Mapping[str, int]:
        """Write the interface and the tasks anew."""
        tasks = [
            {"data": {"record": one.record, "assigned_to": list(one.assigned), **one.displayed()}}
            for one in asked.records
        ]
        with writing(self._folder):
            (self._folder / "answers").mkdir(parents=True, exist_ok=True)
            (self._folder / "guidelines.md").write_text(asked.task.guideline, encoding="utf-8")
            (self._folder / CONFIG).write_text(interface(asked.task), encoding="utf-8")
            text = json.dumps(tasks, ensure_ascii=False, indent=1)
            (self._folder / TASKS).write_bytes(text.encode("utf-8", "surrogatepass"))
        return {"new": len(asked.records), "there": 0}

    def pull(self, dataset: str, task: Task, records: Mapping[str, Record]) -> Found:
        """Read every export."""
        del dataset, records
        found = Found()
        for path in sorted((self._folder / "answers").glob("*.json")):
            read_export(path, task, found)
        return found


def interface(task: Task) -> str:
    """The labelling interface of a task, as XML.

    Example:
        >>> from databuild.annotate.tasks import load_task
        >>> text = interface(load_task("thumbs"))
        >>> '<Choice value="👍 Yes" alias="up" hotkey="1" />' in text
        True
    """
    view = ET.Element("View")
    for field in task.fields:
        ET.SubElement(view, "Header", value=field.title)
        ET.SubElement(view, "Text", name=field.name, value=f"${field.name}")
    first = task.fields[0].name
    hotkeys = iter(range(1, 10))
    for question in task.questions:
        ET.SubElement(view, "Header", value=question.title)
        for element in _controls(question, first):
            view.append(element)
            for choice in element if question.kind == "label" else ():
                if (key := next(hotkeys, None)) is not None:
                    choice.set("hotkey", str(key))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _controls(question: Question, to: str) -> Iterator[ET.Element]:
    common = {"toName": to, "required": "true" if question.required else "false"}
    if question.kind == "text":
        yield ET.Element(
            "TextArea", {"name": question.name, "rows": "4", "maxSubmissions": "1"} | common
        )
    elif question.kind == "rating":
        most = str(max(question.values))
        yield ET.Element("Rating", {"name": question.name, "maxRating": most} | common)
    elif question.kind == "ranking":
        for value, words in question.options.items():
            made = ET.Element("Choices", {"name": f"{question.name}_{value}"} | common)
            made.set("choice", "single")
            yield ET.Element("Header", value=words)
            for place in range(1, len(question.options) + 1):
                ET.SubElement(made, "Choice", value=str(place))
            yield made
    else:
        choice = "single" if question.kind == "label" else "multiple"
        made = ET.Element("Choices", {"name": question.name, "choice": choice} | common)
        for value, words in question.options.items():
            ET.SubElement(made, "Choice", value=words, alias=value)
        yield made


def read_export(path: Path, task: Task, found: Found) -> None:
    """Read one JSON export; what is no annotation of ours is counted, and never an error."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, list):
        found.pass_over("files that are no JSON export of Label Studio")
        return
    modified = utc(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    for one in content:
        data = one.get("data") if isinstance(one, dict) else None
        record = data.get("record") if isinstance(data, dict) else None
        if not isinstance(record, str):
            found.pass_over("tasks without a record")
            continue
        if one.get("drafts"):
            found.pass_over("drafts")
        for annotation in one.get("annotations") or ():
            heard = _heard(record, annotation, task, modified)
            if heard is None:
                found.pass_over("annotations that cannot be read")
            else:
                found.votes.append(heard)


def _heard(record: str, annotation: Any, task: Task, modified: str) -> Heard | None:
    if not isinstance(annotation, dict):
        return None
    try:
        answers = answers_of(annotation.get("result") or [], task)
        lead = annotation.get("lead_time")
        return Heard(
            record, _who(annotation.get("completed_by")),
            _when(annotation, modified),
            "discarded" if annotation.get("was_cancelled") else "submitted",
            answers, None if lead is None else float(lead),
            str(annotation.get("unique_id") or annotation.get("id") or ""),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _when(annotation: Mapping[str, Any], modified: str) -> str:
    told = annotation.get("updated_at") or annotation.get("created_at")
    return utc(datetime.fromisoformat(str(told).replace("Z", "+00:00"))) if told else modified


def _who(completed_by: Any) -> str:
    """An export names a person by number, or by a record with the address."""
    if isinstance(completed_by, dict):
        return str(completed_by.get("email") or completed_by.get("username") or completed_by["id"])
    if completed_by is None:
        msg = "nobody completed it"
        raise ValueError(msg)
    return f"user-{completed_by}"


def answers_of(results: list[dict[str, Any]], task: Task) -> dict[str, Any]:
    """The answers of an annotation's results to the task's questions."""
    values = {one["from_name"]: one["value"] for one in results if "from_name" in one}
    made: dict[str, Any] = {}
    for question in task.questions:
        if question.kind == "ranking":
            ranks = [
                {"value": name, "rank": int(values[f"{question.name}_{name}"]["choices"][0])}
                for name in question.options
                if f"{question.name}_{name}" in values
            ]
            if ranks:
                made[question.name] = ranks
        elif question.name in values:
            made[question.name] = _answer(values[question.name], question)
    return made


def _answer(value: Mapping[str, Any], question: Question) -> Any:
    if question.kind == "text":
        text = value["text"]
        return text if isinstance(text, str) else "\n".join(text)
    if question.kind == "rating":
        return value["rating"]
    return value["choices"] if question.kind == "multi_label" else value["choices"][0]
