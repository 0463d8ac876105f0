"""Stand-ins for personal data: placeholders, and pseudonyms that keep the form of a value.

A pseudonym comes from a keyed hash (BLAKE2b) of the value: equal values have equal pseudonyms
under one key, and without the key nobody can try values out. Pseudonyms are drawn from what is
reserved for examples (mail at example.com, +1 xxx 555-01xx, documentation addresses) or lack what
makes a number valid, so `text.pii` does not take them for data. These ranges are small for phones
(80,000) and addresses of version 4 (762): two values may share one.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from databuild.text.check_digits import digits
from databuild.text.pii import find

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = (
    "alex", "ariel", "avery", "blake", "cameron", "casey", "charlie", "dana", "devon", "drew",
    "eden", "elliot", "finley", "harper", "hayden", "jamie", "jordan", "kai", "kendall", "lane",
    "logan", "morgan", "noel", "parker", "quinn", "reese", "riley", "robin", "rowan", "sage",
    "skyler", "taylor",
)  # fmt: skip
_NETS = ("192.0.2", "198.51.100", "203.0.113")  # RFC 5737
# A valid number of the type never begins so.
_HEADS = {"us_ssn": "000", "cn_id": "00", "credit_card": "0", "uk_nino": "ZZ", "fr_nir": "0"}
_SHAPED = frozenset({*_HEADS, "iban", "br_cpf", "it_fiscal_code", "in_aadhaar"})
_TRIES = 12


class StandIns(Protocol):
    """A way to replace values."""

    def make(self, kind: str, value: str, attempt: int) -> str:
        """A stand-in for a value; every attempt (from 0) gives another."""

    def same(self, kind: str, value: str) -> str:
        """What is equal for values that share their stand-in."""


class Placeholders:
    """`[EMAIL]`, and `[EMAIL_2]`, `[EMAIL_3]` ... for further attempts.

    Example:
        >>> Placeholders().make("email", "ann@post.org", 1)
        '[EMAIL_2]'
    """

    def make(self, kind: str, value: str, attempt: int) -> str:  # noqa: ARG002 -- as StandIns
        """A placeholder of the type."""
        name = re.sub(r"[^A-Z0-9]+", "_", kind.upper())
        return f"[{name}_{attempt + 1}]" if attempt else f"[{name}]"

    def same(self, kind: str, value: str) -> str:  # noqa: ARG002 -- as StandIns
        """Every spelling has its own."""
        return value


class Pseudonyms:
    """Pseudonyms under a key of 1 to 64 bytes.

    Mail, phones, machine addresses and numbers with check digits keep their form; for everything
    else (keys, passwords, dates, plates, names) it is a placeholder with a keyed suffix.

    Example:
        >>> stand_ins = Pseudonyms(b"a secret")
        >>> stand_ins.make("email", "Ann@post.org", 0) == stand_ins.make("email", "ann@POST.org", 0)
        True
        >>> stand_ins.make("us_ssn", "536-22-8145", 0)[:4]
        '000-'
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, kind: str, value: str, attempt: int) -> str:
        """A pseudonym that `text.pii` does not take for data when it stands alone."""
        same = self.same(kind, value)
        for retry in range(_TRIES):
            made = _shape(kind, value, _draw(self._key, kind, same, attempt * _TRIES + retry))
            if made is not None and not find(made):
                return made
        suffix = _draw(self._key, kind, same, attempt)(1 << 32)
        return f"{Placeholders().make(kind, value, 0)[:-1]}-{suffix:08x}]"

    def same(self, kind: str, value: str) -> str:
        """Case of mail, separators of numbers: what does not tell two values apart."""
        if kind == "email":
            return value.lower().replace("＠", "@")
        if kind in {"phone", "credit_card", "us_ssn"}:
            return digits(value)
        return re.sub(r"\s", "", value).upper() if kind in _SHAPED else value


def _draw(key: bytes, kind: str, value: str, attempt: int) -> Callable[[int], int]:
    """Numbers below a bound, one after another, from the keyed hash."""
    message = f"{kind}\0{attempt}\0{value}".encode("utf-8", "surrogatepass")
    pool = int.from_bytes(blake2b(message, key=key, digest_size=64).digest(), "big")

    def below(bound: int) -> int:
        nonlocal pool
        pool, drawn = divmod(pool, bound)
        return drawn

    return below


def _shape(kind: str, value: str, below: Callable[[int], int]) -> str | None:
    if kind == "email":
        tail = "".join("abcdefghjkmnpqrstuvwxyz23456789"[below(31)] for _ in range(5))
        return f"{_NAMES[below(32)]}.{tail}@example.com"
    if kind == "phone":
        area, line = 200 + below(800), below(100)
        return f"+1 {area} 555 01{line:02d}" if value[0] in "+＋" else f"{area}-555-01{line:02d}"
    if kind == "ip_address":
        if ":" in value:
            return f"2001:db8::{below(1 << 16) + 4096:x}:{below(1 << 16) + 4096:x}"
        return f"{_NETS[below(3)]}.{1 + below(254)}"
    return _like(kind, value, below) if kind in _SHAPED else None


def _like(kind: str, value: str, below: Callable[[int], int]) -> str:
    """Digits for digits and letters for letters, with a head that no valid number has."""
    head = value[:2] + "00" if kind == "iban" else _HEADS.get(kind, "")
    made = []
    place = 0
    for char in value:
        if not char.isalnum():
            made.append(char)
            continue
        drawn = str(below(10)) if char.isdecimal() else chr(ord("A") + below(26))
        made.append(head[place] if place < len(head) else drawn)
        place += 1
    return "".join(made)
