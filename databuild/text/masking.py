"""Replace spans of the texts of a row by stand-ins, and put the values back.

Within a row equal values have one stand-in and different values different ones, and no stand-in
stood in the row before: so the list of what was replaced is enough to restore the row exactly.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from databuild.text.pii import Span, find
from databuild.text.pseudonyms import Placeholders

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from databuild.text.pseudonyms import StandIns

Swap = tuple[str, str]
"""(stand-in, value)."""
Masked = tuple[str, list[Swap], list[str]]
"""A masked text, what was replaced in order, and the types of it."""
_ROUNDS = 3
_PLACEHOLDERS = Placeholders()


class RowMask:
    """The stand-ins of one row.

    Args:
        stand_ins: How values are replaced.
        types: What must not be found in a masked text.
        texts: All texts of the row, so that no stand-in is one of their words.

    Example:
        >>> from databuild.text.pseudonyms import Placeholders
        >>> row = RowMask(Placeholders(), ["email"], ["a@x.org, b@x.org, a@x.org"])
        >>> row.mask("a@x.org, b@x.org, a@x.org")[0]
        '[EMAIL], [EMAIL_2], [EMAIL]'
    """

    def __init__(self, stand_ins: StandIns, types: Iterable[str], texts: Sequence[str]) -> None:
        self._stand_ins, self._types = stand_ins, tuple(types)
        self._texts = texts
        self._given: dict[tuple[str, str], str] = {}
        self._taken: dict[str, tuple[str, str]] = {}
        self._numbers: dict[str, int] = {}

    def mask(self, text: str, more: Iterable[Span] = ()) -> Masked:
        """Replace what is found in a text, and `more` spans, until nothing is found."""
        spans = _united([*find(text, self._types), *more])
        plain = False
        rounds = 0
        while True:
            masked, swaps, places = self._replaced(text, spans, plain=plain)
            again = find(masked, self._types)
            if not again:
                return masked, swaps, [span.type for span in spans]
            grown = _united([*spans, *(_back(span, places) for span in again)])
            rounds += 1
            # What still looks like data after this gets stand-ins that look like none.
            plain = plain or grown == spans or rounds >= _ROUNDS
            spans = grown

    def _replaced(
        self, text: str, spans: Sequence[Span], *, plain: bool
    ) -> tuple[str, list[Swap], list[tuple[int, int, int, int]]]:
        """The text, its swaps, and where each stand-in and each value lies."""
        pieces, swaps, places = [], [], []
        at = length = 0
        for span in spans:
            value = text[span.start : span.end]
            made = self._name(span.type, value, plain=plain)
            pieces += [text[at : span.start], made]
            length += span.start - at
            places.append((length, length + len(made), span.start, span.end))
            length += len(made)
            swaps.append((made, value))
            at = span.end
        return "".join([*pieces, text[at:]]), swaps, places

    def _name(self, kind: str, value: str, *, plain: bool) -> str:
        stand_ins = _PLACEHOLDERS if plain else self._stand_ins
        who = (f"{kind} {plain}", stand_ins.same(kind, value))
        # Placeholders are numbered on; a pseudonym must be the value's own.
        numbered = isinstance(stand_ins, Placeholders)
        attempt = self._numbers.get(kind, 0) if numbered else 0
        while who not in self._given:
            made = stand_ins.make(kind, value, attempt)
            attempt += 1
            if made not in self._taken and not any(made in text for text in self._texts):
                self._given[who] = made
                self._taken[made] = who
                self._numbers[kind] = attempt if numbered else self._numbers.get(kind, 0)
        return self._given[who]


def _united(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, those that overlap made one; the type is that of the longest, then first."""
    made: list[Span] = []
    for span in sorted(spans):
        if made and span.start < made[-1].end:
            last = made.pop()
            longer = max(last, span, key=lambda s: s.end - s.start)
            made.append(Span(last.start, max(last.end, span.end), longer.type))
        else:
            made.append(span)
    return made


def _back(span: Span, places: Sequence[tuple[int, int, int, int]]) -> Span:
    """A span of a masked text as one of the original; a stand-in that it touches counts whole."""

    def original(position: int, *, is_end: bool) -> int:
        shift = 0
        for start, end, low, high in places:
            if start < position < end or position == (end if is_end else start):
                return high if is_end else low
            if end <= position:
                shift = high - end
        return position + shift

    return Span(original(span.start, is_end=False), original(span.end, is_end=True), span.type)


def unmasked(texts: Sequence[str | None], swaps: Sequence[Swap]) -> list[str | None]:
    """Put values back where their stand-ins stand.

    Where the stand-ins stand in the order in which they were put, each gets its own value back;
    otherwise (the texts were changed since, or are others of the row) the first value that had it.

    Example:
        >>> unmasked(["Dear [EMAIL]!", None], [("[EMAIL]", "ann@post.org")])
        ['Dear ann@post.org!', None]
    """
    if not swaps:
        return list(texts)
    first = dict(reversed(swaps))
    pattern = re.compile("|".join(re.escape(s) for s in sorted(first, key=len, reverse=True)))
    found = [match for text in texts if text is not None for match in pattern.findall(text)]
    in_order = found == [stand_in for stand_in, _ in swaps]
    values = iter(value for _, value in swaps)

    def put(match: re.Match[str]) -> str:
        return next(values) if in_order else first[match[0]]

    return [None if text is None else pattern.sub(put, text) for text in texts]
