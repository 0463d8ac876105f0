"""One table described, or two described side by side with the same bins."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.profiling.facts import Number, Profile, Shift, Spread
from databuild.profiling.flags import Clustered, ClusterRows, Flags, Values
from databuild.profiling.gather import gather, in_groups, joined
from databuild.profiling.spread import (
    edges_of,
    finite,
    kolmogorov,
    spread_of,
    stability,
    stability_of_numbers,
)
from databuild.profiling.survey import survey, told_by
from databuild.profiling.talks import Chosen, Talks, has_pairs
from databuild.profiling.texts import Found, Texts

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from databuild.profiling.facts import Column
    from databuild.profiling.gather import Gatherer
    from databuild.profiling.table import Table

_MOST_SHOWN = 3


@dataclass
class Draft:
    """A profile that is being made."""

    table: Table
    rows: int
    columns: list[Column]
    n_duplicate_rows: int
    limit: int
    facts: dict[str, list[Any]] = field(default_factory=dict)
    pairs: Any = None

    def kinds(self) -> dict[str, str]:
        """How each column is read."""
        return {column.name: column.kind for column in self.columns}

    def note(self, what: str, *facts: Any) -> None:
        """Keep facts for one field of the profile."""
        self.facts.setdefault(what, []).extend(facts)

    def profile(self) -> Profile:
        """The finished profile."""
        return Profile(
            table=self.table.name,
            place=self.table.place,
            rows=self.rows,
            n_duplicate_rows=self.n_duplicate_rows,
            columns=tuple(self.columns),
            pairs=self.pairs,
            losses=self.table.losses,
            shortfalls=self.table.shortfalls,
            **{name: tuple(facts) for name, facts in self.facts.items()},
        )


@dataclass(frozen=True)
class Task:
    """Something to gather from one table, or the same from two, and what to make of it."""

    gatherers: tuple[Gatherer | None, ...]
    finish: Callable[[], Iterable[Task]]
    """Notes the facts; what it needs another reading for comes back as tasks."""

    @property
    def bytes_per_row(self) -> int:
        """What it keeps until it is finished."""
        return sum(one.bytes_per_row for one in self.gatherers if one)


def describe(tables: Sequence[Table], limit: int = 3) -> tuple[list[Profile], list[Shift]]:
    """Describe one table; or two, and how far their distributions lie apart.

    Args:
        tables: One or two; of two, the common columns have common types (`aligned`).
        limit: Examples for each finding.

    Cost:
        Kept are up to 24 bytes a row for as many columns as fit into 256 MiB at once (at least
        one), and the texts of one part (65,536 rows) at a time. A million rows of 400 characters
        took 11 CPU seconds and 377 MiB in all, two million 17 and 490; a difference of two tables
        of a million 24 and 553 (tests/bench/profiling.json). Texts that are not ASCII cost more,
        for Unicode NFKC.
    """
    drafts = [Draft(table, *survey(table), limit) for table in tables]
    _harmonise(drafts)
    shifts: list[Shift] = []
    waiting = list(_tasks(drafts, shifts))
    while waiting:
        later: list[Task] = []
        for group in in_groups(_taken(waiting), max(draft.rows for draft in drafts)):
            for number, draft in enumerate(drafts):
                wanted = (task.gatherers[number] for task in group)
                gather(draft.table, [one for one in wanted if one is not None])
            for task in group:
                later += task.finish()
            group.clear()  # what they kept is let go before the next ones begin
        waiting = later
    return [draft.profile() for draft in drafts], shifts


def _taken(tasks: list[Task]) -> Iterator[Task]:
    """The tasks in order, each leaving the list."""
    tasks.reverse()
    while tasks:
        yield tasks.pop()


def _harmonise(drafts: list[Draft]) -> None:
    """A column that is text in one of two tables is text in both, however few values it has."""
    texts = {name for draft in drafts for name, kind in draft.kinds().items() if kind == "text"}
    for draft in drafts:
        draft.columns = [
            replace(c, kind="text") if c.name in texts and c.kind in ("category", "id") else c
            for c in draft.columns
        ]


def _tasks(drafts: list[Draft], shifts: list[Shift]) -> Iterable[Task]:
    names = dict.fromkeys(column.name for draft in drafts for column in draft.columns)
    for name in names:
        kinds = [draft.kinds().get(name, "") for draft in drafts]
        for makes, meant in _TASKS:
            if any(kind in meant for kind in kinds):
                chosen = [draft if kind in meant else None
                          for draft, kind in zip(drafts, kinds, strict=True)]  # fmt: skip
                yield makes(chosen, name, shifts)
    if any(has_pairs(draft.table) for draft in drafts):
        yield _pairs([draft if has_pairs(draft.table) else None for draft in drafts], shifts)


def _texts(drafts: list[Draft | None], name: str, shifts: list[Shift]) -> Task:
    read = [Texts(draft.table, name) if draft else None for draft in drafts]

    def finish() -> Iterable[Task]:
        chars = _spreads([r.chars if r else None for r in read], name, "chars", shifts)
        words = _spreads([r.words if r else None for r in read], name, "words", shifts)
        found: list[Found | None] = []
        for draft, one in zip(drafts, read, strict=True):
            most = min(draft.limit, _MOST_SHOWN) if draft else 0
            found.append(Found(draft.table, name, one.repeated(most)) if draft and one else None)
        facts = [
            one.fact((), chars[number], words[number]) if one else None
            for number, one in enumerate(read)
        ]
        read.clear()

        def show() -> Iterable[Task]:
            for draft, fact, some in zip(drafts, facts, found, strict=True):
                if draft and fact and some:
                    draft.note("texts", replace(fact, most_repeated=some.repeated()))
            return ()

        yield Task(tuple(found), show)

    return Task(tuple(read), finish)


def _talks(drafts: list[Draft | None], name: str, shifts: list[Shift]) -> Task:
    read = [Talks(draft.table, name) if draft else None for draft in drafts]

    def finish() -> Iterable[Task]:
        turns = _spreads([r.turns if r else None for r in read], name, "turns", shifts)
        for number, (draft, one) in enumerate(zip(drafts, read, strict=True)):
            fact = one.fact(turns[number]) if one else None
            if draft and fact and fact.n:
                draft.note("conversations", fact)
        return ()

    return Task(tuple(read), finish)


def _numbers(drafts: list[Draft | None], name: str, shifts: list[Shift]) -> Task:
    read = [_Numbers(name) if draft else None for draft in drafts]

    def finish() -> Iterable[Task]:
        spreads = _spreads([r.values if r else None for r in read], name, "values", shifts)
        read.clear()
        for draft, spread in zip(drafts, spreads, strict=True):
            if draft and spread:
                draft.note("numbers", Number(name, spread))
        return ()

    return Task(tuple(read), finish)


def _flags(drafts: list[Draft | None], name: str, shifts: list[Shift]) -> Task:
    del shifts  # a fault's share stands in both profiles
    read = []
    for draft in drafts:
        column = next((c for c in draft.columns if c.name == name), None) if draft else None
        text = told_by(name, draft.columns) if draft else None
        read.append(Flags(draft.table, column, text, draft.limit) if draft and column else None)

    def finish() -> Iterable[Task]:
        for draft, one in zip(drafts, read, strict=True):
            if draft and one:
                draft.note("faults", *one.faults())
        return ()

    return Task(tuple(read), finish)


def _values(drafts: list[Draft | None], name: str, shifts: list[Shift]) -> Task:
    read = []
    for draft in drafts:
        column = next((c for c in draft.columns if c.name == name), None) if draft else None
        read.append(Values(column) if column else None)

    def finish() -> Iterable[Task]:
        for draft, one in zip(drafts, read, strict=True):
            told = one.strata() if one else None
            if draft and told:
                draft.note("strata", told)
        if len(read) == 2 and read[0] and read[1] and read[0].strata() and read[1].strata():
            shift = _moved(name, read[0].counts, read[1].counts)
            shifts.extend([shift] if shift else [])
        return ()

    return Task(tuple(read), finish)


def _clusters(drafts: list[Draft | None], name: str, shifts: list[Shift]) -> Task:
    del shifts  # the names of clusters mean nothing in another table
    read = [Clustered(name) if draft else None for draft in drafts]

    def finish() -> Iterable[Task]:
        found: list[ClusterRows | None] = []
        for draft, one in zip(drafts, read, strict=True):
            if draft and one:
                largest = one.largest(min(draft.limit, _MOST_SHOWN))
                text = told_by(name, draft.columns)
                found.append(ClusterRows(draft.table, name, text, largest))
            else:
                found.append(None)

        def show() -> Iterable[Task]:
            for draft, one, some in zip(drafts, read, found, strict=True):
                if draft and one and some:
                    draft.note("clusters", one.fact(some.repeated()))
            return ()

        yield Task(tuple(found), show)

    return Task(tuple(read), finish)


def _pairs(drafts: list[Draft | None], shifts: list[Shift]) -> Task:
    read = [Chosen(draft.table) if draft else None for draft in drafts]

    def finish() -> Iterable[Task]:
        name = "chosen / rejected"
        ratios = _spreads([r.ratios if r else None for r in read], name, "length ratio", shifts)
        for draft, one, ratio in zip(drafts, read, ratios, strict=True):
            if draft and one:
                draft.pairs = one.fact(ratio)
        return ()

    return Task(tuple(read), finish)


_TASKS: tuple[tuple[Callable[[list[Draft | None], str, list[Shift]], Task], tuple[str, ...]], ...]
_TASKS = (
    (_texts, ("text", "messages")),
    (_talks, ("messages",)),
    (_numbers, ("number",)),
    (_flags, ("flag", "faults", "spans")),
    (_values, ("category", "language", "list")),
    (_clusters, ("cluster",)),
)


class _Numbers:
    """The values of one numeric column."""

    bytes_per_row = 8

    def __init__(self, column: str) -> None:
        self.reads = (column,)
        self._values: list[pl.Series] = []

    def add(self, part: pl.DataFrame) -> None:
        self._values.append(part[self.reads[0]].cast(pl.Float64, strict=False))

    @property
    def values(self) -> pl.Series:
        return joined(self._values, pl.Float64)


def _spreads(
    values: Sequence[pl.Series | None], column: str, of: str, shifts: list[Shift]
) -> list[Spread | None]:
    """Spreads with common edges; of two, how far they lie apart."""
    known = [finite(one) if one is not None else None for one in values]
    edges = edges_of([one for one in known if one is not None])
    if len(known) == 2:
        before_N, after_M = known
        if before_N is not None and after_M is not None and before_N.size and after_M.size:
            distance, noise = kolmogorov(before_N, after_M)
            psi = stability_of_numbers(before_N, after_M)
            medians = [float(pl.Series(one).median() or 0) for one in (before_N, after_M)]  # type: ignore[arg-type]
            shifts.append(Shift(column, of, distance, psi, noise, *medians))
    return [spread_of(one, edges) if one is not None else None for one in values]


def _moved(column: str, before: Counter[str | None], after: Counter[str | None]) -> Shift | None:
    """How far two categories lie apart."""
    names = list(before | after)
    a, b = ([float(counts[name]) for name in names] for counts in (before, after))
    if not sum(a) or not sum(b):
        return None
    apart = sum(abs(x / sum(a) - y / sum(b)) for x, y in zip(a, b, strict=True)) / 2
    return Shift(column, "shares", apart, stability(a, b), 0.0)
