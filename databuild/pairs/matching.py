"""Which answers are paired: row numbers of chosen and rejected answers, without touching a text.

The answers of all prompts lie in one table, the best of each prompt first. A pair is two row
numbers of it; texts are gathered for the pairs that are left at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
CHUNK = 4_000_000
"""Pairs looked at at once in a search: about 200 MB."""


@dataclass(frozen=True)
class Ranked:
    """Answers of prompts, prompt by prompt, the best first: equal `prompt` numbers stand together.

    Attributes:
        prompt: A number per prompt.
        score: Falling within a prompt.
        chars: Length of the answer.
        model: A number per model; only answers of different ones are paired, where it is given.
    """

    prompt: Ints
    score: Floats
    chars: Ints
    model: Ints | None = None

    def first(self) -> Ints:
        """For each answer the row number of the best of its prompt."""
        n = len(self.prompt)
        if not n:
            return np.zeros(0, np.int64)
        starts = np.flatnonzero(np.r_[True, self.prompt[1:] != self.prompt[:-1]])
        return np.repeat(starts, np.diff(np.r_[starts, n]))

    def size(self) -> Ints:
        """For each answer how many its prompt has."""
        _, back, counts = np.unique(self.prompt, return_inverse=True, return_counts=True)
        return counts[back] if len(self.prompt) else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Rule:
    """Which pairs are allowed, and which of them are taken.

    Attributes:
        least: Smallest difference of scores, above 0.
        per_chosen: Rejected answers per chosen one.
        max_ratio: Longest ratio of the lengths, or None.
        by_length: Take the rejected answer whose length is nearest, instead of the worst one.
    """

    least: float
    per_chosen: int
    max_ratio: float | None
    by_length: bool


def folded(ranked: Ranked, per_chosen: int) -> tuple[Ints, Ints]:
    """The i-th best over the i-th worst, and over the `per_chosen` - 1 next worse ones to it.

    Example:
        >>> zeros = np.zeros(5, np.int64)
        >>> chosen, rejected = folded(Ranked(zeros, np.arange(5.0)[::-1], zeros), 1)
        >>> list(zip(chosen.tolist(), rejected.tolist()))
        [(0, 4), (1, 3)]
    """
    first, size = ranked.first(), ranked.size()
    number = np.arange(len(first))
    place = number - first
    found = []
    for further in range(per_chosen):
        partner = size - 1 - place - further
        is_pair = place < partner
        found.append((number[is_pair], (first + partner)[is_pair]))
    return _joined(found)


def searched(ranked: Ranked, rule: Rule) -> tuple[Ints, Ints]:
    """Every answer over the `rule.per_chosen` ones that `rule` prefers, of all that it allows.

    Preferred are the worst ones (equal scores: the later in rank), or those of nearest length
    (equal ones: the worst).
    """
    return _joined([_chunk(ranked, rule, numbers) for numbers in _chunks(ranked)])


def is_allowed(ranked: Ranked, rule: Rule, chosen: Ints, rejected: Ints) -> Any:
    """Which pairs are: a Boolean for each."""
    # Scores are sums of floats: 0.2 must not fail because it came out as 0.19999999999999996.
    margin = ranked.score[chosen] - ranked.score[rejected]
    allowed = (margin > 0) & (margin >= rule.least - 1e-9)
    if rule.max_ratio is not None:
        left, right = ranked.chars[chosen], ranked.chars[rejected]
        allowed &= np.maximum(left, right) <= rule.max_ratio * np.minimum(left, right)
    if ranked.model is not None:
        allowed &= ranked.model[chosen] != ranked.model[rejected]
    return allowed


def _chunks(ranked: Ranked) -> Iterator[Ints]:
    """Row numbers of chosen answers, cut so that a chunk's candidates are not too many."""
    first, size = ranked.first(), ranked.size()
    worse = size - 1 - (np.arange(len(first)) - first)
    number = np.flatnonzero(worse > 0)
    if not len(number):
        return
    piece = np.cumsum(worse[number]) // CHUNK
    yield from np.split(number, np.flatnonzero(np.diff(piece)) + 1)


def _chunk(ranked: Ranked, rule: Rule, number: Ints) -> tuple[Ints, Ints]:
    worse = (ranked.first() + ranked.size())[number] - 1 - number
    chosen = np.repeat(number, worse)
    begun = np.repeat(np.cumsum(worse) - worse, worse)
    rejected = chosen + 1 + (np.arange(len(chosen)) - begun)
    allowed = is_allowed(ranked, rule, chosen, rejected)
    chosen, rejected = chosen[allowed], rejected[allowed]
    keys = [-rejected, ranked.score[rejected]]
    if rule.by_length:
        keys.append(np.abs(ranked.chars[chosen] - ranked.chars[rejected]))
    order = np.lexsort([*keys, chosen])
    chosen, rejected = chosen[order], rejected[order]
    place = np.arange(len(chosen)) - np.searchsorted(chosen, chosen)
    taken = place < rule.per_chosen
    return chosen[taken], rejected[taken]


def _joined(found: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    chosen, rejected = zip(*found, strict=True)
    return np.concatenate(chosen), np.concatenate(rejected)
