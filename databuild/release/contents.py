"""Which tables a version holds: what the recipe says under `release:`, as of its last run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from databuild.engine.outputs import view_of
from databuild.errors import RecipeError, SchemaError, nearest
from databuild.recipe.bind import Ref
from databuild.release.licences import check_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import polars as pl

    from databuild.engine.lineage import Runs
    from databuild.engine.table import View
    from databuild.recipe.model import Release


Tables = dict[str, dict[str, tuple[Ref, "View"]]]
"""Views by configuration and split, each with the reference that it stands for."""


class Parted(Protocol):
    """A table that is read part by part, such as a view."""

    @property
    def n_parts(self) -> int:
        """How many parts it has."""

    def schema(self, index: int) -> dict[str, pl.DataType]:
        """The columns of one part, with their types."""

    def part(self, index: int) -> pl.DataFrame:
        """Read one part, all columns."""


def last_of(name: str, known: Iterable[str], turn: int | None = None) -> str | None:
    """The step of that name; of a step that repeats, that of the last round, or of round `turn`.

    Example:
        >>> last_of("few", ["raw", "few@1", "few@2", "few@10", "few@10-best"])
        'few@10'
        >>> last_of("raw", ["raw"]), last_of("x", ["raw"])
        ('raw', None)
        >>> last_of("few", ["few@1", "few@2"], turn=1)
        'few@1'
    """
    if name in known:
        return name
    if turn is not None:
        return f"{name}@{turn}" if f"{name}@{turn}" in known else None
    rounds = [one.partition("@")[2] for one in known if one.partition("@")[0] == name]
    last = max((int(one) for one in rounds if one.isdigit()), default=None)
    return None if last is None else f"{name}@{last}"


def check_release(release: Release, steps: Mapping[str, str], where: str) -> None:
    """Find what is wrong with `release:` before anything runs.

    Args:
        release: What the recipe says.
        steps: The kind of every step of the unrolled recipe, by name.
        where: The place in the recipe, for the error.

    Raises:
        RecipeError: It names a step that there is not, or one that has no rows.
    """
    check_words(release.refuse_licences, where)
    for splits in release.configs.values():
        for reference in splits.values():
            name = reference.partition(".")[0]
            found = last_of(name, steps)
            if found is None:
                what = f"release names the step {name!r}; {nearest(name, steps)}"
                raise RecipeError(where, what, fix="name a step of the recipe")
            if steps[found] in {"train", "deliver"}:
                what = f"release names {name!r}, a {steps[found]} step, which has no rows"
                raise RecipeError(where, what, fix="name the step whose table it reads")


def tables_of(release: Release, runs: Runs, turn: int | None = None) -> Tables:
    """The views that a version holds, by configuration and split; of round `turn`, else the last.

    Raises:
        SchemaError: The last run has not finished a step, or the step has no such part.
    """
    found: Tables = {}
    for config, splits in release.configs.items():
        for split, reference in splits.items():
            name, _, part = reference.partition(".")
            step = last_of(name, runs.manifests, turn)
            if step is None:
                of = "" if turn is None else f" of round {turn}"
                what = f"the last run has not finished the step {name!r}{of}"
                raise SchemaError("release", what, fix="run the recipe to its end first")
            parts = runs.manifests[step].part_digests
            if part and part not in parts:
                what = f"step {name!r} has no part {part!r}; {nearest(part, parts)}"
                raise SchemaError("release", what, fix="name one of those")
            ref = Ref(step, part or None)
            found.setdefault(config, {})[split] = (ref, view_of(runs.outputs, ref))
    steps = [ref.step for splits in found.values() for ref, _ in splits.values()]
    if turn is not None and not any(step.endswith(f"@{turn}") for step in steps):
        what = f"no step that is released repeats, or none has a round {turn}"
        raise SchemaError("release", what, fix="leave out `--round`")
    return found


def steps_behind(runs: Runs, tables: Tables) -> set[str]:
    """The steps that tables came through, their own included."""
    return set(runs.behind(*(ref.step for splits in tables.values() for ref, _ in splits.values())))


def frames_of(view: Parted) -> Iterator[pl.DataFrame]:
    """The parts of a view, one after the other, all with the same columns and types."""
    import polars as pl

    schemas = [view.schema(n) for n in range(view.n_parts)]
    empty = pl.concat((pl.DataFrame(schema=one) for one in schemas), how="diagonal_relaxed")
    for n in range(view.n_parts):
        yield pl.concat([empty, view.part(n)], how="diagonal_relaxed")
