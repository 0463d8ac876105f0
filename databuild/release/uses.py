"""What came of a row, a source, an annotator or a model: rows, versions, and trained models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import polars as pl

from databuild.engine.lineage import Runs
from databuild.engine.store import Store
from databuild.errors import SchemaError, StoreError, nearest
from databuild.release.ancestry import COLUMNS, downwards, lines, table_of
from databuild.release.models import Model, models_of
from databuild.release.versions import Versions, names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Kind = Literal["row", "source", "annotator", "model"]
KINDS: tuple[Kind, ...] = ("row", "source", "annotator", "model")
_SHOWN = 5


@dataclass(frozen=True)
class Meant:
    """What somebody asks about: one thing of one kind."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"

    def among(self, rows: pl.DataFrame) -> pl.Series:
        """The ids of the rows of a lineage that are meant: those that it begins with.

        A source is a step that reads, a file as the rows name it, or a file's own name; a model is
        its identity, or its name before the `@`.
        """
        text = self.text
        if self.kind == "row":
            which = pl.col("row_id").str.starts_with(text)
            below = pl.col("parent_ids").list.eval(pl.element().str.starts_with(text)).list.any()
            parents = rows.filter(below)["parent_ids"].explode()
            parents = parents.filter(parents.str.starts_with(text).fill_null(value=False))
            return pl.concat([rows.filter(which)["row_id"], parents]).unique()
        if self.kind == "source":
            file = pl.col("source_file")
            is_file = (file == text) | file.str.ends_with(f"/{text}")
            is_step = (pl.col("step") == text) & (pl.col("parent_ids").list.len() == 0)
            return rows.filter(is_file | is_step)["row_id"]
        if self.kind == "annotator":
            return rows.filter(pl.col("annotator") == text)["row_id"]
        model = pl.col("model")
        return rows.filter((model == text) | (model.str.split("@").list.first() == text))["row_id"]

    def known(self, rows: pl.DataFrame) -> set[str]:
        """What a lineage has of this kind, for those who mistyped."""
        column = {"row": "row_id", "source": "source_file"}.get(self.kind, self.kind)
        return set(rows[column].drop_nulls().unique().to_list())


@dataclass
class Used:
    """What came of it in one run, or in one version."""

    place: str
    """`run <recipe>`, or `name@1.2.0`."""
    steps: dict[str, int]
    """Rows by the step that made them, what was meant included."""
    splits: dict[str, int] = field(default_factory=dict)
    """Of a version: released rows by `config/split`."""


@dataclass
class Uses:
    """Everything that came of something."""

    what: list[str]
    places: list[Used]
    models: list[Model]
    """Trained on a version that has rows of it, or on rows of it in a run that was released."""
    trained: dict[str, str] = field(default_factory=dict)
    """Models of runs that were trained on tables which have rows of it: step to identity."""


def everything(runs: Runs) -> pl.DataFrame:
    """The lineage of all rows of a run, released or not."""
    told = [lines(runs, name) for name in runs.producers()]
    return pl.concat([pl.DataFrame(schema=COLUMNS), *told])


def uses(store: Path, runs: Path, meant: Sequence[Meant]) -> Uses:
    """Everything that came of something, in the last run of each recipe and in all versions.

    Raises:
        SchemaError: Nothing is known of it; says what is near.
    """
    asked = [str(one) for one in meant]
    found = Uses(asked, [], [])
    known: dict[Meant, set[str]] = {one: set() for one in meant}
    for run in runs_in(runs):
        rows = everything(run)
        ids = reached(rows, meant, known)
        here = rows.filter(pl.col("row_id").is_in(ids.implode()))
        if here.height:
            found.places.append(Used(f"run {run.recipe}", _by_step(here)))
            found.trained |= _trained(run, ids)
    for name in names_in(store):
        versions = Versions(store, name)
        having = []
        for number in versions.known():
            rows = table_of(versions, number)
            ids = reached(rows, meant, known)
            here = rows.filter(pl.col("row_id").is_in(ids.implode()))
            if here.height:
                having.append(f"{name}@{number}")
                splits = counted(versions, number, ids)
                found.places.append(Used(having[-1], _by_step(here), splits))
        found.models += [one for one in models_of(versions) if set(having) & one.versions.keys()]
    if not found.places:
        raise unknown(meant, known, f"{store} and {runs}")
    return found


def reached(
    rows: pl.DataFrame, meant: Iterable[Meant], known: dict[Meant, set[str]] | None = None
) -> pl.Series:
    """The ids of what is meant, and of all that was made from it."""
    ids = [pl.Series("row_id", [], dtype=pl.String)]
    for one in meant:
        ids.append(one.among(rows))
        if known is not None and not len(ids[-1]):
            known[one] |= one.known(rows)
    return downwards(rows, pl.concat(ids))


def counted(versions: Versions, number: str, ids: pl.Series) -> dict[str, int]:
    """How many of some rows each split of a version has; 0 is left out."""
    found: dict[str, int] = {}
    version, folder = versions.read(number), versions.folder(number)
    for config, splits in version.configs.items():
        for split in splits:
            parts = [folder / one.path for one in version.of(config, split)]
            if parts:
                scan = pl.scan_parquet(parts).select("row_id")
                n = scan.filter(pl.col("row_id").is_in(ids.implode())).collect().height
                found |= {f"{config}/{split}": n} if n else {}
    return found


def runs_in(runs: Path) -> list[Runs]:
    """The last run of every recipe of a runs folder."""
    found = []
    for path in sorted(runs.glob("*/latest.json")):
        try:
            found.append(Runs(Store(runs, path.parent.name)))
        except StoreError:  # nothing of it was finished
            continue
    return found


def unknown(meant: Iterable[Meant], known: dict[Meant, set[str]], where: str) -> SchemaError:
    """The error that says what there is instead."""
    missing = [one for one in meant if known.get(one)] or list(meant)
    first = missing[0]
    there = known.get(first) or set()
    if first.kind == "row":
        some = sorted(there, key=lambda one: shared(one, first.text), reverse=True)[:_SHOWN]
        near = f"the nearest are {', '.join(some)}" if some else "there are no rows"
    else:
        near = nearest(first.text, there)
    what = f"no {first.kind} {first.text!r} is behind any row in {where}; {near}"
    return SchemaError("lineage", what, fix="name one of those")


def shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike.

    Example:
        >>> shared("3fa9", "3fb0")
        2
    """
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(other))


def _by_step(rows: pl.DataFrame) -> dict[str, int]:
    counts = rows.group_by("step", maintain_order=True).len()
    return dict(counts.iter_rows())


def _trained(run: Runs, ids: pl.Series) -> dict[str, str]:
    """The models of a run whose input has one of some rows."""
    found = {}
    for name, manifest in run.manifests.items():
        if manifest.kind != "train" or manifest.model is None or manifest.use.startswith("flyw"):
            continue
        tables = (run.ids(reference) for reference in manifest.inputs.values())
        if any(table.is_in(ids.implode()).any() for table in tables):
            found[f"{run.recipe}/{name}"] = manifest.model.identity
    return found
