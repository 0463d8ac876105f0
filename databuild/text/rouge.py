"""Which texts are new: ROUGE-L against everything before, exactly, without comparing all pairs.

ROUGE-L (Lin 2004, section 3) of two texts of m and n tokens whose longest common subsequence has
L tokens is the F-measure 2 L / (m + n). Tokens are those of `text.tokens` after NFKC and lower-
casing, so that Chinese is compared character by character.

A pair reaches a threshold t only with L >= t (m + n) / 2. The tokens that two texts share in any
order are at least L, so rare tokens tell most pairs apart: when both texts are ordered rarest token
first, a pair with so many tokens in common shares one of the first m - L + 1 (prefix filter,
Chaudhuri et al. 2006), and the places of those that it shares there bound how many it can share at
all (Xiao et al. 2008, PPJoin). Only pairs that pass are compared. Both filters pass every pair
that reaches the threshold, so the result is that of comparing all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from databuild.errors import StepError
from databuild.text.tokens import folded, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_OCCURRENCES = 1 << 20
"""A text has fewer tokens than this, so that (token, occurrence) is one number."""
_CODE_POINTS = 0x110000
_HITS = 4_000_000
"""Pairs looked at together; 5 numbers each."""


class Near(NamedTuple):
    """The text before that is nearest to one that is not new."""

    place: int
    """Its number, counted over all texts that were added."""
    score: float
    """ROUGE-L, from the threshold to 1."""


@dataclass(frozen=True)
class _Texts:
    """Text r has the tokens `tokens[starts[r]:starts[r + 1]]`, as numbers."""

    starts: Ints
    tokens: Ints

    @property
    def lengths(self) -> Ints:
        return np.diff(self.starts)

    def take(self, rows: Ints) -> _Texts:
        lengths = self.lengths[rows]
        return _Texts(_starts(lengths), self.tokens[_spans(self.starts[rows], lengths)])

    def __add__(self, other: _Texts) -> _Texts:
        starts = np.concatenate([self.starts, other.starts[1:] + self.starts[-1]])
        return _Texts(starts, np.concatenate([self.tokens, other.tokens]))


class _Measure:
    """What a threshold asks of two texts; in whole numbers, so that equality is exact."""

    def __init__(self, threshold: float) -> None:
        share = Fraction(str(threshold))
        self._top, self._bottom = share.numerator, share.denominator

    def needed(self, m: Ints, n: Ints) -> Ints:
        """The shortest common subsequence that reaches the threshold."""
        return -(-(m + n) * self._top // (2 * self._bottom))

    def prefix(self, m: Ints) -> Ints:
        """How many of its rarest tokens a text must be looked up by."""
        shortest = -(-m * self._top // (2 * self._bottom - self._top))
        return m - self.needed(m, shortest) + 1


class Novelty:
    """Texts that were seen, and the question whether another is like one of them.

    Args:
        threshold: A text is new while its ROUGE-L with every text before is below it; above 0, at
            most 1. Wang et al. (2023, section 2.2) take 0.7.

    Raises:
        StepError: rapidfuzz is not installed.

    Cost:
        50,000 texts of 23 words take 19 CPU seconds, 10,000 take 3 (tests/bench/novelty.json).

    Example:
        >>> seen = Novelty(0.7)
        >>> seen.add(["Name three red fruits."])
        >>> seen.judge(["Name three green fruits!", "Why is the sky blue?", "Why is the sky red?"])
        [Near(place=0, score=0.75), None, Near(place=1, score=0.8)]
    """

    def __init__(self, threshold: float = 0.7) -> None:
        self._compare, self._common = _comparer()
        self._measure = _Measure(threshold)
        self._numbers: dict[str, int] = {}
        self._blocks: list[tuple[_Block, Ints]] = []
        self._coded: list[str | list[int]] = []
        self._lengths: list[int] = []

    def __len__(self) -> int:
        """How many texts were added."""
        return len(self._coded)

    def add(self, texts: Sequence[str]) -> None:
        """Take in texts without judging them."""
        if texts:
            self._keep(self._read(texts))

    def judge(self, texts: Sequence[str]) -> list[Near | None]:
        """Judge texts in turn, and take in those that are new.

        Returns:
            For each None where it is new, else the nearest of all that were added before it, the
            first of several. A text without a token is like none.
        """
        if not texts:
            return []
        new = self._read(texts)
        coded = self._code(new)
        best: list[Near | None] = [None] * len(texts)
        for block, places in self._blocks:
            rows, found, scores = self._near(new, coded, block, places)
            for row, place, score in zip(rows, found, scores, strict=True):
                best[row] = _better(best[row], Near(place, score))
        near: dict[int, list[tuple[int, float]]] = {}
        own = np.arange(len(texts))
        inside = _Block(new, self._measure)
        for row, other, score in zip(*self._near(new, coded, inside, own, coded), strict=True):
            if other < row:
                near.setdefault(row, []).append((other, score))
        kept: dict[int, int] = {}
        for row in range(len(texts)):
            for other, score in sorted(near.get(row, [])):
                if other in kept:
                    best[row] = _better(best[row], Near(kept[other], score))
            if best[row] is None:
                kept[row] = len(self) + len(kept)
        self._keep(new.take(np.fromiter(kept, dtype=np.int64)))
        return best

    def _read(self, texts: Sequence[str]) -> _Texts:
        """The tokens of texts as numbers, which are given in the order of first sight."""
        listed = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}).select(
            tokens(folded(pl.col("text"))).list.head(_OCCURRENCES - 1)
        )["text"]
        flat = listed.explode().drop_nulls()
        different = flat.unique(maintain_order=True).to_list()
        numbers = [self._numbers.setdefault(one, len(self._numbers)) for one in different]
        ids = flat.replace_strict(different, numbers, return_dtype=pl.Int64).to_numpy()
        lengths = listed.list.len().fill_null(0).cast(pl.Int64).to_numpy()
        return _Texts(_starts(lengths), np.asarray(ids, dtype=np.int64))

    def _code(self, texts: _Texts) -> list[str | list[int]]:
        """Every text as one that rapidfuzz compares: a character stands for a token."""
        cut = [texts.tokens[a:b] for a, b in zip(texts.starts, texts.starts[1:], strict=False)]
        if len(self._numbers) > _CODE_POINTS:  # more tokens than characters: slower, and the same
            return [one.tolist() for one in cut]
        return [one.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass") for one in cut]

    def _keep(self, texts: _Texts) -> None:
        """Take in texts; blocks of like size are merged, so that there are few."""
        size = len(texts.lengths)
        if not size:
            return
        places = np.arange(len(self), len(self) + size)
        self._coded += self._code(texts)
        while self._blocks and len(self._blocks[-1][1]) <= 2 * len(places):
            block, before = self._blocks.pop()
            texts, places = block.texts + texts, np.concatenate([before, places])
        self._blocks.append((_Block(texts, self._measure), places))

    def _near(
        self,
        new: _Texts,
        coded: list[str | list[int]],
        block: _Block,
        places: Ints,
        others: list[str | list[int]] | None = None,
    ) -> tuple[list[int], list[int], list[float]]:
        """The pairs of a new text and one of a block that reach the threshold, with scores."""
        others = self._coded if others is None else others
        rows, at = block.candidates(new)
        found = places[at]
        left = [coded[row] for row in rows]
        right = [others[place] for place in found]
        if len(self._numbers) > _CODE_POINTS:  # some of them are lists
            left, right = [_listed(one) for one in left], [_listed(one) for one in right]
        common = self._compare(left, right, scorer=self._common, dtype=np.int64)
        m, n = new.lengths[rows], block.texts.lengths[at]
        near = common >= self._measure.needed(m, n)
        scores = 2 * common / (m + n)
        return rows[near].tolist(), found[near].tolist(), scores[near].tolist()


class _Block:
    """Texts with the postings of their rarest tokens."""

    def __init__(self, texts: _Texts, measure: _Measure) -> None:
        self.texts, self._measure = texts, measure
        row, key = _bags(texts)
        self._keys, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
        rank = np.empty(len(self._keys), dtype=np.int64)
        rank[np.argsort(counts, kind="stable")] = np.arange(len(self._keys))
        self._rank = rank
        row, place, ranks = self._head(texts, row, rank[inverse])
        order = np.argsort(ranks, kind="stable")
        self._rows, self._places = row[order], place[order]
        self._starts = _starts(np.bincount(ranks, minlength=len(self._keys)))

    def _head(self, texts: _Texts, row: Ints, rank: Ints) -> tuple[Ints, Ints, Ints]:
        """Row, place and rank of the tokens that a text is looked up by, rarest first."""
        order = np.lexsort((rank, row))
        place = np.arange(len(row)) - np.repeat(texts.starts[:-1], texts.lengths)
        kept = place < np.repeat(self._measure.prefix(texts.lengths), texts.lengths)
        return row[order][kept], place[kept], rank[order][kept]

    def candidates(self, new: _Texts) -> tuple[Ints, Ints]:
        """The pairs (new text, text of the block) that the filters pass."""
        row, key = _bags(new)
        at = np.minimum(np.searchsorted(self._keys, key), max(len(self._keys) - 1, 0))
        is_known = self._keys[at] == key if len(self._keys) else np.zeros(len(key), dtype=bool)
        rank = np.where(is_known, self._rank[at], -1) if len(self._keys) else -np.ones_like(key)
        row, place, rank = self._head(new, row, rank)
        known = rank >= 0
        row, place, rank = row[known], place[known], rank[known]
        counts = self._starts[rank + 1] - self._starts[rank]
        ends = np.cumsum(counts)
        found = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))]
        start = 0
        while start < len(row):
            room = (ends[start - 1] if start else 0) + _HITS
            stop = max(start + 1, int(np.searchsorted(ends, room, side="right")))
            # Whole texts together: what one shares must be counted in one go.
            first = row[min(stop, len(row) - 1)]
            if stop < len(row) and first > row[start]:
                stop = int(np.searchsorted(row, first))
            elif stop < len(row):
                stop = int(np.searchsorted(row, first, side="right"))
            cut = slice(start, stop)
            found.append(self._pairs(new, row[cut], place[cut], rank[cut], counts[cut]))
            start = stop
        return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])

    def _pairs(
        self, new: _Texts, row: Ints, place: Ints, rank: Ints, counts: Ints
    ) -> tuple[Ints, Ints]:
        hits = _spans(self._starts[rank], counts)
        left, right = np.repeat(row, counts), self._rows[hits]
        m, n = new.lengths[left], self.texts.lengths[right]
        fits = np.minimum(m, n) >= self._measure.needed(m, n)
        left, right = left[fits], right[fits]
        rest_left = (m - np.repeat(place, counts))[fits]
        rest_right = (n - self._places[hits])[fits]
        # Hits of a text come rarest token first, so a stable sort leaves the last one shared last.
        pair = left * len(self.texts.lengths) + right
        order = np.argsort(pair, kind="stable")
        pair = pair[order]
        last = np.flatnonzero(np.diff(pair, append=-1))
        shared = np.diff(last, prepend=-1)
        at = order[last]
        most = shared + np.minimum(rest_left[at], rest_right[at]) - 1
        left, right = left[at], right[at]
        passes = most >= self._measure.needed(new.lengths[left], self.texts.lengths[right])
        return left[passes], right[passes]


def _bags(texts: _Texts) -> tuple[Ints, Ints]:
    """Row and number of every (token, how often it came before in its text), by row."""
    row = np.repeat(np.arange(len(texts.lengths)), texts.lengths)
    order = np.lexsort((texts.tokens, row))
    token = texts.tokens[order]
    is_first = np.ones(len(token), dtype=bool)
    is_first[1:] = (token[1:] != token[:-1]) | (row[1:] != row[:-1])
    at = np.arange(len(token))
    occurrence = at - np.maximum.accumulate(np.where(is_first, at, 0))
    return row, token * _OCCURRENCES + occurrence


def _starts(lengths: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _spans(starts: Ints, lengths: Ints) -> Ints:
    """The numbers of all spans, one span after another."""
    before = _starts(lengths)
    return np.arange(before[-1]) - np.repeat(before[:-1] - starts, lengths)


def _listed(text: str | list[int]) -> list[int]:
    return [ord(one) for one in text] if isinstance(text, str) else text


def _better(known: Near | None, other: Near) -> Near:
    if known is None or (-other.score, other.place) < (-known.score, known.place):
        return other
    return known


def rouge_l(said: Sequence[str], wanted: Sequence[str]) -> float:
    """ROUGE-L of two lists of tokens, 0 to 1; two without a token are equal.

    Raises:
        StepError: rapidfuzz is not installed.

    Example:
        >>> rouge_l(["a", "red", "house"], ["red", "house"])
        0.8
    """
    both = len(said) + len(wanted)
    return 2 * _comparer()[1](said, wanted) / both if both else 1.0


def mean_rouge(texts: Sequence[str]) -> float:
    """The mean ROUGE-L of all pairs of two or more texts; two without a token are equal.

    Raises:
        StepError: rapidfuzz is not installed.

    Example:
        >>> mean_rouge(["red and green", "red, green", "blue"])
        0.26666666666666666
    """
    rows = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    listed = rows.select(tokens(folded(pl.col("text"))))["text"].to_list()
    scores = [rouge_l(one, other) for i, one in enumerate(listed) for other in listed[:i]]
    return sum(scores) / len(scores)


def _comparer() -> tuple[Any, Any]:
    """Compare many pairs, and the length of the longest common subsequence of one."""
    try:
        from rapidfuzz import process
        from rapidfuzz.distance import LCSseq
    except ImportError as error:
        what = "rapidfuzz, which compares texts, is not installed"
        raise StepError("ROUGE-L", what, fix="uv add 'databuild[generate]'") from error
    return process.cpdist, LCSseq.similarity
