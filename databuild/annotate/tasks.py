"""What annotators are asked: fields and questions of a task, as files under `annotation/`.

A task's settings are `annotation/tasks/<task>.yaml`, its guidelines
`annotation/guidelines/<task>.<language>.md`. A recipe may bring its own of either (`files`):
titles, issue tags and guidelines are the user's, the names of fields and required questions are
not, since the vote log and the tables are made of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from databuild.errors import RecipeError, nearest
from databuild.schema.identity import digest_text
from databuild.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TaskName = Literal["preference", "rating", "thumbs", "ranking", "verification"]
TASKS: tuple[TaskName, ...] = ("preference", "rating", "thumbs", "ranking", "verification")
Language = Literal["en", "zh"]
PREFERENCES = (
    *("a_much", "a_better", "a_slightly", "a_negligibly"),
    *("b_negligibly", "b_slightly", "b_better", "b_much"),
)
"""The eight labels of a preference, in the order of the keys 1 to 8."""
_KINDS = {"label", "multi_label", "rating", "ranking", "text"}


@dataclass(frozen=True)
class Field:
    """A text that annotators see."""

    name: str
    kind: Literal["text", "chat"]
    title: str
    repeated: bool = False


@dataclass(frozen=True)
class Question:
    """What annotators are asked about a record."""

    name: str
    kind: Literal["label", "multi_label", "rating", "ranking", "text"]
    title: str
    required: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    """Of labels: the value that is stored, with the words that are shown."""
    values: tuple[int, ...] = ()
    """Of ratings."""

    def fault(self, value: Any) -> str | None:
        """Say what makes a value no answer to this question; None where it is one."""
        if self.kind == "text":
            is_right = isinstance(value, str)
        elif self.kind == "label":
            is_right = value in self.options
        elif self.kind == "rating":
            is_right = type(value) is int and value in self.values
        else:
            is_right = isinstance(value, list) and self._are_known(value)
        return None if is_right else f"{self.name} has a value that is no answer to it"

    def _are_known(self, value: list[Any]) -> bool:
        if self.kind == "multi_label":
            return all(one in self.options for one in value)
        found = [one.get("value") for one in value if isinstance(one, dict)]
        ranks = [one.get("rank") for one in value if isinstance(one, dict)]
        return sorted(map(str, found)) == sorted(self.options) and all(
            type(rank) is int and rank >= 1 for rank in ranks
        )


@dataclass(frozen=True)
class Task:
    """One kind of annotation, in the words of one language."""

    name: TaskName
    language: str
    fields: tuple[Field, ...]
    questions: tuple[Question, ...]
    guideline: str
    """Markdown."""

    @property
    def version(self) -> str:
        """The guideline's version: a content hash, 12 hexadecimal digits."""
        return digest_text(self.guideline)[:12]

    @property
    def settings(self) -> dict[str, Any]:
        """Fields and questions as JSON has them, for `task_from`."""
        parts = {
            "fields": [asdict(one) for one in self.fields],
            "questions": [asdict(one) for one in self.questions],
        }
        written: dict[str, Any] = json.loads(json.dumps(parts))  # tuples become lists
        return written

    def faults(self, answers: Mapping[str, Any]) -> str | None:
        """Say why answers by question are no vote; None where they are one.

        Questions that the task does not know are looked at by nobody and are no fault.
        """
        for question in self.questions:
            value = answers.get(question.name)
            if value is None and question.required:
                return f"{question.name} is not answered"
            if value is not None and (fault := question.fault(value)):
                return fault
        return None

    def known(self, answers: Mapping[str, Any] | None) -> dict[str, Any]:
        """The answers to the task's own questions; blank texts and empty lists are none."""
        given = answers or {}
        names = [question.name for question in self.questions]
        return {name: given[name] for name in names if not _is_blank(given.get(name))}

    def with_answers(self, n: int) -> Task:
        """The task with a repeated field written `n` times, as a ranking of n answers needs it."""
        fields: list[Field] = []
        for one in self.fields:
            if not one.repeated:
                fields.append(one)
                continue
            fields += [
                Field(f"{one.name}_{i}", one.kind, f"{one.title} {i}") for i in range(1, n + 1)
            ]
        repeated = {one.name: one.title for one in fields if one not in self.fields}
        questions = tuple(
            replace(q, options=repeated) if q.kind == "ranking" else q for q in self.questions
        )
        return replace(self, fields=tuple(fields), questions=questions)


def _is_blank(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def task_files(name: str, language: str) -> list[Path]:
    """The shipped files of a task: settings, guidelines."""
    return [
        shipped(f"annotation/tasks/{name}.yaml"),
        shipped(f"annotation/guidelines/{name}.{language}.md"),
    ]


def load_task(name: str, language: str = "en", own: Sequence[Path] = ()) -> Task:
    """Read a task's settings and guidelines.

    Args:
        name: One of `TASKS`.
        language: Of titles and guidelines: `en` or `zh`.
        own: A user's `.yaml` and `.md`, each in the place of the shipped one.

    Raises:
        RecipeError: A file is no such thing, or lacks what the tables are made of.

    Example:
        >>> [question.name for question in load_task("thumbs").questions]
        ['thumb', 'comment']
    """
    settings, guideline = task_files(name, language)
    for path in own:
        if path.suffix in {".yaml", ".yml"}:
            settings = path
        elif path.suffix == ".md":
            guideline = path
        else:
            what = f"settings are .yaml and guidelines .md, not {path.suffix!r}"
            raise RecipeError(str(path), what, fix="correct `files`")
    return read_task(name, language, settings, guideline.read_text(encoding="utf-8"))


def read_task(name: str, language: str, settings: Path, guideline: str) -> Task:
    """Read settings from a file; see `load_task`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe").load(settings)
        fields = tuple(_field(one, language) for one in content["fields"])
        questions = tuple(_question(one, language) for one in content["questions"])
    except (YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"it is no settings file of a task: {' '.join(str(error).split())[:160]}"
        fix = "write it like annotation/tasks/preference.yaml"
        raise RecipeError(str(settings), what, fix=fix) from error
    made = Task(_named(name), language, fields, questions, guideline)
    if settings != (standard := shipped(f"annotation/tasks/{name}.yaml")):
        _check_own(made, read_task(name, language, standard, guideline), settings)
    return made


def _named(name: str) -> TaskName:
    for known in TASKS:
        if name == known:
            return known
    what = f"there is no task {name!r}; {nearest(name, TASKS)}"
    raise RecipeError("annotate", what, fix="correct `task`")


def _field(one: Mapping[str, Any], language: str) -> Field:
    if one["kind"] not in {"text", "chat"}:
        msg = f"a field is text or chat, not {one['kind']!r}"
        raise ValueError(msg)
    return Field(
        one["name"], one["kind"], _words(one["title"], language), bool(one.get("repeated"))
    )


def _question(one: Mapping[str, Any], language: str) -> Question:
    if one["kind"] not in _KINDS:
        msg = f"a question is one of {sorted(_KINDS)}, not {one['kind']!r}"
        raise ValueError(msg)
    options = {value: _words(words, language) for value, words in one.get("options", {}).items()}
    return Question(
        one["name"], one["kind"], _words(one["title"], language), bool(one.get("required")),
        options, tuple(one.get("values", ())),
    )  # fmt: skip


def _words(title: str | Mapping[str, str], language: str) -> str:
    if isinstance(title, str):
        return title
    return title[language] if language in title else next(iter(title.values()))


def _check_own(made: Task, standard: Task, path: Path) -> None:
    """Refuse settings of a user's own that the tables could not be made from."""
    have = {question.name: question for question in made.questions}
    for question in standard.questions:
        own = have.get(question.name)
        if own is None and not question.required:
            continue
        same = own is not None and (own.kind, own.values) == (question.kind, question.values)
        if same and question.kind == "label":
            same = own is not None and list(own.options) == list(question.options)
        if not same:
            what = f"the question {question.name!r} must stay as it is in the shipped settings"
            raise RecipeError(str(path), what, fix="change titles, issue tags and guidelines only")
    if [one.name for one in made.fields] != [one.name for one in standard.fields]:
        what = "the fields must have the names, and the order, of the shipped settings"
        raise RecipeError(str(path), what, fix="change titles, issue tags and guidelines only")


def task_from(name: str, language: str, settings: Mapping[str, Any], guideline: str) -> Task:
    """The task that `Task.settings` was taken from.

    Example:
        >>> task = load_task("preference")
        >>> task_from("preference", "en", task.settings, task.guideline) == task
        True
    """
    fields = tuple(Field(**one) for one in settings["fields"])
    questions = tuple(
        Question(**{**one, "values": tuple(one["values"])}) for one in settings["questions"]
    )
    return Task(_named(name), language, fields, questions, guideline)


def shown_task(task: Task, n_answers: int) -> Task:
    """The task as it is shown for records of `n_answers` answers."""
    return task.with_answers(n_answers) if task.name == "ranking" else task
