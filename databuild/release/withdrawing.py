"""Make the next version of a data set without somebody's rows, from its released files alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

import polars as pl

from databuild.engine.store import write_json
from databuild.errors import RecipeError, StepError
from databuild.release.ancestry import table_of, upwards
from databuild.release.card import card
from databuild.release.drawing import write_plots
from databuild.release.forgotten import Withdrawal, forbidden, note
from databuild.release.gates import data_gates, withdrawn
from databuild.release.models import trained_on
from databuild.release.naming import AUTO, check_version, next_version
from databuild.release.reading import check_plain
from databuild.release.told import STEPS
from databuild.release.uses import Meant, counted, reached, unknown
from databuild.release.versions import (
    MANIFEST,
    Gate,
    Split,
    Version,
    Versions,
    fingerprint,
    plain,
)
from databuild.release.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_FROM_DATA = ("leak", "personal", "withdrawn")
_OTHERS = "README.md", "recipe.yaml", STEPS


@dataclass
class Plan:
    """What a withdrawal will take out of which version."""

    version: Version
    after: str
    """The version that it will make."""
    ids: pl.Series
    """All rows of its lineage that are meant, or were made from such."""
    removed: dict[str, int]
    """Released rows among them, by `config/split`."""
    left: dict[str, int]
    """Released rows that stay."""
    having: dict[str, dict[str, int]]
    """Every version with such rows: how many, by `config/split`."""
    models: list[str] = field(default_factory=list)
    """Models that were trained on one of those versions, by identity."""


@dataclass(frozen=True)
class _Kept:
    """A split of a version without some rows, as a writer reads tables."""

    paths: list[Path]
    without: pl.Series

    @property
    def n_parts(self) -> int:
        return len(self.paths)

    def schema(self, index: int) -> dict[str, pl.DataType]:
        return dict(pl.read_parquet_schema(self.paths[index]))

    def part(self, index: int) -> pl.DataFrame:
        rows = pl.read_parquet(self.paths[index])
        return rows.filter(~pl.col("row_id").is_in(self.without.implode()))


def plan_withdrawal(
    versions: Versions, number: str, meant: Sequence[Meant], after: str = AUTO
) -> Plan:
    """Say what a withdrawal would take out, and change nothing.

    Args:
        versions: The data set.
        number: The version to take rows out of, or a name of it.
        meant: What is withdrawn.
        after: The number of the version that is made.

    Raises:
        SchemaError: Nothing of it is in any version; says what is near.
        RecipeError: `after` cannot be the next version.
    """
    version = versions.read(number)
    check_plain(version)
    known, taken = versions.known(), versions.taken()
    after = next_version(taken, breaks=False) if after == AUTO else after
    check_version(after, taken)
    names: dict[Meant, set[str]] = {one: set() for one in meant}
    ids, having = pl.Series("row_id", [], dtype=pl.String), {}
    here = ids
    for one in known:
        found = reached(table_of(versions, one), meant, names)
        if len(found):
            having[one] = counted(versions, one, found)
            ids = pl.concat([ids, found.rename("row_id")]).unique()
        here = found if one == version.version else here
    if not len(ids):
        raise unknown(meant, names, f"{versions.root}")
    removed = having.get(version.version, {})
    left = {
        f"{config}/{split}": of.rows - removed.get(f"{config}/{split}", 0)
        for config, splits in version.configs.items()
        for split, of in splits.items()
    }
    models = [one.identity for one in trained_on(versions, having)]
    return Plan(version, after, ids, removed, left, having, models)


def withdraw(
    versions: Versions, plan: Plan, meant: Sequence[Meant], why: str, allow: Mapping[str, str]
) -> Version:
    """Release the next version without the rows of a plan; files without such are shared.

    Gates that look at the rows are asked again; what the others found is repeated. That rows were
    withdrawn is noted, so that no later release brings them back.

    Raises:
        StepError: No row would be left, or a gate is not passed.
        StoreError: The disk is full, or somebody else has released the version.
    """
    before = plan.version
    if not any(plan.left.values()):
        what = f"no row of {before.name}@{before.version} would be left"
        raise StepError("withdraw", what, fix="erase the rows with --purge, which makes no version")
    folder = versions.folder(before.version)
    with versions.making(plan.after) as place:
        counted_before = before.about.get("data") or {}
        strata = sorted({by for of in counted_before.values() for by in of.get("strata") or ()})
        written = Writer(versions, place, lambda _rows: None, strata)
        configs: dict[str, dict[str, Split]] = {}
        for config, splits in before.configs.items():
            for split, of in splits.items():
                left = plan.left[f"{config}/{split}"]
                if left:
                    paths = [folder / one.path for one in before.of(config, split)]
                    written.table(config, split, _Kept(paths, plan.ids))
                    kept = of.model_copy(update={"rows": left})
                    configs.setdefault(config, {})[split] = kept
        rows = table_of(versions, before.version)
        rows = rows.filter(~pl.col("row_id").is_in(plan.ids.implode()))
        needed = upwards(rows, pl.concat(list(written.ids.values())))
        rows = rows.filter(pl.col("row_id").is_in(needed.implode()))
        written.lineage_of(rows)
        made = Version(
            **before.model_dump(include={"name", "recipe", "run", "licence", "steps"}),
            version=plan.after, created=datetime.now(UTC).isoformat(timespec="seconds"),
            databuild=installed("databuild"), fingerprint=fingerprint(written.files),
            configs=configs, files=written.files,
        )  # fmt: skip
        known = pl.concat([forbidden(versions), plan.ids.rename("row_id")])
        made.gates = _gates(before, written, withdrawn(rows["row_id"], known), allow)
        for name in _OTHERS[1:]:
            if (folder / name).exists():
                shutil.copyfile(folder / name, place / name)
        made.about = {**before.about, "data": written.facts()}
        made.files += [versions.keep(path, place) for path in write_plots(made, place)]
        (place / "README.md").write_text(card(made), encoding="utf-8")
        made.files += [versions.keep(place / n, place) for n in _OTHERS if (place / n).exists()]
        write_json(place / MANIFEST, plain(made))
    versions.point(latest=plan.after)
    note(versions, plan.after, noted(plan, meant, why, after=plan.after))
    return made


def noted(plan: Plan, meant: Sequence[Meant], why: str, *, after: str) -> Withdrawal:
    """What the store remembers of a withdrawal."""
    return Withdrawal(
        at=datetime.now(UTC).isoformat(timespec="seconds"), what=[str(one) for one in meant],
        why=why, before=plan.version.version, after=after, removed=plan.removed,
        ids=sorted(plan.ids.to_list()), models=plan.models,
    )  # fmt: skip


def _gates(before: Version, written: Writer, back: Gate, allow: Mapping[str, str]) -> list[Gate]:
    """The gates of the version that is made; those that need the run repeat what they found."""
    found = [
        *data_gates(written.prompts, written.personal),
        back,
        *(one for one in before.gates if one.name not in _FROM_DATA),
    ]
    for gate in found:
        if gate.passed is not False:
            continue
        earlier = next((g.override for g in before.gates if g.name == gate.name), None)
        gate.override = allow.get(gate.name) or earlier
        if gate.override is None or gate.name == "withdrawn":
            what = f"the gate `{gate.name}` is not passed: {gate.told}"
            fix = f"release all the same: --allow {gate.name}='the reason'"
            if gate.name == "withdrawn":
                fix = "withdraw these rows from this version, too"
            raise StepError("withdraw", what, fix=fix)
    return found


def check_meant(meant: Sequence[Meant]) -> None:
    """Refuse to withdraw nothing, or by a few digits that many rows share.

    Raises:
        RecipeError: It says what to name.
    """
    if not meant:
        what = "nothing is named that is to be withdrawn"
        raise RecipeError("withdraw", what, fix="add --row, --source, --annotator or --model")
    for one in meant:
        if one.kind == "row" and len(one.text) < 32:
            what = f"{one.text!r} is only the start of an id"
            fix = "give all 32 digits: `databuild why` says them"
            raise RecipeError("withdraw", what, fix=fix)
