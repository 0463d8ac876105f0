"""The dozen things one does with databuild, for a notebook and for the command line alike."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from databuild.engine.execute import Settings
from databuild.engine.keys import FileDigests
from databuild.engine.lineage import Life, Runs
from databuild.engine.lineage import why as _why
from databuild.engine.local import cores
from databuild.engine.outputs import Outputs, view_of
from databuild.engine.plan import Planned, make_plan
from databuild.engine.resources import Silence, Watcher
from databuild.engine.run import RunResult, run_nodes
from databuild.engine.store import Manifest, Store, read_manifest
from databuild.errors import DatabuildError, RecipeError, SchemaError, StoreError, nearest
from databuild.models.checking import check_budgets, check_models
from databuild.models.services import LocalServices
from databuild.recipe.bind import Node, Ref, bind
from databuild.recipe.load import Document, load_document
from databuild.recipe.rounds import unroll
from databuild.recipe.validate import as_recipe
from databuild.release.contents import check_release
from databuild.release.forgetting import withdraw as withdraw  # noqa: PLC0414 -- one of the dozen
from databuild.release.models import register, released_model, started_from
from databuild.report.ledger import Ledger, ledger_of
from databuild.steps import all_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from databuild.engine.step import Step
    from databuild.engine.table import View
    from databuild.profiling.facts import Difference, Profile
    from databuild.recipe.model import Recipe
    from databuild.release.differences import Changes
    from databuild.release.encryption import Key
    from databuild.release.sending import Sent, Tick
    from databuild.release.versions import Version

RUNS = Path("runs")
RELEASES = Path("releases")


@dataclass(frozen=True)
class Checked:
    """A recipe that can be run: every name in it exists."""

    recipe: Recipe
    document: Document
    steps: Mapping[str, Step]
    nodes: tuple[Node, ...]


def check(path: str | Path, overrides: Iterable[str] = ()) -> Checked:
    """Read a recipe and check everything that can be checked without running it.

    Args:
        path: The recipe's YAML file.
        overrides: `key=value` texts with dotted keys, as on the command line.

    Raises:
        RecipeError: A name, an option, an input or a file is wrong; says where and what is near.
        SchemaError: A step needs a column that its input does not have.
    """
    document = load_document(Path(path), overrides)
    recipe = as_recipe(document)
    folder = document.path.resolve().parent
    for index, plugin in enumerate(recipe.plugins):
        if not (folder / plugin).is_file():
            there = (path.name for path in (folder / plugin).parent.glob("*.py"))
            name = Path(plugin).name
            what = f"the plugin file {plugin!r} does not exist; {nearest(name, there)}"
            raise RecipeError(document.where("plugins", index), what, fix="correct its path")
    check_models(recipe.models, folder, document.where)
    steps = all_steps(folder / plugin for plugin in recipe.plugins)
    nodes = bind(unroll(recipe, document), steps, recipe.models, document)
    check_budgets(recipe, nodes, document.where)
    if recipe.release:
        kinds = {node.name: steps[node.use].kind for node in nodes}
        check_release(recipe.release, kinds, document.where("release"))
    return Checked(recipe, document, steps, tuple(nodes))


def plan(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    runs: str | Path = RUNS,
    limit: int | None = None,
) -> list[Planned]:
    """Say what a run would do: per step whether it is cached, runs, or comes later, and why."""
    checked = check(path, overrides)
    return make_plan(checked.nodes, _outputs(checked, Path(runs), limit))


def run(  # noqa: PLR0913 -- the one entry point; every option has a default
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    runs: str | Path = RUNS,
    limit: int | None = None,
    from_step: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    settings: Settings | None = None,
    watcher: Watcher | None = None,
) -> RunResult:
    """Run a recipe: what is cached is taken, what is not is run, and what was interrupted goes on.

    Args:
        path: The recipe's YAML file.
        overrides: `key=value` texts with dotted keys.
        runs: Where outputs are kept.
        limit: Preview with this many rows of each source file.
        from_step: Run this step and all after it again.
        workers: Worker processes of row steps; all cores when None.
        device: `cpu` or `cuda`; found out when None.
        settings: Shard sizes, for experts and tests; `workers`, `device` and `limit` win over it.
        watcher: Told of the progress.

    Raises:
        DatabuildError: What stopped the run. Everything committed before is kept.
    """
    checked = check(path, overrides)
    _check_step(checked, from_step)
    settings = replace(
        settings or Settings(),
        workers=workers or cores(),
        limit=limit,
        device=device or found_device(),
        budget=checked.recipe.budget,
    )
    outputs = replace(_outputs(checked, Path(runs), limit), fetches=True)
    outputs.store.open()
    services = LocalServices(outputs.store.runs, settings.device)
    with outputs.store.locked():
        try:
            result = run_nodes(
                checked.nodes,
                outputs,
                services,
                watcher or Silence(),
                settings,
                again_from=from_step,
            )
        except BaseException:
            with suppress(DatabuildError):  # the error that is on its way matters more
                register(Runs(outputs.store), started_from(checked.recipe, checked.document.path))
            raise
        finally:
            services.close()
        register(Runs(outputs.store), started_from(checked.recipe, checked.document.path))
        return result


def show(
    step: str, recipe: str, *, runs: str | Path = RUNS, columns: tuple[str, ...] | None = None
) -> pl.DataFrame:
    """The table of a step (`step` or `step.part`) of a recipe's last run, as Polars."""
    return _latest_view(Store(Path(runs), recipe), step).read(columns)


def why(
    row_id: str, recipe: str | None, *, runs: str | Path = RUNS, store: str | Path = RELEASES
) -> list[Life]:
    """The way of a row, from its source to the training set; a unique start of its id is enough.

    Args:
        row_id: A row of the last run, or of a released version.
        recipe: Whose run; None where only the versions are asked.
        runs: Where outputs are kept.
        store: Where versions are kept, into which a row that came from one is followed.

    Raises:
        SchemaError: No row has such an id, or several have; names those that are near.
    """
    from databuild.release.tracing import extend, trace
    from databuild.release.versions import names_in

    if recipe is not None:
        try:
            return extend(_why(Runs(Store(Path(runs), recipe)), row_id), Path(store))
        except SchemaError:
            if not names_in(Path(store)):
                raise
    return trace(Path(store), row_id)


def profile(
    table: str | Path,
    other: str | Path | None = None,
    *,
    recipe: str | None = None,
    runs: str | Path = RUNS,
    columns: tuple[str, ...] | None = None,
    key: str | None = None,
    limit: int = 3,
    show_personal: bool = False,
) -> Profile | Difference:
    """Describe a table, or what changed from one table to another.

    Args:
        table: A step of the last run (`step`, `step.part`, `recipe/step`, `runs/recipe/step`), or
            a file or folder of Parquet, JSON lines, JSON or CSV.
        other: A second table; then the result is the difference from the first to it.
        recipe: The recipe of a step that is named alone; the only one in `runs` when None.
        runs: Where outputs are kept.
        columns: Look at these only.
        key: The column that names a row in both tables; see `profiling.compare.compare`.
        limit: Examples for each finding.
        show_personal: Show examples of columns with spans (`<c>_pii`) as they are, not masked.

    Raises:
        SchemaError: There is no such step, part or column.
        StoreError: There is no such file, or it cannot be read.
    """
    from databuild.profiling.compare import compare
    from databuild.profiling.personal import personal_columns, without_personal
    from databuild.profiling.profile import describe
    from databuild.profiling.resolve import open_table, resolve

    ingest = all_steps()["ingest.files"]
    opened = [
        open_table(resolve(str(one), Path(runs), recipe), ingest, limit, columns, key)
        for one in (table, other)
        if one is not None
    ]
    named = {name for one in opened for name in one.all_columns}
    masked = frozenset[str]() if show_personal else personal_columns(named)
    if len(opened) == 2:
        return without_personal(compare(opened[0], opened[1], key=key, limit=limit), masked)
    return without_personal(describe(opened, limit)[0][0], masked)


def status(recipe: str, *, runs: str | Path = RUNS) -> dict[str, Manifest]:
    """The manifests of a recipe's last run, by step; last the one that it is or was stopped at."""
    store = Store(Path(runs), recipe)
    latest = store.latest()
    at = latest.get("at", {})
    folders = {n: f for n, f in latest.get("steps", {}).items() if n not in at} | at
    found = {name: read_manifest(store.root / folder) for name, folder in folders.items()}
    return {name: manifest for name, manifest in found.items() if manifest}


def ledger(recipe: str, *, runs: str | Path = RUNS) -> Ledger:
    """What the last run asked of models: tokens, seconds, cost, rows accepted, per step and model.

    What was paid by an earlier run or found in the journal is told apart from what was paid now.
    """
    return ledger_of(recipe, Path(runs))


def release(
    path: str | Path,
    name: str,
    *,
    allow: Mapping[str, str] | None = None,
    turn: int | None = None,
    store: str | Path = RELEASES,
    runs: str | Path = RUNS,
    sent: Sent | None = None,
    sending: Tick | None = None,
) -> tuple[Version, Path | str]:
    """Publish what a recipe names under `release:`, as of its last run, as a version.

    Args:
        path: The recipe's YAML file.
        name: `name@1.2.0`, or `name@auto` for the next number.
        allow: Gates that need not be passed, each with the reason.
        turn: The round whose tables are released; None is the last one.
        store: Where versions are kept: a folder, or a URL as `s3://bucket/prefix`.
        runs: Where outputs are kept.
        sent: Is told which bytes were written, and which were there already.
        sending: Told of bytes on their way to an object store, and of how many there are.

    Returns:
        The version, and its folder or URL.

    Raises:
        DatabuildError: It cannot be released; nothing of it is there then.
    """
    from databuild.release.naming import AUTO, read_reference
    from databuild.release.publishing import publish
    from databuild.release.sending import Sent, nobody
    from databuild.release.versions import Versions

    checked = check(path)
    if checked.recipe.release is None:
        what = "the recipe does not say what a version holds"
        fix = "add `release: {configs: {sft: {train: <step>}}}` to it"
        raise RecipeError(str(path), what, fix=fix)
    meant = read_reference(name)
    known = Runs(Store(Path(runs), checked.recipe.name))
    if known.status != "complete":
        what = f"the last run of {checked.recipe.name} is not complete"
        raise StoreError(str(runs), what, fix="finish it with `databuild run`")
    versions = Versions(store, meant.name, Sent() if sent is None else sent)
    number = meant.version if name.partition("@")[2] else AUTO
    made = publish(
        checked.recipe.release, known, versions, number,
        recipe=checked.document.path, allow=allow, sending=sending or nobody, turn=turn,
        words={name: (of.run.__doc__ or "").strip().partition("\n")[0]
               for name, of in checked.steps.items()},
    )  # fmt: skip
    return made, versions.place(made.version)


def difference(
    before: str,
    after: str,
    *,
    by: str | Iterable[str] | None = (),
    key: str = "key",
    limit: int = 3,
    store: str | Path = RELEASES,
    secret: Key | None = None,
) -> list[Changes]:
    """Compare two released versions row by row; see `release.differences`."""
    from databuild.release.differences import difference as compared
    from databuild.release.naming import read_reference
    from databuild.release.versions import at

    (of_a, a), (of_b, b) = (at(store, read_reference(one), secret) for one in (before, after))
    return compared((of_a, of_b), a, b, by=by, key=key, limit=limit)


def recipes_in(runs: str | Path = RUNS) -> list[str]:
    """The names of the recipes that were run in a folder."""
    return sorted(path.parent.name for path in Path(runs).glob("*/latest.json"))


def found_device() -> str:
    """`cuda` where an NVIDIA device is there, else `cpu`; without loading torch."""
    return "cuda" if Path("/dev/nvidia0").exists() else "cpu"


def _outputs(checked: Checked, runs: Path, limit: int | None) -> Outputs:
    runs = runs.resolve()
    services = LocalServices(runs, "cpu")
    folder = checked.document.path.resolve().parent
    targets = {
        name: released_model(spec, folder, checked.document.where("models", name))
        if spec.released
        else services.identify(spec, folder)
        for name, spec in checked.recipe.models.items()
    }
    return Outputs(
        store=Store(runs, checked.recipe.name),
        steps=checked.steps,
        models=targets,
        digests=FileDigests(runs / "file-digests.json"),
        seed=checked.recipe.seed,
        limit=limit,
    )


def _check_step(checked: Checked, name: str | None) -> None:
    known = {text for node in checked.nodes for text in (node.name, node.origin)}
    if name is not None and name not in known:
        what = f"--from names the step {name!r}; {nearest(name, known)}"
        raise RecipeError("command line", what, fix="name a step of the recipe")


def _latest_view(store: Store, reference: str) -> View:
    """The view of a step of the last run, put together from manifests alone."""
    runs = Runs(store)
    name, _, part = reference.partition(".")
    if name not in runs.manifests:
        what = f"the last run has no step {name!r}; {nearest(name, runs.manifests)}"
        raise SchemaError("show", what, fix="correct the name")
    if runs.manifests[name].kind in {"train", "deliver"}:
        what = f"{name!r} is a {runs.manifests[name].kind} step and has no rows"
        raise SchemaError("show", what, fix=f"look into {runs.folders[name]}")
    return view_of(runs.outputs, Ref(name, part or None))
