"""Two answers and which is better; one answer and whether it is wanted.

- TRL: `prompt`, `chosen`, `rejected` as texts or lists of turns; without a prompt, it is what both
  answers begin with. Any name of a prompt may stand for `prompt`.
- HH: `chosen` and `rejected` are transcripts that differ in the last answer.
- KTO: an answer and a `label` (LLaMA-Factory: `kto_tag`).
- Votes: two answers (`response_a`, `response_b` and the like) and which of them won.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.schema.rows import STRENGTHS
from databuild.text.formats.fields import (
    ANSWERS,
    PROMPTS,
    TALKS,
    Fields,
    Row,
    answer_turns,
    asked_row,
    spoken,
    take_answer,
    take_context,
    turns_of,
    with_context,
)
from databuild.text.formats.supervised import (
    is_transcript,
    read_supervised,
    read_transcript,
    write_completion,
    write_transcript,
)
from databuild.text.formats.turns import (
    as_openai,
    check_order,
    common_turns,
    is_plain,
    looks_like_turns,
)
from databuild.text.formats.values import fault, number_of, opened, short, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databuild.text.formats.turns import Turn

_LABELS = {
    **dict.fromkeys(("true", "1", "good", "desirable", "thumbs_up", "up", "yes", "👍"), True),
    **dict.fromkeys(("false", "0", "bad", "undesirable", "thumbs_down", "down", "no", "👎"), False),
}
_LABEL_NAMES = ("label", "kto_tag", "is_correct")
_STEMS = ("response", "answer", "output", "completion", "conversation", "generation")
_SIDES = [
    (f"{stem}_{a}", f"{stem}_{b}")
    for stem in _STEMS
    for a, b in (("a", "b"), ("0", "1"), ("1", "2"))
]
_SIDE_NAMES = frozenset(name for side in _SIDES for name in side)
_VERDICTS = ("vote", "winner", "label", "preference", "better_response_id", "choice", "better")
NAMES = frozenset(
    {
        *(*_LABEL_NAMES, *_VERDICTS, *_SIDE_NAMES),
        *("winner_model_a", "winner_model_b", "winner_tie"),
        *(f"{name}_{word}" for name in ("chosen", "rejected") for word in ("score", "rating")),
        *("score_chosen", "score_rejected", "chosen-rating", "rejected-rating"),
    }
)
"""Names that are looked at here, besides those of `fields` and of columns."""
_WORDS = {
    "a": "a model_a left response_a first",
    "b": "b model_b right response_b second",
    "tie": "tie draw equal same",
    "both_bad": "both_bad bothbad neither",
}
_VOTE_OF = {word: vote for vote, words in _WORDS.items() for word in words.split()}
_VOTE_OF |= {"tie (bothbad)": "both_bad", "both bad": "both_bad"}
_BY_NUMBER: dict[str, dict[int, str]] = {
    "0": {0: "a", 1: "b"},
    "1": {0: "tie", 1: "a", 2: "b"},
    "a": {},
}


def is_preference(fields: Fields) -> bool:
    """Say whether the record has an answer that was chosen or rejected."""
    return fields.has("chosen", "rejected")


def is_hh(fields: Fields) -> bool:
    """Say whether the answers are transcripts."""
    return is_transcript(fields.values.get("chosen")) and is_transcript(
        fields.values.get("rejected")
    )


def read_hh(fields: Fields) -> list[Row]:
    """Read two transcripts that part at the last answer."""
    left, right = (read_transcript(fields.take(name), name) for name in ("chosen", "rejected"))
    if left[:-1] != right[:-1]:
        n = common_turns(left, right)
        raise fault("different prompts", f"chosen and rejected part at turn {n}, before the last")
    return [_pair(fields, left[:-1], left[-1:], right[-1:])]


def read_preference(fields: Fields) -> list[Row]:
    """Read a prompt with two answers."""
    for name in ("chosen", "rejected"):
        if not fields.has(name):
            raise fault("no answer", f"{name} has no value")
    values = [fields.take(name) for name in ("chosen", "rejected")]
    if fields.has(*PROMPTS, *TALKS):
        context = take_context(fields)
        left, right = (
            _after(context, answer_turns(fields, value, name), name)
            for value, name in zip(values, ("chosen", "rejected"), strict=True)
        )
    elif all(looks_like_turns(opened(value)) for value in values):
        context, left, right = _part(
            *(fields.turns(v, n) for v, n in zip(values, ("chosen", "rejected"), strict=True))
        )
    else:
        context, left, right = _part_texts(*values)
    return [_pair(fields, context, left, right)]


def _after(context: Sequence[Turn], answer: list[Turn], name: str) -> list[Turn]:
    """The answer without the prompt, where it repeats it."""
    if answer[0]["role"] not in {"system", "user"}:
        return answer
    bare = [turn for turn in context if turn["role"] != "system"]
    for prompt in (list(context), bare):
        if answer[: len(prompt)] == prompt and len(answer) > len(prompt):
            return answer[len(prompt) :]
    raise fault("different prompts", f"{name} begins with another prompt than the row's")


def _part(left: list[Turn], right: list[Turn]) -> tuple[list[Turn], list[Turn], list[Turn]]:
    n = common_turns(left, right)
    if n == len(left) == len(right):
        raise fault("identical chosen and rejected", "all their turns are equal")
    while n and left[n - 1]["role"] == "assistant":
        n -= 1
    if n == 0 or any(len(t) == n or t[n]["role"] != "assistant" for t in (left, right)):
        raise fault("different prompts", f"chosen and rejected part at turn {n}, not at an answer")
    return left[:n], left[n:], right[n:]


def _part_texts(left: Any, right: Any) -> tuple[list[Turn], list[Turn], list[Turn]]:
    """Part texts that begin with the prompt, as TRL's `extract_prompt` does."""
    left, right = text_of(left, "chosen"), text_of(right, "rejected")
    if left == right:
        raise fault("identical chosen and rejected", short(left))
    pairs = enumerate(zip(left, right, strict=False))
    n = next((n for n, (a, b) in pairs if a != b), min(len(left), len(right)))
    n -= left[n - 1 : n] == " "
    prompt = text_of(left[:n], "what chosen and rejected both begin with (the prompt)")
    sides = [[{"role": "assistant", "content": text[n:]}] for text in (left, right)]
    for side, name in zip(sides, ("chosen", "rejected"), strict=True):
        text_of(side[0]["content"], f"{name} after the prompt")
    return [{"role": "user", "content": prompt}], sides[0], sides[1]


def _pair(fields: Fields, context: list[Turn], left: list[Turn], right: list[Turn]) -> Row:
    row = asked_row(context, "the prompt")
    for name, answer in (("chosen", left), ("rejected", right)):
        check_order([*context, *answer], name)
        if answer[-1]["role"] != "assistant":
            raise fault("no answer", f"{name} ends with a turn of {answer[-1]['role']}")
        row[name] = spoken(answer[-1])
        if len(answer) > 1 or not is_plain(answer):
            row[f"{name}_messages"] = answer
    if left == right or (len(left) == len(right) == 1 and _same(row)):
        raise fault("identical chosen and rejected", short(row["chosen"]))
    for name in ("chosen", "rejected"):
        spellings = (f"{name}_score", f"score_{name}", f"{name}_rating", f"{name}-rating")
        found = fields.find(spellings)
        score = number_of(fields.take(found), found) if found else None
        row.update({} if score is None else {f"{name}_score": score})
    return with_context(fields, {**row, **_grade(fields)}, "preference")


def _same(row: Row) -> bool:
    return bool(row["chosen"].strip() == row["rejected"].strip())


def _grade(fields: Fields) -> Row:
    grade: Row = {}
    margin = number_of(fields.take("margin"), "margin")
    if margin is not None:
        if margin < 0:
            raise fault("invalid value", f"margin is {margin:g}, below 0")
        grade["margin"] = margin
    if isinstance(fields.values.get("strength"), str):
        strength = fields.take("strength")
        if strength not in STRENGTHS:
            raise fault("invalid value", f"strength is {short(strength)}, not {list(STRENGTHS)}")
        grade["strength"] = strength
    edited = fields.take_text("edited")
    return grade if edited is None else {**grade, "edited": edited}


def is_feedback(fields: Fields) -> bool:
    """Say whether the record has an answer and a label that is yes or no."""
    label = fields.values.get(fields.find(_LABEL_NAMES) or "")
    return label is not None and (
        "kto_tag" in fields.values
        or (_label(label) is not None and (fields.has(*TALKS) or fields.has(*ANSWERS)))
    )


def _label(value: Any) -> bool | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    words = str(value).strip().lower() if isinstance(value, str | bool | int) else ""
    return _LABELS.get(words)


def read_feedback(fields: Fields) -> list[Row]:
    """Read an answer with its label."""
    name = fields.find(_LABEL_NAMES)
    if name is None:
        raise fault("no label", f"none of {', '.join(_LABEL_NAMES)} has a value")
    label = _label(fields.take(name))
    if label is None:
        raise fault("invalid value", f"{name} is {short(fields.values[name])}, not yes or no")
    row = read_supervised(fields)[0]
    if row.pop("row_kind") == "prompt":
        take_answer(fields)
    row.pop("score", None)
    return [with_context(fields, {**row, "label": label}, "feedback")]


def sides_of(fields: Fields) -> tuple[str, str] | None:
    """The names of two answers side by side."""
    if _SIDE_NAMES.isdisjoint(fields.values):
        return None
    return next((s for s in _SIDES if all(name in fields.values for name in s)), None)


def is_vote(fields: Fields) -> bool:
    """Say whether the record has two answers and which one won."""
    return sides_of(fields) is not None and (
        fields.has(*_VERDICTS) or "winner_model_a" in fields.values
    )


def read_vote(fields: Fields) -> list[Row]:
    """Read two answers and which one won."""
    sides = sides_of(fields)
    assert sides is not None
    values = [fields.take(name) for name in sides]
    if all(looks_like_turns(opened(value)) for value in values):
        talks = [fields.turns(v, n) for v, n in zip(values, sides, strict=True)]
        if talks[0][:-1] != talks[1][:-1]:
            raise fault("different prompts", f"{sides[0]} and {sides[1]} part before the last turn")
        context, answers = talks[0][:-1], [talk[-1] for talk in talks]
        fields.take("prompt")
    else:
        context = take_context(fields)
        answers = [
            {"role": "assistant", "content": text_of(value, name)}
            for value, name in zip(values, sides, strict=True)
        ]
    row = asked_row(context, "the prompt")
    for side, answer in zip(("a", "b"), answers, strict=True):
        check_order([*context, answer], f"answer {side}")
        row[f"response_{side}"] = spoken(answer)
        model = fields.take_text(f"model_{side}")
        row.update({} if model is None else {f"model_{side}": model})
    return [with_context(fields, {**row, "vote": _vote(fields, sides[0][-1])}, "vote")]


def _vote(fields: Fields, first: str) -> str:
    if "winner_model_a" in fields.values:
        held = {v: fields.take(f"winner_{n}") for v, n in _ONE_HOT}
        won = [vote for vote, value in held.items() if value == 1]
        if len(won) != 1:
            raise fault("invalid value", f"{len(won)} of winner_model_a, _b and _tie are 1")
        return won[0]
    name = fields.find(_VERDICTS)
    value = fields.take(*_VERDICTS)
    if isinstance(value, int | float) and not isinstance(value, bool):
        vote = next((v for number, v in _BY_NUMBER[first].items() if number == value), None)
    else:
        vote = _VOTE_OF.get(value.strip().lower()) if isinstance(value, str) else None
    if vote is None:
        raise fault("invalid value", f"{name} is {short(value)}, not a, b, tie or both_bad")
    return vote


_ONE_HOT = (("a", "model_a"), ("b", "model_b"), ("tie", "tie"))


def as_preference(row: Row) -> Row:
    """A vote as a pair.

    Raises:
        FaultError: Neither answer won, or both are equal.
    """
    if row["vote"] not in {"a", "b"}:
        raise fault("tie", f"the vote is {row['vote']}: neither answer is better")
    sides = ("a", "b") if row["vote"] == "a" else ("b", "a")
    kept: Row = {k: row[k] for k in ("prompt", "messages", "tools", "annotator") if k in row}
    chosen, rejected = (row[f"response_{side}"] for side in sides)
    made: Row = {"row_kind": "preference", **kept, "chosen": chosen, "rejected": rejected}
    if _same(made):
        raise fault("identical chosen and rejected", short(chosen))
    return made


def write_preference(row: Row) -> dict[str, Any]:
    """Write TRL's `prompt`, `chosen` and `rejected`, with scores and grades."""
    names = ("chosen", "rejected")
    made: dict[str, Any] = {"prompt": row["prompt"], **{name: row[name] for name in names}}
    if any(name in row for name in ("messages", "chosen_messages", "rejected_messages")):
        made["prompt"] = as_openai(turns_of(row))
        for name in names:
            plain = [{"role": "assistant", "content": row[name]}]
            made[name] = as_openai(row.get(f"{name}_messages", plain))
    return made | {name: row[name] for name in _GRADES if name in row}


_GRADES = ("chosen_score", "rejected_score", "margin", "strength", "edited", "annotator", "tools")


def write_hh(row: Row) -> dict[str, Any]:
    """Write two transcripts."""
    if "chosen_messages" in row or "rejected_messages" in row:
        raise fault("cannot hold", "answers of several turns")
    return {
        name: write_transcript([*turns_of(row), {"role": "assistant", "content": row[name]}])
        for name in ("chosen", "rejected")
    }


def write_feedback(row: Row) -> dict[str, Any]:
    """Write TRL's `prompt`, `completion` and `label`."""
    return {**write_completion(row), "label": row["label"]}


def write_vote(row: Row) -> dict[str, Any]:
    """Write `prompt`, `response_a`, `response_b` and `vote`."""
    names = ("response_a", "response_b", "vote", "model_a", "model_b", "annotator", "tools")
    prompt = as_openai(row["messages"]) if "messages" in row else row["prompt"]
    return {"prompt": prompt, **{name: row[name] for name in names if name in row}}
