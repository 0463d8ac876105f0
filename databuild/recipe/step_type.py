"""What must be known of a step to check a recipe, without the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from databuild.recipe.options import StepConfig


class StepType(Protocol):
    """What must be known of a step to check a recipe; `engine.step.Step` is one."""

    @property
    def kind(self) -> str:
        """What it does to rows."""

    @property
    def sees(self) -> str:
        """What it must see at once."""

    @property
    def config(self) -> type[StepConfig]:
        """The model of its options."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its inputs, the primary one first."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The resources that it needs."""

    @property
    def optional(self) -> frozenset[str]:
        """The inputs that it can do without."""

    @property
    def is_open(self) -> bool:
        """Whether it takes further inputs under any name."""

    @property
    def carries(self) -> bool:
        """Whether children keep their parent's columns."""

    @property
    def peeks(self) -> Callable[..., tuple[str, ...] | None] | None:
        """How a source tells its columns from its files."""

    @property
    def checks(self) -> Callable[..., None] | None:
        """What can be found wrong with the files that its options name."""

    def columns_read(self, config: StepConfig, slot: str | None = None) -> tuple[str, ...]:
        """The columns that it needs, of one input or of the primary one."""

    def slots(self, given: Iterable[str]) -> tuple[str, ...]:
        """The names of all inputs, given further ones, in their order."""

    def columns_optional(self, config: StepConfig) -> tuple[str, ...]:
        """The columns that it reads, and a produce step makes, where its input has them."""

    def columns_mirrored(self, config: StepConfig) -> Mapping[str, str]:
        """Of the optional columns those that repeat a column of conversations, with that column."""

    def columns_added(self, config: StepConfig) -> tuple[str, ...] | None:
        """The columns that it makes, None where only the data can tell."""

    def parts_kept(self, config: StepConfig) -> tuple[str, ...]:
        """The kept parts of a select."""
