"""Personal data and secrets in a text: typed spans, by pattern, check digit and context.

Only what has a form of its own is found: addresses of mail and machines, numbers with check digits
or a keyword before them, keys, passwords. Names, postal addresses, employers and whatever else is
known only from meaning are not found: that takes a model, which a user's own step can bring
(`fix.mask` takes such spans in its option `spans`).

What is reserved for examples is no one's data and is not reported: mail at example.com and its
like (RFC 2606, RFC 6761), the numbers 555-0100 to 555-0199 (NANPA), addresses that are not global
(RFC 6890: private, loopback, documentation), AWS's documented EXAMPLE keys. Pseudonyms are drawn
from these (`text.pseudonyms`), so a masked text measures as clean.

Speed: a gate, one regular expression in Polars, opens each family of detectors for the rows that
could have it; only those texts are searched one by one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from databuild.text.pii_identity import ACCOUNTS, IDENTITIES
from databuild.text.pii_numbers import NUMBERS
from databuild.text.pii_secrets import SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from databuild.text.pii_detector import Detector

GATES = {
    "at": r"[@＠]",
    "digits": r"[0-9０-９](?:[ .()/\-]{0,3}[0-9０-９]){6}",
    "long": r"[0-9０-９](?:[ .()/\-]{0,3}[0-9０-９]){11}",
    "ip": r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:|::[0-9A-Fa-f]",
    "codes": r"[A-Z]{2}[0-9]{2} ?[0-9A-Z]{2} ?[0-9A-Z]{2}|[A-Z]{2} [0-9]{2} ?[0-9]{2} ?[0-9]{2}"
    r"|[A-Z]{6}[0-9]{2}[A-Z]|[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z]",
    "labels": r"(?i:passport|birth|dob\b|d\.o\.b|born on)|护照|出生|生于|生日",
    "keys": r"AKIA|ASIA|gh[pousr]_|github_pat_|xox[a-z]-|[sr]k[-_]|AIza|-----BEGIN|eyJ|hf_|glpat-"
    r"|npm_|hooks\.slack",
    "passwords": r"(?i:passw|passphrase|pwd|secret|token|api.?key|access.?key|private.?key)"
    r"[^\n]{0,12}[=:：]|(?i:passw[a-z]*|token|secret|key) is |密码|口令|密钥",
}
"""By family the pattern that every text with a span of it matches. Valid in Rust and in Python."""

_COMPILED = {family: re.compile(pattern) for family, pattern in GATES.items()}
# In the order of right: where two spans overlap, the detector that comes first has it.
DETECTORS: tuple[Detector, ...] = (*SECRETS, *ACCOUNTS, *NUMBERS, *IDENTITIES)
TYPES = tuple(dict.fromkeys(detector.type for detector in DETECTORS))
"""Every type of span that can be found."""


class Span(NamedTuple):
    """Where something was found, in code points: `text[start:end]`."""

    start: int
    end: int
    type: str


def find(text: str, types: Iterable[str] = TYPES) -> list[Span]:
    """List the personal data and secrets of a text, in order; spans do not overlap.

    Example:
        >>> find("Write to ann.lee@mail.net or call +44 20 7946 0958.")
        [Span(start=9, end=25, type='email'), Span(start=34, end=50, type='phone')]
        >>> find("pip install torch==2.4.1.0, see 192.168.0.1 and sales@example.com")
        []
    """
    wanted = frozenset(types)
    families = {d.family for d in DETECTORS if d.type in wanted}
    opened = [f for f in families if _COMPILED[f].search(text)]
    return _search(text, [d for d in DETECTORS if d.type in wanted and d.family in opened])


def find_in(texts: pl.Series, types: Iterable[str] = TYPES) -> Iterator[tuple[int, list[Span]]]:
    """Yield (place, spans) for every text in which something is found, in order.

    The same as `find` on each; a null text has nothing.
    """
    wanted = frozenset(types)
    detectors = [d for d in DETECTORS if d.type in wanted]
    families = [f for f in GATES if any(d.family == f for d in detectors)]
    if not families:
        return
    text = pl.col(texts.name)
    opened = (
        texts.to_frame()
        .with_row_index("_row")
        .select(
            "_row",
            text,
            _open=pl.sum_horizontal(
                text.str.contains(GATES[family]).cast(pl.Int64) * (1 << bit)
                for bit, family in enumerate(families)
            ),
        )
        .filter(pl.col("_open") > 0)
    )
    chosen: dict[int, list[Detector]] = {}
    for row, value, mask in opened.iter_rows():
        if mask not in chosen:
            some = {family for bit, family in enumerate(families) if mask >> bit & 1}
            chosen[mask] = [d for d in detectors if d.family in some]
        spans = _search(value, chosen[mask])
        if spans:
            yield row, spans


def _search(text: str, detectors: Iterable[Detector]) -> list[Span]:
    taken: list[Span] = []
    for detector in detectors:
        for match in detector.pattern.finditer(text):
            place = detector.place(match)
            if place is None:
                continue
            start, end = place
            if all(end <= span.start or start >= span.end for span in taken):
                taken.append(Span(start, end, detector.type))
    return sorted(taken)
