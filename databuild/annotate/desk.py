"""Where people answer: one protocol for every annotation tool, and the choice of one.

A desk puts records before people and tells what they said. It holds nothing that is not in the vote
log or on the page, so a tool can be exchanged, or lost, without a vote.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from databuild.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.annotate.log import Heard, VoteLog
    from databuild.annotate.records import Record
    from databuild.annotate.tasks import Task

Tool = Literal["argilla", "files", "label_studio"]
TOOLS: tuple[Tool, ...] = ("argilla", "files", "label_studio")


@dataclass(frozen=True)
class Asked:
    """What is put before people."""

    dataset: str
    task: Task
    records: Sequence[Record]
    """In the order in which they are to be answered."""
    assist: str = ""
    """Show what this margin of a record says as the answer that is selected beforehand."""


@dataclass
class Found:
    """What a desk told: votes, and what it told that is none, counted by reason."""

    votes: list[Heard] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)

    def pass_over(self, reason: str) -> None:
        """Count something that is no vote."""
        self.passed_over[reason] = self.passed_over.get(reason, 0) + 1


class UnreachableError(ServiceError):
    """The tool is not there now; the vote log is, and goes on alone."""


class Desk(Protocol):
    """An annotation tool."""

    source: str
    """What the vote log calls it."""

    def push(self, asked: Asked) -> Mapping[str, int]:
        """Put records before people; what is there already stays as it is.

        Returns:
            How many records are `new` there, and how many were `there` already.

        Raises:
            ServiceError: The tool cannot be reached, or refuses. What was put is put: the next
                call goes on with the rest.
        """

    def pull(self, dataset: str, task: Task, records: Mapping[str, Record]) -> Found:
        """Tell what people said so far of these records (by hash).

        Raises:
            ServiceError: The tool cannot be reached, or refuses.
        """

    def place(self, dataset: str) -> str:
        """Where people answer, in words: an address or a folder."""

    def places(self, dataset: str, people: Sequence[str]) -> Mapping[str, str]:
        """Where each of these people answers what is assigned to them, by user name.

        Raises:
            ServiceError: The tool cannot be reached, or refuses.
        """


def desk_of(tool: Tool, log: VoteLog, server: str | None = None) -> Desk:
    """The desk of a tool. Nothing is asked of it yet."""
    if tool == "files":
        from databuild.annotate.files import FileDesk

        return FileDesk(log.folder)
    if tool == "label_studio":
        from databuild.annotate.label_studio import LabelStudioDesk

        return LabelStudioDesk(log.folder)
    from databuild.annotate.argilla import ArgillaDesk

    return ArgillaDesk(server)
