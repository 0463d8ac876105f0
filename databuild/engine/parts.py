"""An input that is read part by part: what a step with `sees="parts"` is handed for a table.

It needs all rows, but never all of them in memory: it reads one part, with the columns that it
needs just then, keeps what it made of it (in `scratch`, see `engine.checkpoints`), reads the next,
and at last returns one frame for each part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl


class Readable(Protocol):
    """A table in parts; `engine.table.View` is one."""

    @property
    def n_parts(self) -> int:
        """How many parts there are."""

    @property
    def layout(self) -> str:
        """Which rows lie in which part."""

    @property
    def rows(self) -> int:
        """How many rows there are in all."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""

    def part(self, index: int, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
        """Read one part."""


@dataclass(frozen=True)
class Parts:
    """All rows of one input, one part at a time.

    Example:
        >>> import polars as pl
        >>> rows = Parts.of(pl.DataFrame({"row_id": ["a", "b"], "text": ["x", "y"]}))
        >>> rows.n_parts, rows.n_rows, rows.part(0, "text")["text"].to_list()
        (1, 2, ['x', 'y'])
    """

    source: Readable
    named: tuple[str, ...] | None = None
    """The columns that the step named, with `row_id`; all of them when None."""

    @classmethod
    def of(cls, *frames: pl.DataFrame) -> Parts:
        """Tables in memory as parts, as a test or a notebook has them."""
        return cls(_Frames(frames, f"memory-{uuid4().hex}"))

    @property
    def n_parts(self) -> int:
        """How many parts there are."""
        return self.source.n_parts

    @property
    def n_rows(self) -> int:
        """How many rows there are in all."""
        return self.source.rows

    @property
    def layout(self) -> str:
        """Changes when other rows lie in a part: what was kept for a part holds no longer."""
        return self.source.layout

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that can be read."""
        have = self.source.columns
        named = have if self.named is None else self.named
        return tuple(dict.fromkeys(["row_id", *(name for name in named if name in have)]))

    def part(self, index: int, *columns: str) -> pl.DataFrame:
        """Read one part: `row_id` and `columns`, or all that the step named.

        The order of its rows is not promised to be the same twice: keep the ids that you read.
        """
        wanted = columns or self.columns
        return self.source.part(index, ("row_id", *wanted))

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Read every part in turn."""
        return (self.part(index) for index in range(self.n_parts))


@dataclass(frozen=True)
class _Frames:
    frames: tuple[pl.DataFrame, ...]
    layout: str

    @property
    def n_parts(self) -> int:
        return len(self.frames)

    @property
    def rows(self) -> int:
        return sum(frame.height for frame in self.frames)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.frames[0].columns) if self.frames else ("row_id",)

    def part(self, index: int, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
        frame = self.frames[index]
        return frame if columns is None else frame.select(list(dict.fromkeys(columns)))
