"""Answers whose steps are judged one by one: TRL, Math-Shepherd, PRM800K, lists of steps.

- TRL: `prompt`, `completions` (the steps), `labels` (true or false, 1 or 0).
- Math-Shepherd: `input` with a mark after each step, and `label`, the same text with + or - there.
- PRM800K: `question.problem`, `label.steps` of alternative `completions` with ratings 1, 0, -1. The
  steps that were gone on with are one row; every other alternative is a row with the steps before.
- Lists: a prompt with `steps`, texts or `{text, rating}`, and `ratings` beside them.
"""

from __future__ import annotations

import re
from typing import Any

from databuild.text.formats.fields import Fields, Row, asked_row, take_context, with_context
from databuild.text.formats.turns import as_openai
from databuild.text.formats.values import fault, number_of, opened, short, text_of

_MARK = "ки"
_FIRST_STEP = re.compile(r"\s*\bStep 1\s*[:.]")
_TEXTS = ("text", "step", "content", "value")
_WORDS = {"+": 1.0, "good": 1.0, "positive": 1.0, "neutral": 0.0, "-": -1.0, "bad": -1.0}
_WORDS |= {"negative": -1.0, "true": 1.0, "false": -1.0}


def is_stepwise(fields: Fields) -> bool:
    """Say whether the record has lists of steps and labels, as TRL."""
    steps, labels = (opened(fields.values.get(name)) for name in ("completions", "labels"))
    return isinstance(steps, list) and isinstance(labels, list)


def read_stepwise(fields: Fields) -> list[Row]:
    """Read TRL's `completions` and `labels`."""
    texts, labels = (opened(fields.take(name)) for name in ("completions", "labels"))
    if len(texts) != len(labels):
        raise fault("wrong length", f"{len(labels)} labels for {len(texts)} completions")
    # Where TRL writes numbers for true and false, 0 is false and not neutral.
    is_binary = all(label is None or label in (0, 1) for label in labels)
    ratings = [_rating(bool(x) if is_binary and x is not None else x, "labels") for x in labels]
    return [_row(fields, texts, ratings)]


def is_list_of_steps(fields: Fields) -> bool:
    """Say whether the record has `steps`."""
    steps = opened(fields.values.get("steps"))
    return isinstance(steps, list) and bool(steps)


def read_list_of_steps(fields: Fields) -> list[Row]:
    """Read `steps`, with ratings inside or beside them."""
    steps = opened(fields.take("steps"))
    name = fields.find(("ratings", "labels", "scores"))
    ratings = opened(fields.take(name)) if name else [None] * len(steps)
    if not isinstance(ratings, list) or len(ratings) != len(steps):
        raise fault("wrong length", f"{name} does not have {len(steps)} values, one for each step")
    texts, found = [], []
    for number, (step, rating) in enumerate(zip(steps, ratings, strict=True)):
        held = Fields(step) if isinstance(step, dict) else None
        texts.append(held.take(*_TEXTS) if held else step)
        own = held.take("rating", "label", "score") if held else None
        found.append(_rating(rating if own is None else own, f"steps[{number}]"))
        if held:
            fields.inner.update({f"steps[{number}].{k}": v for k, v in held.rest().items()})
    return [_row(fields, texts, found)]


def is_shepherd(fields: Fields) -> bool:
    """Say whether the record has steps with Math-Shepherd's mark."""
    said, label = fields.values.get("input"), fields.values.get("label")
    return isinstance(said, str) and isinstance(label, str) and _MARK in said


def read_shepherd(fields: Fields) -> list[Row]:
    """Read marked steps and the same text with signs."""
    said, label = fields.take("input"), fields.take("label")
    pieces = said.split(_MARK)
    if pieces[-1].strip():
        raise fault("wrong length", f"after the last mark stands {short(pieces[-1])}")
    place = 0
    ratings: list[float | None] = []
    for piece in pieces[:-1]:
        place += len(piece)
        sign = label[place : place + 1]
        if label[place - len(piece) : place] != piece or sign not in {"+", "-"}:
            raise fault("invalid value", f"label parts from input at character {place}")
        ratings.append(_WORDS[sign])
        place += 1
    start = _FIRST_STEP.search(pieces[0])
    if start is None:
        raise fault("no prompt", "nothing stands before `Step 1:`")
    question, first = pieces[0][: start.start()], pieces[0][start.start() :]
    texts = [piece.strip() for piece in (first, *pieces[1:-1])]
    return [_row(fields, texts, ratings, prompt=question)]


def is_prm800k(fields: Fields) -> bool:
    """Say whether the record has PRM800K's question and label."""
    question, label = (opened(fields.values.get(name)) for name in ("question", "label"))
    return isinstance(question, dict) and isinstance(label, dict) and "steps" in label


def read_prm800k(fields: Fields) -> list[Row]:
    """Read the path that was gone, and every alternative to one of its steps."""
    question, label = (opened(fields.take(name)) for name in ("question", "label"))
    prompt, steps = question.get("problem"), label["steps"]
    if not isinstance(steps, list) or not steps:
        raise fault("wrong type", f"label.steps is {short(steps)}, expected a list of steps")
    path: list[tuple[Any, float | None]] = []
    paths = []
    for number, step in enumerate(steps):
        known = step if isinstance(step, dict) else {}
        options = [(c.get("text"), c.get("rating")) for c in known.get("completions") or []]
        human, chosen = known.get("human_completion"), known.get("chosen_completion")
        if human is not None:
            said = human.get("text") if isinstance(human, dict) else human
            taken = (said, 1.0)
        elif isinstance(chosen, int) and 0 <= chosen < len(options):
            taken = options.pop(chosen)
        elif options:
            taken = options.pop(0)
        else:
            raise fault("empty", f"label.steps[{number}] has no completion")
        paths += [[*path, option] for option in options]
        path.append(taken)
    fields.inner.update({f"question.{k}": v for k, v in question.items() if k != "problem"})
    fields.inner.update({f"label.{k}": v for k, v in label.items() if k != "steps"})
    rows = []
    for steps_of in (path, *paths):
        ratings = [_rating(rating, "label.steps") for _, rating in steps_of]
        rows.append(_row(fields, [text for text, _ in steps_of], ratings, prompt=prompt))
    return rows


def _rating(value: Any, place: str) -> float | None:
    if isinstance(value, bool):
        return 1.0 if value else -1.0
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    rating = number_of(value, place)
    if rating is not None and not -1 <= rating <= 1:
        raise fault("invalid value", f"the rating of {place} is {rating:g}, outside of [-1, 1]")
    return rating


def _row(fields: Fields, texts: list[Any], ratings: list[float | None], prompt: Any = None) -> Row:
    if not texts:
        raise fault("empty", "there are no steps")
    steps: list[dict[str, Any]] = []
    for number, (text, rating) in enumerate(zip(texts, ratings, strict=True)):
        steps.append({"text": text_of(text, f"step {number}"), "rating": rating})
    said = text_of(prompt, "the question") if prompt is not None else None
    row: Row = {"prompt": said} if said is not None else asked_row(take_context(fields))
    row |= {"response": "\n".join(step["text"] for step in steps), "steps": steps}
    return with_context(fields, row, "steps")


def write_stepwise(row: Row) -> dict[str, Any]:
    """Write TRL's `prompt`, `completions` and `labels`."""
    ratings = [step["rating"] for step in row["steps"]]
    if any(rating not in {1, -1, None} for rating in ratings):
        raise fault("cannot hold", "ratings between right and wrong")
    words = {1: True, -1: False, None: None}
    return {
        "prompt": as_openai(row["messages"]) if "messages" in row else row["prompt"],
        "completions": [step["text"] for step in row["steps"]],
        "labels": [words[rating] for rating in ratings],
        **({"model": row["model"]} if "model" in row else {}),
    }
