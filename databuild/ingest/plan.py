"""What records shall become: a kind of row, by which names, and what is left over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.schema.rows import KINDS, schema_of
from databuild.text.formats.registry import AUTO, NAMES, read_record
from databuild.text.formats.values import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from databuild.text.formats.registry import Reading

ATTRIBUTES: dict[str, Any] = {
    "row_kind": pl.String(),
    "source_format": pl.String(),
    "repaired_chars": pl.Int64(),
}
"""How a row was read: its kind, the format that it had, how many lone surrogates were repaired."""
CHOICES = (AUTO, *KINDS)


@dataclass(frozen=True)
class Plan:
    """What records shall become."""

    kind: str
    columns: Mapping[str, str]
    is_carried: bool
    """The table that the records come from keeps its columns beside the rows."""

    @property
    def schema(self) -> dict[str, Any]:
        """The columns of the rows, with their types."""
        return {**schema_of(self.kind), "extra": pl.String(), **ATTRIBUTES}

    def read(self, record: Mapping[str, Any]) -> Reading:
        """Read one record."""
        return read_record(record, self.kind, self.columns)

    def looked_at(self, columns: Iterable[str]) -> list[str]:
        """Those of `columns` that can matter to a row."""
        if not self.is_carried:
            return list(columns)
        named = set(self.columns.values()) if self.columns else NAMES
        return [name for name in columns if name in named or name in self.schema]

    def left_over(self, rest: Mapping[str, Any]) -> str | None:
        """What a row does not hold, as JSON text; of a carried table, what would not be carried."""
        if self.is_carried:
            own = self.schema
            rest = {k: v for k, v in rest.items() if k in own or "." in k}
        if not rest:
            return None
        return json_text(rest, is_sorted=True)
