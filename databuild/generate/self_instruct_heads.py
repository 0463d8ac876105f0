"""Which tasks stand in the next prompts of `generate.self_instruct`: groups, quotas, heads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from databuild.schema.identity import derive_seed, digest_text
from databuild.text.apportion import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.generate.self_instruct_texts import Type


@dataclass(frozen=True)
class Task:
    """A task that may stand in a head: a seed, or one that was made and kept."""

    text: str
    opening: str
    row_id: str | None = None
    """The row of a seed; None of a task that was made."""


@dataclass(frozen=True)
class Head:
    """The tasks of one prompt."""

    id: str
    group: Group
    tasks: tuple[Task, ...]

    @property
    def parents(self) -> list[str]:
        """The rows of its seeds, sorted."""
        return sorted(task.row_id for task in self.tasks if task.row_id is not None)

    @property
    def made(self) -> list[str]:
        """The texts of its tasks that are no seeds."""
        return [task.text for task in self.tasks if task.row_id is None]


@dataclass(frozen=True)
class Candidate:
    """A task that was made."""

    text: str
    opening: str
    head: Head
    type: Type | None = None

    @property
    def id(self) -> str:
        """What its requests are named after: no two that are new say the same."""
        return digest_text(self.text)[:16]


@dataclass
class Group:
    """Seeds of one topic and language, what was made from them, and how much is wanted."""

    topic: str | None
    language: str
    seeds: list[Task]
    wanted: int = 0
    kept: int = 0
    heads: int = 0
    made: list[Task] = field(default_factory=list)
    past: list[tuple[int, int]] = field(default_factory=list)
    """(candidates, rows kept) of each of its rounds."""
    waiting: list[Candidate] = field(default_factory=list)
    """Tasks that are new, and wait for their example."""
    is_exhausted: bool = False
    uses: Counter[str] = field(default_factory=Counter)
    """How often each task stood in a head."""

    @property
    def name(self) -> str:
        """What facts call it."""
        return self.language if self.topic is None else f"{self.topic}, {self.language}"

    @property
    def missing(self) -> int:
        """How many rows it still wants."""
        return 0 if self.is_exhausted else max(0, self.wanted - self.kept)

    @property
    def short(self) -> int:
        """How many new tasks it lacks, where each that waits becomes a row."""
        return max(0, self.missing - len(self.waiting))

    def take(self) -> list[Candidate]:
        """Take as many of the tasks that wait as rows are missing: so few are made in vain."""
        n = self.missing
        taken, self.waiting = self.waiting[:n], self.waiting[n:]
        return taken

    def keep(self, task: Candidate) -> None:
        """Note a row of a task, which may stand in heads from now on."""
        self.kept += 1
        if not self.made or self.made[-1].text != task.text:  # its rows come one after another
            self.made.append(Task(task.text, task.opening))

    def note(self, candidates: int, kept: int, floor: float, window: int) -> None:
        """Note a round; the group is given up when `window` rounds together kept too little."""
        self.past.append((candidates, kept))
        last = self.past[-window:]
        if len(last) == window:
            made, good = (sum(column) for column in zip(*last, strict=True))
            self.is_exhausted = good <= floor * made


def grouped(
    seeds: Sequence[tuple[Task, str | None, str]], target: int, shares: Mapping[str, float]
) -> list[Group]:
    """Put seeds with equal topic and language together, and divide the target among them.

    A topic's share is that of `shares`, or without any its share of the seeds; within a topic the
    languages share by their seeds. A topic with a share and no seeds is a group that is given up,
    so that what it lacks is said.
    """
    held: dict[tuple[str, str], Group] = {}
    for task, topic, language in seeds:
        if not shares or topic in shares:
            group = held.setdefault((topic or "", language), Group(topic, language, []))
            group.seeds.append(task)
    groups = [held[key] for key in sorted(held)]
    lacking = sorted(set(shares) - {topic for topic, _ in held})
    groups += [Group(topic, "no seeds", [], is_exhausted=True) for topic in lacking]
    of_topic: Counter[str | None] = Counter()
    for group in groups:
        of_topic[group.topic] += len(group.seeds)
    weights = [
        shares[str(group.topic)] * len(group.seeds) / (of_topic[group.topic] or 1)
        if shares and group.seeds
        else shares.get(str(group.topic), float(len(group.seeds)))
        for group in groups
    ]
    for group, wanted in zip(groups, largest_remainder(target, weights), strict=True):
        group.wanted = wanted
    return groups


def next_heads(
    groups: Sequence[Group], number: int, most: int, sizes: tuple[int, int], seed: int
) -> list[Head]:
    """Draw the heads of a round: as many as what is missing asks for, at most `most`.

    How many rows a head brings is taken from the group's rounds before, 1 at least, and guessed as
    4 in the first.

    A head has `sizes[1]` tasks that were made, where there are so many, and seeds up to the sum of
    both. They are drawn without putting back (Efraimidis and Spirakis 2006), a seed with weight
    1 / (1 + uses), a made task with that divided by how many made tasks begin like it. So no task
    and no way to begin one takes over.
    """
    live = [group for group in groups if group.short]
    if not live:
        return []
    asked = [-(-group.short // _yield_of(group)) for group in live]
    each = largest_remainder(min(most, sum(asked)), asked)
    heads: list[Head] = []
    for group, count in zip(live, each, strict=True):
        begun = Counter(task.opening for task in group.made)
        made = _Urn(group, group.made, [1 / begun[task.opening] for task in group.made])
        seeds = _Urn(group, group.seeds, [1.0] * len(group.seeds))
        for _ in range(count):
            name = f"r{number}-h{len(heads)}"
            rng = np.random.default_rng(derive_seed(seed, "head", name))
            tasks = made.draw(sizes[1], rng)
            tasks += seeds.draw(sum(sizes) - len(tasks), rng)
            order = rng.permutation(len(tasks))
            heads.append(Head(name, group, tuple(tasks[int(place)] for place in order)))
            group.heads += 1
    return heads


def _yield_of(group: Group) -> int:
    return max(1, group.kept // group.heads) if group.heads else 4


class _Urn:
    """Tasks of a group to draw from in one round; every draw makes a task rarer."""

    def __init__(self, group: Group, tasks: Sequence[Task], weights: Sequence[float]) -> None:
        self._group, self._tasks = group, tasks
        self._weights = np.asarray(weights, dtype=np.float64)
        self._uses = np.array([group.uses[task.text] for task in tasks], dtype=np.float64)

    def draw(self, n: int, rng: np.random.Generator) -> list[Task]:
        """Draw n different tasks, or all where there are fewer."""
        n = min(n, len(self._tasks))
        if not n:
            return []
        keys = -np.log(rng.random(len(self._tasks))) * (1 + self._uses) / self._weights
        found = np.argpartition(keys, n - 1)[:n]
        found = found[np.argsort(keys[found], kind="stable")]
        self._uses[found] += 1
        tasks = [self._tasks[int(place)] for place in found]
        self._group.uses.update(task.text for task in tasks)
        return tasks
