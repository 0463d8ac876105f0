"""Which columns were measured from which, so that no measure outlives the text that it describes.

A produce step whose rows keep their parents' columns does not keep the columns that were measured
from a column that it makes anew: they describe the old one. Who needs them measures again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from databuild.recipe.options import StepConfig
    from databuild.recipe.step_type import StepType


def out_of_date(
    kind: StepType,
    config: StepConfig,
    before: Sequence[Mapping[str, frozenset[str]]],
    have: Collection[str] | None,
) -> tuple[str, ...]:
    """The columns of its inputs that were measured from what a step changes, sorted.

    A column that was measured from a stale one is stale, too; one that the step makes itself is
    not.

    Args:
        kind: The step.
        config: Its options.
        before: The measured columns of each input, with those that they were measured from.
        have: The columns of its inputs; None where only the data can tell.
    """
    if kind.kind != "produce" or not kind.carries:
        return ()
    made = {*(kind.columns_added(config) or ()), *kind.columns_optional(config)}
    if have is not None:
        mirrored = kind.columns_mirrored(config).items()
        made -= {column for column, talks in mirrored if talks not in have}
    stale: set[str] = set()
    while True:
        old = made | stale | ({"*"} if made else set())
        found = {c for one in before for c, of in one.items() if of & old} - made
        if found <= stale:
            return tuple(sorted(stale))
        stale |= found


def measured_columns(
    kind: StepType,
    config: StepConfig,
    before: Sequence[Mapping[str, frozenset[str]]],
    stale: Sequence[str],
) -> dict[str, frozenset[str]]:
    """The measured columns of a step's table, with the columns that each was measured from."""
    if not before or (kind.kind == "produce" and not kind.carries):
        return {}
    added = kind.columns_added(config) or ()
    # Of several inputs whose rows come together, a column is measured from all that any names.
    known: dict[str, frozenset[str]] = {}
    for one in before if kind.kind == "produce" else before[:1]:
        for column, of in one.items():
            known[column] = known.get(column, frozenset()) | of
    if kind.kind == "measure":
        of = frozenset(kind.columns_read(config, kind.inputs[0]))
        return known | dict.fromkeys(added, of)
    gone = {*stale, *(added if kind.kind == "produce" else ())}
    return {column: of for column, of in known.items() if column not in gone}
