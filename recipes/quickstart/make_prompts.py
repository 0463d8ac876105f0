"""Write the quickstart's prompts from material.yaml; the same files every time.

    python recipes/quickstart/make_prompts.py

Writes train.jsonl (with messy rows on purpose, see `_messy_lines`), dev.jsonl, holdout.jsonl and
ood.jsonl beside this file. Columns: prompt, pool, topic, family (kind of the main constraint),
constraints (kind and value, see databuild.text.constraints), about (words of which one must occur).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ruamel.yaml import YAML

from databuild.text.constraints import TRAINED, UNTRAINED, validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE = Path(__file__).parent
SIZES = {"train": 660, "dev": 120, "holdout": 200, "ood": 60}
WITH_A_SECOND_RATIO = 0.25
NUMBERS = ("", "one", "two", "three", "four", "five")
VALUES: Mapping[str, Sequence[str]] = {
    "bullets": ("2", "3", "3", "4"),
    "max_words": ("12", "15", "18", "20", "25"),
    "sentences": ("2", "2", "3"),
    "numbered_list": ("2", "3", "4"),
}
# Second constraints that can be met together with the main one.
PARTNERS: Mapping[str, Sequence[str]] = {
    "lowercase": ("max_words", "keyword", "one_sentence", "no_commas"),
    "uppercase": ("max_words", "one_sentence", "sentences"),
    "no_commas": ("max_words", "one_sentence", "lowercase", "ends_with"),
    "bullets": ("keyword", "no_commas", "lowercase"),
    "max_words": ("no_commas", "lowercase", "ends_with", "starts_with"),
    "starts_with": ("ends_with", "max_words", "no_commas"),
    "ends_with": ("starts_with", "max_words", "lowercase"),
    "json_keys": ("keyword",),
    "keyword": ("one_sentence", "sentences", "lowercase"),
    "one_sentence": ("lowercase", "uppercase", "keyword", "no_commas"),
    "sentences": ("keyword", "lowercase", "no_commas"),
    "title": ("keyword", "no_commas"),
}
ROOMY = {"starts_with": "30", "ends_with": "30"}  # max_words beside a phrase

Row = dict[str, object]


class Decks:
    """Shuffled decks of cards by name; an empty deck is shuffled again, so use is even."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.decks: dict[str, list[str]] = {}
        self.seen: set[tuple[str, str]] = set()

    def draw(self, name: str, cards: Sequence[str]) -> str:
        """Draw the next card of the deck `name`, which holds `cards`."""
        deck = self.decks.setdefault(name, [])
        if not deck:
            deck.extend(cards[i] for i in self.rng.permutation(len(cards)))
        return deck.pop()

    def draw_new(self, name: str, cards: Sequence[str], beside: str) -> str:
        """Draw a card that has not stood beside `beside` yet, if the next dozen hold one.

        Two prompts that differ in the topic alone would be near duplicates.
        """
        for _ in range(12):
            card = self.draw(name, cards)
            if (card, beside) not in self.seen:
                break
        self.seen.add((card, beside))
        return card


def _value(kind: str, material: Mapping[str, Mapping[str, Sequence[str]]], decks: Decks) -> str:
    cards = VALUES.get(kind) or material["phrases"].get(kind)
    return decks.draw(f"value {kind}", cards) if cards else ""


def _say(wording: str, value: str) -> str:
    """Fill a wording: the value, a number in words, the limit plus one, and JSON keys."""
    keys = value.split(",")
    number = int(value) if value.isdigit() else 0
    return wording.format(
        v=value,
        v1=number + 1,
        n=NUMBERS[number] if number < len(NUMBERS) else value,
        k=" and ".join(f'"{key}"' for key in keys),
        kk=", ".join(f'"{key}": "..."' for key in keys),
    )


def _lay_out(ask: str, rules: Sequence[str], roll: float) -> str:
    """Put the rules after the ask, before it, or on lines of their own."""
    said = " ".join(rules)
    if roll < 0.65:
        return f"{ask} {said}"
    return f"{said} {ask}" if roll < 0.8 else f"{ask}\n" + "\n".join(rules)


def make_pool(pool: str, size: int, material: dict[str, dict], kinds: Sequence[str]) -> list[Row]:
    """Make the clean rows of one pool, its families taking turns."""
    rng = np.random.default_rng(list(pool.encode()))
    decks, own = Decks(rng), material[pool]
    where = material["holdout"] if pool == "ood" else own
    rows: list[Row] = []
    for place in range(size):
        family = kinds[place % len(kinds)]
        topic, _, about = decks.draw("topic", where["topics"]).partition(" | ")
        ask = decks.draw("ask", where["asks"])
        chosen = {family: _value(family, own, decks)}
        if family in PARTNERS and rng.random() < WITH_A_SECOND_RATIO:
            second = decks.draw(f"with {family}", PARTNERS[family])
            chosen[second] = _value(second, own, decks)
            if "max_words" in chosen:
                roomy = [ROOMY[kind] for kind in chosen if kind in ROOMY]
                chosen["max_words"] = roomy[0] if roomy else chosen["max_words"]
        rules = []
        for kind, value in chosen.items():
            validate(kind, value)
            wording = decks.draw_new(f"say {kind}", own["wordings"][kind], beside=ask)
            rules.append(_say(wording, value))
        rows.append(
            {
                "prompt": _lay_out(ask.format(t=topic), rules, rng.random()),
                "pool": pool,
                "topic": topic,
                "family": family,
                "constraints": [{"kind": k, "value": v} for k, v in chosen.items()],
                "about": about.split(", "),
            }
        )
    return rows


def _messy_lines(rows: Sequence[Row]) -> Iterator[tuple[int, str]]:
    """Yield what goes wrong in real files, each with the place where it is put."""
    copies = [(place, dict(rows[place - 40])) for place in (60, 61, 190, 333, 334, 520)]
    for place, row in copies:
        yield place, json.dumps(row)
    for place, of in ((75, 12), (140, 101), (260, 33), (410, 250), (600, 444), (640, 30)):
        prompt = str(rows[of]["prompt"])
        near = (f"{prompt} Thanks!", f"  {prompt.lower()} ", prompt.replace(" ", "  "))
        yield place, json.dumps({**rows[of], "prompt": near[of % 3]})
    row = rows[5]
    yield 90, json.dumps({**row, "prompt": ""})
    yield 91, json.dumps({**row, "prompt": " \n\t "})
    yield (
        205,
        json.dumps(
            {**rows[17], "prompt": f"{rows[17]['prompt']} " + "Please think about it. " * 900}
        ),
    )
    yield 230, json.dumps({**row, "prompt": 4711})
    yield 231, json.dumps({**row, "constraints": "lowercase"})
    yield 300, json.dumps({**row, "prompt": ["Write", "something"]})
    yield 305, json.dumps(row)[:95]
    yield (
        360,
        json.dumps(
            {
                **row,
                "prompt": "Schreib etwas Ã¼ber die GrÃ¶ÃŸe des Mondes â€“ ohne GroÃŸbuchstaben.",
            }
        ),
    )
    yield (
        361,
        json.dumps(
            {
                **row,
                "prompt": "Tell me about caf\ufffd\ufffd and cr\ufffdpes. No \ufffd capitals.",
            }
        ),
    )
    yield 470, json.dumps({key: held for key, held in row.items() if key != "constraints"})
    yield (
        471,
        json.dumps({**row, "prompt": "Rows without a rule cannot be checked.", "constraints": []}),
    )
    yield 555, json.dumps({**row, "constraints": [{"kind": "rhyme", "value": ""}]})
    yield 556, ""


def main() -> None:
    """Write the four files."""
    material = YAML(typ="safe").load(HERE / "material.yaml")
    for pool, size in SIZES.items():
        rows = make_pool(pool, size, material, list(UNTRAINED if pool == "ood" else TRAINED))
        lines = [json.dumps(row) for row in rows]
        if pool == "train":
            for place, line in sorted(_messy_lines(rows), reverse=True):
                lines.insert(place, line)
        (HERE / f"{pool}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
