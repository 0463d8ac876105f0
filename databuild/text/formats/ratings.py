"""Several answers to one prompt, a row for each: UltraFeedback ratings, lists with scores or ranks.

- UltraFeedback: `instruction` and `completions` of `{response, model, overall_score, annotations}`.
- Lists: a prompt with `responses`, `answers`, `generations` ... (texts, or objects with a text) and
  beside them `scores` or `ranks` (1 is the best, equal ranks are a tie), and `models`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.text.formats.fields import (
    PROMPTS,
    TALKS,
    Fields,
    Row,
    answer_turns,
    answered_row,
    take_context,
    with_context,
)
from databuild.text.formats.preference import sides_of
from databuild.text.formats.turns import as_openai
from databuild.text.formats.values import fault, is_blank, number_of, opened

if TYPE_CHECKING:
    from databuild.text.formats.turns import Turn

_LISTS = (
    *("completions", "responses", "answers", "generations", "candidates", "outputs", "samples"),
    "predictions",
)
_SCORE_LISTS = ("scores", "ratings", "rewards", "overall_scores")
_RANK_LISTS = ("ranks", "rankings", "ranking")
_MODEL_LISTS = ("models", "generation_models")
_TEXTS = ("response", "text", "answer", "content", "completion", "output", "generation", "message")
NAMES = frozenset({*_LISTS, *_SCORE_LISTS, *_RANK_LISTS, *_MODEL_LISTS})
"""Names that are looked at here, besides those of `fields`."""
_MOST_RANK = 2**53
_SCORES = ("overall_score", "score", "fine-grained_score", "rating", "reward")


def is_list_of_answers(fields: Fields) -> bool:
    """Say whether the record has several answers."""
    name = fields.find(_LISTS)
    held = opened(fields.values[name]) if name else None
    is_list = isinstance(held, list) and bool(held)
    return (is_list or sides_of(fields) is not None) and fields.has(*PROMPTS, *TALKS)


def is_ultrafeedback(fields: Fields) -> bool:
    """Say whether the answers are `completions` that are objects."""
    held = opened(fields.values.get("completions"))
    return is_list_of_answers(fields) and isinstance(held, list) and isinstance(held[0], dict)


def read_answers(fields: Fields) -> list[Row]:
    """Read a row for each answer; an answer that is faulty is a fault of its own."""
    answers, place = _take_answers(fields)
    context = take_context(fields)
    beside = {
        "score": _take_list(fields, _SCORE_LISTS, len(answers)),
        "rank": _take_list(fields, _RANK_LISTS, len(answers)),
        "model": _take_list(fields, _MODEL_LISTS, len(answers)),
    }
    rows = []
    for number, answer in enumerate(answers):
        where = f"{place}[{number}]"
        held = {name: values[number] for name, values in beside.items() if values is not None}
        try:
            rows.append(_read_answer(fields, context, answer, held, where))
        except ValueError as error:
            fields.faults.append(f"{error} (in {where})")
    shared = with_context(fields, {}, "response")
    return [{**shared, **row} for row in rows]


def _take_answers(fields: Fields) -> tuple[list[Any], str]:
    name = fields.find(_LISTS)
    sides = sides_of(fields)
    if name is not None:
        found = opened(fields.values[name])
        if isinstance(found, list) and found:
            fields.used.add(name)
            return found, name
    assert sides is not None
    return [fields.take(side) for side in sides], sides[0][:-2]


def _take_list(fields: Fields, names: tuple[str, ...], length: int) -> list[Any] | None:
    name = fields.find(names)
    if name is None:
        return None
    found = opened(fields.values[name])
    if not isinstance(found, list):
        return None
    if len(found) != length:
        raise fault("wrong length", f"{name} has {len(found)} values for {length} answers")
    fields.used.add(name)
    return found


def _read_answer(fields: Fields, context: list[Turn], answer: Any, beside: Row, where: str) -> Row:
    inner: Fields | None = None
    if isinstance(answer, dict) and "role" not in answer:
        inner = Fields(answer)
        name = inner.find(_TEXTS)
        if name is None:
            raise fault("no answer", f"{where} has none of {', '.join(_TEXTS)}")
        answer = inner.take(name)
        beside = {**beside, **_of_object(inner, where)}
    row = answered_row([*context, *answer_turns(fields, answer, where)], where)
    row.update(_checked(beside, where))
    if inner is not None:
        row["_rest"] = {f"{where}.{key}": held for key, held in inner.rest().items()}
    return row


def _of_object(inner: Fields, where: str) -> Row:
    found: Row = {"model": inner.take_text("model", "model_name")}
    name = inner.find(_SCORES)
    found["score"] = inner.take(name) if name else None
    found["rank"] = inner.take("rank")
    found["critique"] = inner.take_text("critique", "feedback")
    annotations = opened(inner.values.get("annotations"))
    if isinstance(annotations, dict):
        inner.used.add("annotations")
        found["ratings"] = _ratings(inner, annotations, where)
    return {key: value for key, value in found.items() if value is not None}


def _ratings(inner: Fields, annotations: dict[str, Any], where: str) -> list[Row]:
    ratings = []
    for aspect, held in annotations.items():
        own = held if isinstance(held, dict) else {"Rating": held}
        names = {key.lower(): key for key in own}
        rating, why = (own.get(names.get(key, "")) for key in ("rating", "rationale"))
        if held is None or (isinstance(held, list) and not held):
            continue
        number = number_of(rating, f"{where}.{aspect}")
        why = why if isinstance(why, str) and not is_blank(why) else None
        ratings.append({"aspect": aspect, "rating": number, "rationale": why})
        rest = {k: v for k, v in own.items() if k.lower() not in {"rating", "rationale"}}
        rest = {k: v for k, v in rest.items() if v is not None}
        inner.inner.update({f"{aspect}.{key}": value for key, value in rest.items()})
    return ratings


def _checked(beside: Row, where: str) -> Row:
    made = dict(beside)
    for name in ("score", "rank"):
        number = number_of(made.pop(name, None), f"{where} ({name})")
        if number is None:
            continue
        if name == "rank" and not (0 <= number < _MOST_RANK and number.is_integer()):
            raise fault("invalid value", f"{where} has the rank {number:g}, no whole number from 0")
        made[name] = int(number) if name == "rank" else number
    if "model" in made and not isinstance(made["model"], str):
        made.pop("model")
    return {k: v for k, v in made.items() if v is not None and v != []}


def write_ultrafeedback(row: Row) -> dict[str, Any]:
    """Write `instruction` and one of `completions`."""
    held: dict[str, Any] = {"response": _answer(row)}
    held |= {name: row[name] for name in ("model", "critique") if name in row}
    if "score" in row:
        held["overall_score"] = row["score"]
    if "ratings" in row:
        held["annotations"] = {
            r["aspect"]: {"Rating": r["rating"], "Rationale": r["rationale"]}
            for r in row["ratings"]
        }
    return {"instruction": row["prompt"], "completions": [held]}


def write_answers(row: Row) -> dict[str, Any]:
    """Write a prompt with lists of one answer, score, rank and model."""
    prompt = as_openai(row["messages"][:-1]) if "messages" in row else row["prompt"]
    made = {"prompt": prompt, "responses": [_answer(row)]}
    names = {"score": "scores", "rank": "ranks", "model": "models"}
    made |= {plural: [row[name]] for name, plural in names.items() if name in row}
    return made | {name: row[name] for name in ("annotator", "tools") if name in row}


def _answer(row: Row) -> Any:
    """The answer as a text, with its reasoning; or as a turn where it is more than a text."""
    if "messages" not in row:
        return row["response"]
    last = as_openai(row["messages"][-1:])[0]
    return last["content"] if last.keys() == {"role", "content"} else last
