"""Constraints on an answer that a machine can check.

After IFEval (Zhou et al. 2023, arXiv:2311.07911), with partial credit added.

A constraint is a kind and a value, both text; `KINDS` says what each kind demands:

    kind             value       passes when
    lowercase        ""          there are letters and none is upper case
    uppercase        ""          there are letters and none is lower case
    no_commas        ""          no comma
    bullets          n           exactly n lines begin with "- ", "* " or "• " and go on
    max_words        n           1 to n words
    starts_with      phrase      the text begins with the phrase (case and outer quotes ignored)
    ends_with        phrase      the text ends with the phrase (case and outer quotes ignored)
    json_keys        a,b         a JSON object with exactly these keys and non-empty text values
    keyword          word        the word or phrase occurs between word borders (case ignored)
    one_sentence     ""          exactly one sentence, and it ends in a terminator
    sentences        n           exactly n sentences, the last one ending in a terminator
    title            ""          the first line is <<a title>>, and something follows it
    quoted           ""          the whole text stands in double quotes
    numbered_list    n           exactly n lines "1. …", "2. …" in this order
    question         ""          the text ends in a question mark
    forbidden_word   word        the word does not occur between word borders (case ignored)
    two_paragraphs   ""          exactly two blocks of text with a blank line between them
    answer           answer      the final answer agrees with it: number, choice A to H, short text

The five before `answer` are never trained on in the quickstart: they show what does not transfer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from databuild.text.final_answers import agree, find_answer, read_value
from databuild.text.sentences import is_whole, repetition_ratio, sentences, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MIN_WORDS = 6
MAX_REPETITION_RATIO = 0.2
# A failed constraint never earns more than this, so that only a pass scores 1.
_NEAR_MISS = 0.9


def _distance(found: int, wanted: int) -> float:
    return 1 / (1 + abs(found - wanted))


def _any_letter(text: str) -> bool:
    return any(char.isalpha() for char in text)


def _lowercase(_: str, text: str) -> float:
    shouting = sum(word != word.lower() for word in words(text))
    return 1 / (1 + shouting) if _any_letter(text) else 0.0


def _uppercase(_: str, text: str) -> float:
    found = [word for word in words(text) if _any_letter(word)]
    return sum(word == word.upper() for word in found) / len(found) if found else 0.0


def _no_commas(_: str, text: str) -> float:
    return 1 / (1 + text.count(","))


def _bullets(value: str, text: str) -> float:
    found = len(re.findall(r"^[ \t]*[-*•][ \t]+\S", text, re.MULTILINE))
    return _distance(found, int(value)) if found else 0.0


def _max_words(value: str, text: str) -> float:
    found = len(words(text))
    return min(1.0, int(value) / found) if found else 0.0


def _bare(text: str) -> str:
    return " ".join(text.strip().strip("\"'“”").casefold().split())


def _starts_with(value: str, text: str) -> float:
    phrase, bare = _bare(value), _bare(text)
    place = bare.find(phrase)
    return 0.4 + 0.5 * (1 - place / len(bare)) if place > 0 else float(place == 0)


def _ends_with(value: str, text: str) -> float:
    phrase, bare = _bare(value), _bare(text)
    if bare.endswith(phrase):
        return 1.0
    place = bare.rfind(phrase)
    return 0.4 + 0.5 * (place + len(phrase)) / len(bare) if place >= 0 else 0.0


def _json_keys(value: str, text: str) -> float:
    wanted = set(value.split(","))
    body = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip())
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        quoted = sum(f'"{key}"' in text for key in wanted) / len(wanted)
        return 0.5 * quoted
    if not isinstance(found, dict):
        return 0.0
    good = {key for key, held in found.items() if isinstance(held, str) and held.strip()}
    return len(wanted & good) / len(wanted | set(found))


def _count_word(value: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(value.casefold())}(?!\w)", text.casefold()))


def _keyword(value: str, text: str) -> float:
    return float(_count_word(value, text) > 0)


def _forbidden_word(value: str, text: str) -> float:
    return 1 / (1 + _count_word(value, text))


def _sentences(value: str, text: str) -> float:
    found = sentences(text)
    if not found:
        return 0.0
    return _distance(len(found), int(value)) * (1.0 if is_whole(found[-1]) else 0.5)


def _one_sentence(_: str, text: str) -> float:
    return _sentences("1", text)


def _title(_: str, text: str) -> float:
    if re.match(r"<<[^<>\n]+>>[ \t]*\n\s*\S", text.strip()):
        return 1.0
    return 0.5 if re.search(r"<<[^<>\n]+>>", text) else 0.0


def _quoted(_: str, text: str) -> float:
    bare = text.strip()
    if len(bare) < 2:  # an opening and a closing mark
        return 0.0
    return 0.5 * (bare[0] in '"“') + 0.5 * (bare[-1] in '"”')


def _numbered_list(value: str, text: str) -> float:
    found = [int(n) for n in re.findall(r"^[ \t]*(\d{1,3})[.)][ \t]+\S", text, re.MULTILINE)]
    in_order = found == list(range(1, len(found) + 1))
    return _distance(len(found), int(value)) * (1.0 if in_order else 0.5) if found else 0.0


def _question(_: str, text: str) -> float:
    if text.rstrip().rstrip("\"'”").endswith("?"):
        return 1.0
    return 0.5 * ("?" in text)


def _two_paragraphs(_: str, text: str) -> float:
    found = len([block for block in re.split(r"\n\s*\n", text.strip()) if block.strip()])
    return _distance(found, 2) if found else 0.0


def _answer(value: str, text: str) -> float:
    right = read_value(value)
    found = find_answer(text)
    if right is None or found is None:
        return 0.0
    if agree(read_value(found[1], right), right):
        return 1.0
    said = (read_value(piece, right) for piece in re.split(r"[\s=，。；：]+", text))
    return 0.5 * any(agree(one, right) for one in said)


TRAINED: Mapping[str, Callable[[str, str], float]] = {
    "lowercase": _lowercase,
    "uppercase": _uppercase,
    "no_commas": _no_commas,
    "bullets": _bullets,
    "max_words": _max_words,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "json_keys": _json_keys,
    "keyword": _keyword,
    "one_sentence": _one_sentence,
    "sentences": _sentences,
    "title": _title,
}
UNTRAINED: Mapping[str, Callable[[str, str], float]] = {
    "quoted": _quoted,
    "numbered_list": _numbered_list,
    "question": _question,
    "forbidden_word": _forbidden_word,
    "two_paragraphs": _two_paragraphs,
}
KINDS: Mapping[str, Callable[[str, str], float]] = {**TRAINED, **UNTRAINED, "answer": _answer}
_NUMBER = frozenset({"bullets", "max_words", "sentences", "numbered_list"})
_PHRASE = frozenset(
    {"starts_with", "ends_with", "json_keys", "keyword", "forbidden_word", "answer"}
)


def validate(kind: str, value: str) -> None:
    """Refuse an unknown kind and a value that its kind cannot read.

    Raises:
        ValueError: With the known kinds, or with what the value should be.

    Example:
        >>> validate("bullets", "three")
        Traceback (most recent call last):
        ValueError: constraint 'bullets' needs a whole number from 1 as value, not 'three'
    """
    if kind not in KINDS:
        msg = f"unknown constraint {kind!r}; known: {', '.join(sorted(KINDS))}"
        raise ValueError(msg)
    if kind in _NUMBER:
        if not (value.isascii() and value.isdigit() and int(value) >= 1):
            msg = f"constraint {kind!r} needs a whole number from 1 as value, not {value!r}"
            raise ValueError(msg)
    elif kind in _PHRASE:
        if not value.strip() or (kind == "json_keys" and not all(value.split(","))):
            msg = f"constraint {kind!r} needs a text as value, not {value!r}"
            raise ValueError(msg)
    elif value:
        msg = f"constraint {kind!r} takes no value, so it must be '', not {value!r}"
        raise ValueError(msg)


def credit(kind: str, value: str, text: str) -> float:
    """Say how nearly a text meets a constraint: 1 when it does, otherwise 0 to 0.9.

    By kind: 1 / (1 + distance) where there is something to count (words with a capital, commas,
    bullets, sentences, paragraphs, uses of a forbidden word); the share of words in capitals; the
    allowed share of the words (max_words); 0.4 to 0.9 by place for a phrase that stands at the
    wrong place; Jaccard similarity of JSON keys, half the share of quoted keys when it is no JSON;
    0.5 for a right answer that is not the final one.

    Raises:
        ValueError: See `validate`.

    Example:
        >>> credit("max_words", "6", "one two three four five six seven eight")
        0.75
        >>> credit("no_commas", "", "a, b"), credit("no_commas", "", "a b")
        (0.5, 1.0)
    """
    validate(kind, value)
    found = KINDS[kind](value, text)
    return 1.0 if found >= 1 else min(found, _NEAR_MISS)


def check(kind: str, value: str, text: str) -> bool:
    r"""Say whether a text meets a constraint exactly; the table above says what each kind demands.

    Raises:
        ValueError: See `validate`.

    Example:
        >>> check("bullets", "2", "- one\n- two"), check("json_keys", "a,b", '{"a": "x"}')
        (True, False)
    """
    return credit(kind, value, text) == 1


@dataclass(frozen=True)
class Verdict:
    """What a text is worth under its constraints: the parts, whether all hold, and a score."""

    credits: tuple[float, ...]
    """One per constraint, in their order."""
    is_on_topic: bool
    is_long_enough: bool
    is_finished: bool
    is_fresh: bool
    """Less than a fifth of the word 3-grams repeat an earlier one."""
    score: float
    """Mean credit, times 0.3 if off topic, words/6 if too short, 0.5 if unfinished, and
    1 - repetition if it repeats. 1 exactly when `passed`."""

    @property
    def is_obedient(self) -> bool:
        """Every constraint holds, whatever the floors say."""
        return all(found == 1 for found in self.credits)

    @property
    def passed(self) -> bool:
        """Strict pass: every constraint holds and so does every floor."""
        floors = (self.is_on_topic, self.is_long_enough, self.is_finished, self.is_fresh)
        return self.is_obedient and all(floors)


def _mentions(stem: str, text: str) -> bool:
    bare = stem.casefold()
    end = r"\w*" if bare.endswith("*") else r"(?:s|es)?"
    return bool(re.search(rf"(?<!\w){re.escape(bare.rstrip('*'))}{end}(?!\w)", text.casefold()))


def judge(
    text: str, constraints: Sequence[Mapping[str, str]], about: Sequence[str], *, finished: bool
) -> Verdict:
    """Check a text against its constraints and the floors that make a pass worth having.

    Without the floors a model learns to answer "See you soon." to everything. They are: a word of
    `about` occurs (none given: nothing to check), at least 6 words, the answer ended by itself, and
    less than 20 % of its word 3-grams repeat an earlier one. A word of `about` is met by itself,
    with "s" or "es" after it, and, if it ends in "*", by any word that begins so; case is ignored.

    Args:
        text: The answer.
        constraints: Mappings with `kind` and `value`.
        about: Words of which one must occur.
        finished: The finish reason was "stop".

    Raises:
        ValueError: See `validate`.

    Example:
        >>> rules = [{"kind": "max_words", "value": "8"}]
        >>> judge("Tomatoes need a lot of warm sun.", rules, ["tomato"], finished=True).passed
        True
        >>> judge("Plants need a lot of warm sun.", rules, ["tomato"], finished=True).score
        0.3
    """
    earned = tuple(credit(rule["kind"], rule["value"], text) for rule in constraints)
    n_words, repetition = len(words(text)), repetition_ratio(text)
    is_on_topic = not about or any(_mentions(stem, text) for stem in about)
    score = sum(earned) / len(earned) if earned else 1.0
    score *= 1.0 if is_on_topic else 0.3
    score *= min(1.0, n_words / MIN_WORDS)
    score *= 1.0 if finished else 0.5
    score *= 1.0 if repetition < MAX_REPETITION_RATIO else 1 - repetition
    return Verdict(
        credits=earned,
        is_on_topic=is_on_topic,
        is_long_enough=n_words >= MIN_WORDS,
        is_finished=finished,
        is_fresh=repetition < MAX_REPETITION_RATIO,
        score=score,
    )
