"""What the licences of a version's sources ask for together. A reading aid, not legal advice.

The table is small on purpose: licences under which data sets are published, by SPDX identifier,
with what their texts say of adaptations. An identifier that it does not have is told as not known;
it is never guessed, and neither is an expression such as `MIT OR GPL-3.0-only`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from databuild.errors import RecipeError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOT_ADVICE = "This is a reading of licence identifiers by a table of rules. It is not legal advice."
UNKNOWN, CONFLICT = "unknown", "conflict"
SHARE_ALIKE, NON_COMMERCIAL, NO_DERIVATIVES = "share-alike", "non-commercial", "no-derivatives"
ATTRIBUTION = "attribution"
RULES = (ATTRIBUTION, SHARE_ALIKE, NON_COMMERCIAL, NO_DERIVATIVES)


@dataclass(frozen=True)
class Terms:
    """What one licence asks of those who pass on what they made of the data."""

    spdx: str
    rules: tuple[str, ...] = ()
    """Of `RULES`."""
    onto: tuple[str, ...] = ()
    """With share-alike: the licences under which an adaptation may be passed on."""

    @property
    def hub(self) -> str:
        """The identifier that the Hugging Face hub uses."""
        return self.spdx.lower()


def _table() -> Mapping[str, Terms]:
    found = [Terms(name) for name in ("CC0-1.0", "PDDL-1.0", "Unlicense", "0BSD", "MIT-0")]
    notice = ("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "ODC-By-1.0",
              "CDLA-Permissive-1.0", "CDLA-Permissive-2.0")  # fmt: skip
    found += [Terms(name, (ATTRIBUTION,)) for name in notice]
    numbers = ("2.0", "2.5", "3.0", "4.0")
    for n, number in enumerate(numbers):
        free, shared = (ATTRIBUTION,), (ATTRIBUTION, SHARE_ALIKE)
        # Each says that an adaptation may bear a later version with the same elements.
        later = numbers[n:]
        found += [
            Terms(f"CC-BY-{number}", free),
            Terms(f"CC-BY-NC-{number}", (*free, NON_COMMERCIAL)),
            Terms(f"CC-BY-ND-{number}", (*free, NO_DERIVATIVES)),
            Terms(f"CC-BY-NC-ND-{number}", (*free, NON_COMMERCIAL, NO_DERIVATIVES)),
            Terms(f"CC-BY-SA-{number}", shared, tuple(f"CC-BY-SA-{one}" for one in later)),
            Terms(
                f"CC-BY-NC-SA-{number}",
                (*shared, NON_COMMERCIAL),
                tuple(f"CC-BY-NC-SA-{one}" for one in later),
            ),
        ]
    for name in ("ODbL-1.0", "CDLA-Sharing-1.0"):
        found.append(Terms(name, (ATTRIBUTION, SHARE_ALIKE), (name,)))
    return {terms.spdx.lower(): terms for terms in found}


TABLE: Mapping[str, Terms] = _table()


@dataclass(frozen=True)
class Combined:
    """What the sources' licences ask for together."""

    strictest: tuple[str, ...]
    """The identifiers that ask for most; empty where one is unknown or they contradict."""
    rules: tuple[str, ...]
    """Everything that any of the known ones asks for."""
    unknown: tuple[str, ...]
    """The sources whose terms are not known, each with the reason."""
    conflicts: tuple[str, ...]
    """What cannot be kept together, in words."""

    @property
    def hub(self) -> list[str]:
        """What the card's head says under `license`."""
        if self.unknown:
            return [UNKNOWN]
        return [TABLE[one.lower()].hub for one in self.strictest] or ["other"]


def combine(licence: Mapping[str, str | None]) -> Combined:
    """Read the licences of a version's sources together.

    Strictest is the licence under which the whole may be passed on: with share-alike sources the
    one that all of them allow, if it asks for all that the others ask for; else those that ask for
    most. What forbids adaptations contradicts any version, because rows were chosen and changed.

    Args:
        licence: The SPDX identifier of each source, in any case; None where nobody said.

    Example:
        >>> combine({"a": "CC-BY-4.0", "b": "CC-BY-SA-3.0", "c": "mit"}).strictest
        ('CC-BY-SA-3.0',)
        >>> combine({"a": "CC-BY-SA-4.0", "b": "CC-BY-NC-4.0"}).conflicts
        ('share-alike of CC-BY-SA-4.0 does not allow what CC-BY-NC-4.0 adds: non-commercial',)
        >>> combine({"a": "MIT", "b": None}).unknown
        ('b: nobody said',)
    """
    unknown = []
    known: dict[str, Terms] = {}
    for source, text in sorted(licence.items()):
        terms = TABLE.get(text.strip().lower()) if text else None
        if terms is None:
            unknown.append(
                f"{source}: {f'{text!r} is not in the table' if text else 'nobody said'}"
            )
        else:
            known[terms.spdx] = terms
    rules = {rule for terms in known.values() for rule in terms.rules}
    strictest, conflicts = _strictest(list(known.values()))
    return Combined(
        strictest=() if unknown or conflicts else strictest,
        rules=tuple(rule for rule in RULES if rule in rules),
        unknown=tuple(unknown),
        conflicts=conflicts,
    )


def _strictest(known: list[Terms]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    conflicts = [
        f"{terms.spdx} does not let adaptations be passed on, and a version is one"
        for terms in known
        if NO_DERIVATIVES in terms.rules
    ]
    sharing = [terms for terms in known if terms.onto]
    allowed = [one for one in (sharing[0].onto if sharing else ())
               if all(one in terms.onto for terms in sharing)]  # fmt: skip
    if sharing and not allowed:
        names = " and ".join(terms.spdx for terms in sharing)
        conflicts.append(f"{names} each ask that the whole bear their own licence")
    for terms in known:
        more = [r for r in terms.rules if sharing and r not in sharing[0].rules]
        more = [rule for rule in more if rule != NO_DERIVATIVES]
        if more and allowed:
            conflicts.append(
                f"share-alike of {sharing[0].spdx} does not allow what {terms.spdx} adds: "
                f"{', '.join(more)}"
            )
    if sharing:
        return tuple(allowed[:1]), tuple(conflicts)
    most = max((len(terms.rules) for terms in known), default=0)
    return tuple(t.spdx for t in known if len(t.rules) == most), tuple(conflicts)


def refusals(licence: Mapping[str, str | None], refuse: Iterable[str]) -> list[str]:
    """Which of the things that a recipe refuses are there.

    Args:
        licence: The licence of each source.
        refuse: Rules (`non-commercial` ...), `unknown`, `conflict`, or SPDX identifiers.

    Example:
        >>> refusals({"web": "CC-BY-NC-4.0"}, ["non-commercial", "unknown"])
        ['non-commercial: CC-BY-NC-4.0 of web']
    """
    found = combine(licence)
    told = []
    for word in refuse:
        if word == UNKNOWN:
            told += [f"unknown of {one}" for one in found.unknown]
        elif word == CONFLICT:
            told += list(found.conflicts)
        else:
            for source, text in sorted(licence.items()):
                terms = TABLE.get((text or "").strip().lower())
                if terms and (word in terms.rules or word.lower() == terms.spdx.lower()):
                    told.append(f"{word}: {terms.spdx} of {source}")
    return told


def check_words(words: Iterable[str], where: str) -> None:
    """Find a word of `refuse_licences` that means nothing.

    Raises:
        RecipeError: It is neither a rule nor an identifier of the table.
    """
    known = [UNKNOWN, CONFLICT, *RULES, *(terms.spdx for terms in TABLE.values())]
    for word in words:
        if word.lower() not in {one.lower() for one in known}:
            what = f"refuse_licences names {word!r}; {nearest(word, known)}"
            raise RecipeError(where, what, fix="name a rule, `unknown`, `conflict` or an SPDX id")
