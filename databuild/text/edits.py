"""Rewrite an answer by rule so that it meets its constraints and keeps what it says.

A model that never writes in lower case gives rejection sampling nothing to select. A rule can make
that answer from one that it did write; as with an annotator's rewrite, edited > chosen > rejected.
No rule invents content: where the text does not hold enough of it, there is no edit.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from databuild.text.constraints import judge
from databuild.text.sentences import is_whole, list_items, sentences, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_LONGEST_WORDS = 45
_SHORTEST_SENTENCE_WORDS = 4
_MOST_COMMAS = 2
# Keys whose natural value is the topic itself, not a sentence.
_NAMING_KEYS = frozenset({"topic", "subject", "title", "name", "theme", "item", "heading"})
_OPENING = re.compile(
    r"^(?:sure|certainly|of course|absolutely|here(?:'s| is| are)|below is|subject|dear|hi|hello|"
    r"title)\b[^.!?]*[:!,]\s*$",
    re.IGNORECASE,
)
# Sentences about the assistant or about the task say nothing about the topic.
_ASIDE = re.compile(
    r"\b(?:sorry|apologi[sz]e|chatbot|assistant|language model|as an? (?:\w+ )?AI|"
    r"I(?:'m| am) an AI|here to (?:help|assist)|(?:happy|glad) to (?:help|assist)|"
    r"need assistance|let me know|"
    r"(?:the|your|my|this|a) (?:text|reply|response|answer|prompt|sentence|title|word)s?|"
    r"(?:upper|lower)[- ]?case|JSON|bullet points?|angle brackets|commas?|capital letters?)\b",
    re.IGNORECASE,
)
# Words that lose their capital when a phrase goes before them.
_LOWERED = re.compile(
    r"(?:an?|the|its?|they|their|this|that|these|those|there|when|while|if|in|on|at|by|for|to|from|"
    r"with|as|one|some|many|most|each|every|your?|we|our|s?he|and|but|or|not|using|having|being)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"(?:,| -| –|;)?\s+(?=(?:which|because|so that|while|making|allowing|and|but)\b)"
)


def edit(
    text: str, constraints: Sequence[Mapping[str, str]], about: Sequence[str], topic: str
) -> str | None:
    r"""Rewrite a text so that it passes `constraints.judge`, or give None where no rule can.

    Unfinished sentences, headings, "Here is …:" openings and sentences about the assistant or the
    task ("I'm sorry, but as a chatbot …", "The text must contain …") go. Whole sentences in a row
    are chosen: as many as the constraints ask for, at most 45 words, the first choice that passes.
    Then commas go, phrases are put before or after, sentences become bullets or JSON values, and
    the case changes. For kinds that are not trained there is no rule.

    Args:
        text: The answer, finished or not.
        constraints: Mappings with `kind` and `value`.
        about: Words of which one must occur, as in `judge`.
        topic: What the answer is about, for titles and naming JSON keys.

    Raises:
        ValueError: See `constraints.validate`.

    Example:
        >>> text = "Sure! Here it is:\nTomatoes love sun and warm soil. They need wa"
        >>> edit(text, [{"kind": "lowercase", "value": ""}], ["tomato"], "tomatoes")
        'tomatoes love sun and warm soil.'
        >>> edit(text, [{"kind": "bullets", "value": "3"}], ["tomato"], "tomatoes") is None
        True
    """
    asked = {rule["kind"]: rule["value"] for rule in constraints}
    if not asked.keys() <= _RULES.keys():
        return None
    for chosen in _windows(_content(text), asked):
        edited = _apply(chosen, asked, topic)
        if edited and judge(edited, constraints, about, finished=True).passed:
            return edited
    return None


def _content(text: str) -> list[str]:
    """List the whole sentences of a text without its marks, headings and openings."""
    plain = re.sub(r"<<[^<>\n]*>>|\*\*|__|```(?:json)?|^#+\s.*$", "", text, flags=re.MULTILINE)
    plain = re.sub(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+", "", plain, flags=re.MULTILINE)
    items = set(list_items(text))
    kept = []
    for sentence in sentences(plain):
        bare = re.sub(r"[\"“”{}\[\]]", "", sentence).strip()
        if is_whole(bare) and len(words(bare)) >= _SHORTEST_SENTENCE_WORDS:
            kept.append(bare)
        elif bare in items and len(words(bare)) >= _SHORTEST_SENTENCE_WORDS:
            kept.append(bare.rstrip(":,;") + ".")
    return [s for s in kept if not _OPENING.match(s) and not _ASIDE.search(s)]


def _windows(found: list[str], asked: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield runs of sentences in the order in which they are to be tried."""
    if "no_commas" in asked:
        found = [s for s in found if s.count(",") <= _MOST_COMMAS]
    exact = next((asked[kind] for kind in ("bullets", "sentences") if kind in asked), None)
    sizes = [int(exact)] if exact else [1] if "one_sentence" in asked else [3, 2, 1]
    if "json_keys" in asked:
        told = [key for key in asked["json_keys"].split(",") if key not in _NAMING_KEYS]
        sizes = [len(told)]
    for size in sizes:
        for start in range(len(found) - size + 1):
            run = found[start : start + size]
            if sum(len(words(s)) for s in run) <= _LONGEST_WORDS:
                yield run
    if "max_words" in asked or "one_sentence" in asked:
        for sentence in found:
            yield from ([clause] for clause in _clauses(sentence))


def _clauses(sentence: str) -> list[str]:
    """Cut a sentence before each later clause, the longest remainder first."""
    places = [found.start() for found in _CLAUSE.finditer(sentence)]
    return [sentence[:place].rstrip(",;: ") + "." for place in reversed(places)]


def _apply(chosen: list[str], asked: Mapping[str, str], topic: str) -> str | None:
    for kind, rule in _RULES.items():
        if kind in asked:
            chosen = rule(chosen, asked[kind], topic)
    return "\n".join(chosen) if "bullets" in asked else " ".join(chosen)


def _keep(chosen: list[str], _value: str, _topic: str) -> list[str]:
    return chosen


def _drop_commas(chosen: list[str], _value: str, _topic: str) -> list[str]:
    joined = [re.sub(r",\s+(?=(?:and|but|or|which|so|because|while)\b)", " ", s) for s in chosen]
    joined = [re.sub(r"(?<=\d),(?=\d)", "", s) for s in joined]
    return [_join_list(s) for s in joined]


def _join_list(sentence: str) -> str:
    """Read a comma before a short item of a list as "and", any other as nothing."""
    parts = [part.strip() for part in sentence.split(",")]
    out = parts[0]
    for before, after in pairwise(parts):
        short = len(words(before)) > 1 and re.match(r"\w+(?: \w+)? (?:and|or)\b", after)
        out += (" and " if short else " ") + after
    return out


def _begin(chosen: list[str], phrase: str, _topic: str) -> list[str]:
    first = re.sub(re.escape(phrase.strip()) + r"\s*", "", chosen[0], flags=re.IGNORECASE)
    if not first:
        return [phrase.strip(), *chosen[1:]]
    first = first[0].upper() + first[1:]
    head, _, rest = first.partition(" ")
    if not phrase.rstrip().endswith((".", "!", "?")) and _LOWERED.fullmatch(head):
        first = f"{head.lower()} {rest}"
    return [f"{phrase.strip()} {first}", *chosen[1:]]


def _finish(chosen: list[str], phrase: str, _topic: str) -> list[str]:
    said = " ".join(words(phrase.casefold()))
    others = [s for s in chosen if said not in " ".join(words(s.casefold()))]
    return [*others, phrase.strip()]


def _bullet(chosen: list[str], _value: str, _topic: str) -> list[str]:
    return [f"- {sentence}" for sentence in chosen]


def _wrap_in_json(chosen: list[str], keys: str, topic: str) -> list[str]:
    told = iter(chosen)
    held = {key: topic if key in _NAMING_KEYS else next(told, "") for key in keys.split(",")}
    return [json.dumps(held, ensure_ascii=False)]


def _entitle(chosen: list[str], _value: str, topic: str) -> list[str]:
    return [f"<<{topic[:1].upper()}{topic[1:]}>>\n{chosen[0]}", *chosen[1:]] if topic else chosen


def _lower(chosen: list[str], _value: str, _topic: str) -> list[str]:
    return [sentence.lower() for sentence in chosen]


def _upper(chosen: list[str], _value: str, _topic: str) -> list[str]:
    return [sentence.upper() for sentence in chosen]


# In the order in which they are applied: what is said, what goes around it, the layout, the case.
_RULES: Mapping[str, Callable[[list[str], str, str], list[str]]] = {
    "keyword": _keep,
    "max_words": _keep,
    "one_sentence": _keep,
    "sentences": _keep,
    "no_commas": _drop_commas,
    "starts_with": _begin,
    "ends_with": _finish,
    "json_keys": _wrap_in_json,
    "title": _entitle,
    "bullets": _bullet,
    "lowercase": _lower,
    "uppercase": _upper,
}
