"""What a detector of personal data is: a pattern, and a check that sorts out its false friends."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Place = tuple[int, int]
Check = Callable[[re.Match[str]], Place | bool]


@dataclass(frozen=True)
class Detector:
    """One way to find one type.

    Attributes:
        type: What is found, as it stands in the measured column.
        family: The gate (`text.pii.GATES`) that opens it.
        pattern: Candidates. Group 1 is the span where there is one, else the whole match.
        check: Says of a candidate whether it is one, or where exactly it lies.
    """

    type: str
    family: str
    pattern: re.Pattern[str]
    check: Check | None = None

    def place(self, match: re.Match[str]) -> Place | None:
        """Where the span of a candidate lies, None where it is no span."""
        found = True if self.check is None else self.check(match)
        if isinstance(found, tuple):
            return found
        return match.span(1 if self.pattern.groups else 0) if found else None


def words_before(match: re.Match[str], group: int = 0, chars: int = 32) -> str:
    """The line's text just before a match, in lower case."""
    start = match.start(group)
    return match.string[max(0, start - chars) : start].rpartition("\n")[2].lower()
