"""What a user names: a file, a folder, or a step of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from databuild.engine.lineage import Runs
from databuild.engine.outputs import view_of
from databuild.engine.store import Store
from databuild.errors import SchemaError, StoreError, nearest
from databuild.profiling.losses import losses_of, shortfalls_of
from databuild.profiling.table import FORMATS, Table, file_table, file_table_of_parts, view_table
from databuild.recipe.bind import Ref

if TYPE_CHECKING:
    from databuild.engine.step import Step


@dataclass(frozen=True)
class Named:
    """What a name means: a step of a recipe's last run, or a path."""

    text: str
    path: Path | None = None
    runs: Path | None = None
    recipe: str = ""
    step: str = ""

    @property
    def folder(self) -> Path | None:
        """The folder of the recipe's run; None of a file."""
        return self.runs / self.recipe if self.runs else None


def resolve(text: str, runs: Path, recipe: str | None) -> Named:
    """Find out what a name means.

    Args:
        text: A path; `step` or `step.part`; `recipe/step`; or `runs/recipe/step`.
        runs: The runs folder.
        recipe: The recipe of a step that is named alone; the only one in `runs` when None.

    Raises:
        StoreError: It is none of them.
    """
    if Path(text).is_file():  # `clean/wenda.csv` is a file, even where a recipe is called `clean`
        return Named(text, path=Path(text))
    place, _, step = text.rpartition("/")
    if place and step:
        for folder in (Path(place), runs / place):
            if (folder / "latest.json").is_file():
                return Named(text, runs=folder.parent, recipe=folder.name, step=step)
    path = Path(text)
    known = sorted(found.parent.name for found in runs.glob("*/latest.json"))
    is_step = not place and path.suffix not in FORMATS and (recipe or known)
    if path.exists() and not is_step:
        return Named(text, path=path)
    if is_step and recipe is None and len(known) > 1:
        what = f"several recipes were run in {runs}: {', '.join(known)}"
        raise StoreError(text, what, fix=f"name one: `{known[0]}/{text}`, or `--recipe {known[0]}`")
    if not is_step:
        what = "there is no such file or folder, and no such step of a run"
        fix = f"name a file, or a step after a run in {runs} (`--runs DIR` names another folder)"
        raise StoreError(text, what, fix=fix)
    return Named(text, runs=runs, recipe=recipe or known[0], step=text)


def open_table(
    named: Named,
    ingest: Step,
    limit: int,
    columns: tuple[str, ...] | None = None,
    key: str | None = None,
) -> Table:
    """Open what was named.

    Args:
        named: See `resolve`.
        ingest: The step `ingest.files`, which reads what is neither Parquet nor plain JSON lines.
        limit: Examples of each reason for which rows were lost.
        columns: Only these.
        key: The column that names rows, beside those that always do.

    Raises:
        SchemaError: There is no such step, part or column.
        StoreError: A file is missing or damaged.
    """
    if named.path is not None:
        table = file_table(named.path, ingest, limit)
    else:
        table = _step_table(named, limit)
    return table.only(columns, key) if columns else table


def _step_table(named: Named, limit: int) -> Table:
    assert named.runs is not None
    runs = Runs(Store(named.runs, named.recipe))
    name, _, part = named.step.partition(".")
    if name not in runs.manifests:
        what = f"the last run of {named.recipe} finished no step {name!r}"
        raise SchemaError(named.text, f"{what}; {nearest(name, runs.manifests)}", fix="name one")
    manifest = runs.manifests[name]
    if manifest.kind in {"train", "deliver"}:
        what = f"{name!r} is a {manifest.kind} step and has no rows"
        raise SchemaError(named.text, what, fix=f"look into {runs.folders[name]}")
    if part == "failed" or (part == "dropped" and manifest.kind != "select"):
        scan = runs.scan(name, part)
        if scan is None:
            what = f"nothing {'failed' if part == 'failed' else 'was dropped'} in {name!r}"
            raise SchemaError(named.text, what, fix=f"look at {name!r} itself")
        folder = runs.folders[name] / part
        return replace(file_table_of_parts(folder), name=named.text)
    parts = [*manifest.part_digests, "dropped"] if manifest.kind == "select" else []
    if part and part not in parts:
        what = f"step {name!r} has no part {part!r}; {nearest(part, [*parts, 'failed'])}"
        raise SchemaError(named.text, what, fix="name one of those")
    table = view_table(view_of(runs.outputs, Ref(name, part or None)), named.text)
    return replace(
        table,
        place=str(runs.folders[name]),
        losses=losses_of(runs, name, limit),
        shortfalls=shortfalls_of(runs, name),
    )
