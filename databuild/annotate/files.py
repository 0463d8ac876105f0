"""People answer in files: JSON Lines or CSV, written for each, read from the folder `answers`.

`<dataset>/tasks.jsonl` and `tasks.csv` (with an assignment `tasks-<annotator>...`) hold a line per
record: its hash, its texts, and an empty field for every question. Whoever answers saves a copy
under `<dataset>/answers/`, as `<annotator>.csv` or `.jsonl`; a field `annotator` in a line wins
over the name of the file. In CSV several tags are joined with `;`, and a ranking is written
`response_2 > response_1 = response_3`.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from databuild.annotate.desk import Found
from databuild.annotate.log import Heard, utc
from databuild.engine.store import writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from databuild.annotate.desk import Asked
    from databuild.annotate.records import Record
    from databuild.annotate.tasks import Question, Task

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_OWN = ("annotator", "status", "voted_at", "seconds")
_TIES, _ORDER, _TAGS = "=", ">", ";"


class FileDesk:
    """Files in a folder."""

    source = "file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, dataset: str) -> str:
        """Where answers are put."""
        del dataset
        return f"{self._folder} (save answered copies of tasks*.csv or .jsonl in its answers/)"

    def places(self, dataset: str, people: Sequence[str]) -> Mapping[str, str]:
        """The table of each; the JSON Lines file of that name holds the same."""
        del dataset
        return {name: str(self._folder / f"tasks-{file_name(name)}.csv") for name in people}

    def push(self, asked: Asked) -> Mapping[str, int]:
        """Write a file for each annotator, or one for all, anew."""
        people = sorted({name for one in asked.records for name in one.assigned})
        with writing(self._folder):
            (self._folder / "answers").mkdir(parents=True, exist_ok=True)
            (self._folder / "guidelines.md").write_text(asked.task.guideline, encoding="utf-8")
            for name in people or [""]:
                mine = [one for one in asked.records if not name or name in one.assigned]
                stem = f"tasks-{file_name(name)}" if name else "tasks"
                write_lines(self._folder / stem, asked.task, mine, name)
        return {"new": len(asked.records), "there": 0}

    def pull(self, dataset: str, task: Task, records: Mapping[str, Record]) -> Found:
        """Read every answered file."""
        del dataset, records
        found = Found()
        for path in sorted((self._folder / "answers").glob("*")):
            if path.suffix in {".csv", ".jsonl"}:
                read_answers(path, task, found)
        return found


def file_name(annotator: str) -> str:
    """A name that may stand in a file name: other characters become `-`."""
    return "".join(c if c.isalnum() or c in "._-@" else "-" for c in annotator) or "annotator"


def write_lines(stem: Path, task: Task, records: Sequence[Record], annotator: str = "") -> None:
    """Write records with empty answers, as `<stem>.jsonl` and `<stem>.csv`."""
    questions = [question.name for question in task.questions]
    lines = [
        {
            "record": one.record,
            **one.displayed(),
            **dict.fromkeys(questions),
            "annotator": annotator,
        }
        for one in records
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    stem.with_name(f"{stem.name}.jsonl").write_bytes(text.encode("utf-8", "surrogatepass"))
    made = io.StringIO(newline="")
    names = ["record", *(one.name for one in task.fields), *questions, "annotator"]
    writer = csv.DictWriter(made, names)
    writer.writeheader()
    for line in lines:
        writer.writerow({name: _cell(line[name]) for name in names})
    # With a byte order mark spreadsheets read the file as UTF-8.
    text = made.getvalue().encode("utf-8", "replace").decode("utf-8")
    stem.with_name(f"{stem.name}.csv").write_text(text, encoding="utf-8-sig", newline="")


def _cell(value: Any) -> str:
    """A text that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def read_answers(path: Path, task: Task, found: Found) -> None:
    """Read one answered file; what cannot be read is counted, and never an error."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        found.pass_over("files that are not readable as UTF-8")
        return
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    lines = _csv(text) if path.suffix == ".csv" else _jsonl(text, found)
    for line in lines:
        answers = answers_of(line, task)
        record = str(line.get("record") or "").strip()
        status = str(line.get("status") or "").strip() or "submitted"
        if status not in {"submitted", "discarded", "draft"} or not record:
            found.pass_over("lines without a record, or with an unknown status")
        elif not answers and status == "submitted":
            continue  # not answered yet
        elif status == "submitted" and any(
            q.required and q.name not in answers for q in task.questions
        ):
            found.pass_over("drafts")
        else:
            found.votes.append(Heard(
                record, str(line.get("annotator") or "").strip() or path.stem,
                _when(line.get("voted_at"), modified), status, answers, _seconds(line),  # type: ignore[arg-type]
            ))  # fmt: skip


def _csv(text: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(1 << 27)
    yield from csv.DictReader(io.StringIO(text, newline=""), dialect=_dialect(text))


def _dialect(text: str) -> type[csv.Dialect]:
    """Comma, or the semicolon or tab that some spreadsheets write."""
    head = text.partition("\n")[0]

    class Found(csv.excel):
        delimiter = max(",;\t", key=head.count)

    return Found


def _jsonl(text: str, found: Found) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            read = json.loads(line)
        except ValueError:
            read = None
        if isinstance(read, dict):
            yield read
        else:
            found.pass_over("lines that are no JSON object")


def answers_of(line: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The answers of a line to the task's questions, read from text where they are text."""
    made = {
        question.name: _answer(line.get(question.name), question) for question in task.questions
    }
    return {name: value for name, value in made.items() if value not in (None, "", [])}


def _answer(value: Any, question: Question) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text:
        return None
    if question.kind == "rating":
        return _whole(text)
    if question.kind == "multi_label":
        return [one.strip() for one in text.split(_TAGS) if one.strip()]
    if question.kind == "ranking":
        return ranks_of(text)
    return text if question.kind == "label" else value


def _whole(text: str) -> int | str:
    """A whole number; spreadsheets write 4 as 4.0 too."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else text


def ranks_of(text: str) -> list[dict[str, Any]]:
    """Ranks from `response_2 > response_1 = response_3`: ties share a rank.

    Example:
        >>> ranks_of("b > a = c")
        [{'value': 'b', 'rank': 1}, {'value': 'a', 'rank': 2}, {'value': 'c', 'rank': 2}]
    """
    made = []
    rank = 1
    for group in text.split(_ORDER):
        names = [name.strip() for name in group.split(_TIES)]
        made += [{"value": name, "rank": rank} for name in names]
        rank += len(names)
    return made


def written_ranks(ranks: Iterable[Mapping[str, Any]]) -> str:
    """The inverse of `ranks_of`."""
    groups: dict[int, list[str]] = {}
    for one in ranks:
        groups.setdefault(one["rank"], []).append(one["value"])
    return f" {_ORDER} ".join(f" {_TIES} ".join(groups[rank]) for rank in sorted(groups))


def _when(value: Any, otherwise: datetime) -> str:
    try:
        return utc(datetime.fromisoformat(str(value).strip().replace("Z", "+00:00")))
    except ValueError:
        return utc(otherwise)


def _seconds(line: Mapping[str, Any]) -> float | None:
    try:
        seconds = float(line.get("seconds") or "")
    except (ValueError, TypeError):
        return None
    return seconds if 0 <= seconds < float("inf") else None
