"""All formats: which one a record has, reading it as rows, and writing a row as a record.

Reading never raises: a record is rows, or faults that name what is wrong. Writing is checked by
reading what was written: a row that would not come back is refused, and what it would lose is
named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from databuild.schema.rows import COLUMNS, KINDS
from databuild.text.formats import preference, ratings, stepwise, supervised
from databuild.text.formats.fields import (
    ANSWERS,
    INPUTS,
    MODELS,
    PROMPTS,
    TALKS,
    THOUGHTS,
    TOOLS,
    Fields,
    Row,
    asked_row,
    turns_of,
)
from databuild.text.formats.native import is_native, read_native, write_native
from databuild.text.formats.values import FaultError, fault, is_sound, sound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AUTO = "auto"
NAMES = frozenset(
    {
        *(*PROMPTS, *ANSWERS, *TALKS, *INPUTS, *THOUGHTS, *TOOLS, *MODELS, *supervised.TEXTS),
        *(*supervised.SCORES, "system", "system_prompt", "history", "instances"),
        *(*preference.NAMES, *ratings.NAMES, "row_kind", *COLUMNS, "steps", "labels", "label"),
        *("annotator_id",),
    }
)
"""Every name that some format looks at; values under other names never matter."""

INERT = frozenset(
    {
        *(*supervised.TEXTS, "title", "url", "critique", "ratings", "rank", "annotator"),
        *("annotator_id", "margin", "strength", "edited", "chosen_score", "rejected_score"),
        *("chosen_messages", "rejected_messages", "model_a", "model_b", "text"),
    }
)
"""Names that say nothing beside a question and its answer."""


@dataclass(frozen=True)
class Format:
    """A shape of records: when a record has it, and how it is read."""

    name: str
    matches: Callable[[Fields], bool]
    read: Callable[[Fields], list[Row]]


@dataclass
class Reading:
    """What became of one record."""

    rows: list[Row] = field(default_factory=list)
    """Rows without null columns, each with its `row_kind`."""
    rests: list[dict[str, Any]] = field(default_factory=list)
    """For every row, the values of the record that it does not hold, by name."""
    faults: list[str] = field(default_factory=list)
    """`<fault>: <detail>`, of the record or of its parts."""
    format: str | None = None
    repaired: int = 0
    """Lone surrogates that became U+FFFD."""


# The first format that matches is the record's: the most telling shapes come first.
FORMATS: tuple[Format, ...] = (
    Format("databuild", is_native, read_native),
    Format("prm800k", stepwise.is_prm800k, stepwise.read_prm800k),
    Format("math_shepherd", stepwise.is_shepherd, stepwise.read_shepherd),
    Format("trl_steps", stepwise.is_stepwise, stepwise.read_stepwise),
    Format("steps", stepwise.is_list_of_steps, stepwise.read_list_of_steps),
    Format("hh", preference.is_hh, preference.read_hh),
    Format("trl_preference", preference.is_preference, preference.read_preference),
    Format("vote", preference.is_vote, preference.read_vote),
    Format("self_instruct", supervised.is_instances, supervised.read_instances),
    Format("ultrafeedback", ratings.is_ultrafeedback, ratings.read_answers),
    Format("answers", ratings.is_list_of_answers, ratings.read_answers),
    Format("kto", preference.is_feedback, preference.read_feedback),
    Format("trl", supervised.is_completion, supervised.read_supervised),
    Format("sharegpt", supervised.is_sharegpt, supervised.read_supervised),
    Format("openai", supervised.is_talk, supervised.read_supervised),
    Format("alpaca", supervised.is_alpaca, supervised.read_supervised),
    Format("pair", supervised.is_question, supervised.read_supervised),
    Format("hh", supervised.is_transcript_record, supervised.read_transcript_record),
    Format("document", supervised.is_text, supervised.read_document),
)
_ASKED = {
    "feedback": Format("kto", lambda _: True, preference.read_feedback),
    "document": Format("document", lambda _: True, supervised.read_document),
}
_BESIDE = {"databuild", "hh", "trl_preference", "vote", "answers", "ultrafeedback"}
_BESIDE |= {"document", "self_instruct", "prm800k", "math_shepherd", "trl_steps", "steps"}

WRITERS: Mapping[str, Mapping[str, Callable[[Row], dict[str, Any]]]] = {
    "databuild": dict.fromkeys(KINDS, write_native),
    "alpaca": {"sft": supervised.write_alpaca},
    "sharegpt": {"sft": supervised.write_sharegpt, "prompt": supervised.write_sharegpt},
    "openai": {"sft": supervised.write_openai, "prompt": supervised.write_openai},
    "trl": {
        "sft": supervised.write_completion,
        "prompt": supervised.write_prompt,
        "preference": preference.write_preference,
        "feedback": preference.write_feedback,
        "steps": stepwise.write_stepwise,
        "document": supervised.write_document,
    },
    "kto": {"feedback": preference.write_feedback},
    "hh": {"preference": preference.write_hh},
    "ultrafeedback": {"response": ratings.write_ultrafeedback},
    "answers": {"response": ratings.write_answers},
    "vote": {"vote": preference.write_vote},
}
"""The formats that are written, with the kinds that each can hold."""


def read_record(
    record: Mapping[str, Any], wanted: str = AUTO, columns: Mapping[str, str] | None = None
) -> Reading:
    r"""Read one record, whatever shape it has.

    Args:
        record: A JSON object.
        wanted: The kind of row that it shall become; `auto` takes the one that it reads as.
        columns: Names that this record gives to what formats know under another name:
            `{"prompt": "question"}`. With them, no other value of the record is looked at.

    Returns:
        The rows and the faults; at least one of either.

    Example:
        >>> read_record({"instruction": "Add.", "input": "2, 3", "output": "5"}).rows
        [{'row_kind': 'sft', 'prompt': 'Add.\n\n2, 3', 'response': '5'}]
        >>> read_record({"prompt": "Hi", "chosen": "Yo", "rejected": "Yo"}).faults
        ['identical chosen and rejected: Yo']
    """
    reading = Reading()
    try:
        sounded: Mapping[str, Any] = record
        if not is_sound(record):
            sounded, reading.repaired = sound(dict(record))
        fields = Fields(_renamed(sounded, columns) if columns else sounded)
        found = _format_of(fields, wanted)
        reading.format = found.name
        rows = found.read(fields)
        reading.faults += fields.faults
        if not rows and not reading.faults:
            raise fault("empty", "the record holds no row")
    except (FaultError, RecursionError) as error:
        told = str(error) if isinstance(error, FaultError) else "too deep: values nest too deep"
        reading.faults.append(told)
        return reading
    rest = fields.rest()
    if columns:
        named = set(columns.values())
        rest |= {k: v for k, v in sounded.items() if k not in named and v is not None}
    for row in rows:
        _keep(reading, row, rest, wanted)
    return reading


def _keep(reading: Reading, row: Row, rest: Mapping[str, Any], wanted: str) -> None:
    own = {**rest, **row.pop("_rest", {})}
    try:
        made = row if wanted == AUTO else converted(row, wanted)
    except FaultError as error:
        reading.faults.append(str(error))
        return
    if wanted == "prompt" and made in reading.rows:
        return  # the answers of a list have one prompt
    if row["row_kind"] == "response" and wanted == "sft":
        own |= {name: row[name] for name in row.keys() - made.keys()}
    reading.rows.append(made)
    reading.rests.append(own)


def _renamed(record: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    missing = [name for name in columns.values() if name not in record]
    if len(missing) == len(columns):
        raise fault("unknown shape", f"it has none of the columns {missing}")
    return {name: record.get(source) for name, source in columns.items() if source in record}


def _format_of(fields: Fields, wanted: str) -> Format:
    is_prompt = wanted == "prompt"
    if wanted in _ASKED and not is_native(fields):
        return _ASKED[wanted]
    for found in FORMATS:
        if is_prompt and found.name == "kto":
            continue
        if found.matches(fields):
            reads = found.name in _BESIDE or not is_prompt
            return found if reads else Format(found.name, found.matches, supervised.read_prompt)
    names = sorted(fields.values)[:8]
    known = f"no format is known by {names}" if names else "no known name has a value"
    raise fault("unknown shape", f"{known}; name what it has under `columns`")


def converted(row: Row, wanted: str) -> Row:
    """A row as another kind, where nothing has to be guessed.

    A question is taken from any row that has one; answers to learn and sampled ones are taken for
    each other; a vote becomes a pair.

    Raises:
        FaultError: "wrong kind", or the vote is a tie.

    Example:
        >>> converted({"row_kind": "sft", "prompt": "Hi", "response": "Hello."}, "prompt")
        {'row_kind': 'prompt', 'prompt': 'Hi'}
    """
    kind = row["row_kind"]
    if kind == wanted:
        return row
    if wanted == "prompt" and kind != "document":
        turns = turns_of(row)
        turns = turns[:-1] if turns[-1]["role"] == "assistant" else turns
        tools = {"tools": row["tools"]} if "tools" in row else {}
        return {"row_kind": "prompt", **asked_row(turns), **tools}
    if wanted == "preference" and kind == "vote":
        return preference.as_preference(row)
    if {kind, wanted} == {"sft", "response"}:
        names = KINDS[wanted].columns
        return {"row_kind": wanted, **{k: v for k, v in row.items() if k in names}}
    raise fault("wrong kind", f"the record reads as {kind}, wanted is {wanted}")


def write_record(row: Mapping[str, Any], kind: str, form: str) -> dict[str, Any]:
    """Write a row as a record of a format.

    Args:
        row: Its columns; null ones may be left out. Columns that no kind has are not looked at.
        kind: Its kind.
        form: One of `WRITERS`.

    Raises:
        FaultError: "cannot hold": the format has no place for the kind, or for what is named.

    Example:
        >>> write_record({"prompt": "Hi", "response": "Hello."}, "sft", "alpaca")
        {'instruction': 'Hi', 'input': '', 'output': 'Hello.'}
    """
    kinds = WRITERS[form]
    if kind not in kinds:
        raise fault("cannot hold", f"{form} has no place for {kind} rows, only {', '.join(kinds)}")
    own = {"row_kind": kind, **_tidy(row, kind)}
    made = kinds[kind](own)
    back = read_record(made, kind)
    if len(back.rows) == 1 and not back.faults and back.rows[0] == own:
        return made
    if back.faults:
        raise fault("cannot hold", f"{form} would not be read again: {back.faults[0]}")
    lost = [name for name in COLUMNS if back.rows[0].get(name) != own.get(name)]
    raise fault("cannot hold", f"{form} has no place for {', '.join(lost)} of this row")


def _tidy(row: Mapping[str, Any], kind: str) -> Row:
    """The columns of a kind that are not null, turns without their null keys."""
    found: Row = {k: row[k] for k in KINDS[kind].columns if row.get(k) is not None}
    for name in ("messages", "chosen_messages", "rejected_messages"):
        if name in found:
            found[name] = [without_nulls(turn) for turn in found[name]]
    return found


def without_nulls(value: Any) -> Any:
    """A value of a table without the keys that tables add as null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
