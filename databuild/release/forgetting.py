"""`databuild withdraw`: the next version first, then, where asked, everything older."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.errors import SchemaError
from databuild.release.forgotten import Withdrawal, note, remember, withdrawals
from databuild.release.naming import AUTO, read_reference
from databuild.release.purging import Erasure, Purged, erase, plan_erasure, weigh
from databuild.release.reading import check_plain
from databuild.release.uses import Meant
from databuild.release.versions import Tombstone, Version, Versions
from databuild.release.withdrawing import Plan, check_meant, noted, plan_withdrawal
from databuild.release.withdrawing import withdraw as make_without

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KIND, UNFINISHED = "purging", "unfinished"


@dataclass
class Withdrawn:
    """What a withdrawal did, or would do."""

    plan: Plan
    made: Version | None
    folder: Path | None
    """Of the version that was made."""
    purged: Purged | None = None

    def plain(self) -> dict[str, Any]:
        """It as JSON."""
        plan = self.plan
        return {
            "name": plan.version.name, "before": plan.version.version,
            "after": self.made.version if self.made else plan.after,
            "made": self.made is not None, "removed": plan.removed, "left": plan.left,
            "versions": plan.having, "models": plan.models,
            "purged": None if self.purged is None else asdict(self.purged),
        }  # fmt: skip


def withdraw(  # noqa: PLR0913 -- the one entry point; every option has a default
    name: str,
    meant: Sequence[Meant],
    *,
    after: str = AUTO,
    why: str = "not said",
    purge: bool = False,
    dry_run: bool = False,
    allow: Mapping[str, str] | None = None,
    store: str | Path = "releases",
    runs: str | Path = "runs",
) -> Withdrawn:
    """Make the next version of `name@version` without what is meant and all made of it.

    The store and the runs folder by name; everything else as `forget` has it.
    """
    reference = read_reference(name)
    versions = Versions(store, reference.name)
    return forget(
        versions, reference.version, meant, Path(runs),
        after=after, why=why, purge=purge, dry_run=dry_run, allow=allow or {},
    )  # fmt: skip


def forget(  # noqa: PLR0913 -- as `api.withdraw`
    versions: Versions,
    number: str,
    meant: Sequence[Meant],
    runs: Path,
    *,
    after: str = AUTO,
    why: str = "not said",
    purge: bool = False,
    dry_run: bool = False,
    allow: Mapping[str, str] | None = None,
) -> Withdrawn:
    """Make the next version without what is meant, and erase it elsewhere where `purge` says so.

    Args:
        versions: The data set.
        number: The version to take rows out of, or a name of it.
        meant: What is withdrawn.
        runs: The runs folder, which need not be there.
        after: The number of the next version.
        why: The reason, which the store keeps.
        purge: Erase the rows from older versions, runs and journals, too. One that was interrupted
            is finished first.
        dry_run: Change nothing.
        allow: Gates that need not be passed, each with the reason.

    Raises:
        SchemaError: Nothing of it is known; says what is near.
        RecipeError: Nothing is named, or the next version cannot have that number.
        StepError: No row would be left to release, or a gate is not passed.
        StoreError: A run works in the runs folder, or something cannot be written.
    """
    check_meant(meant)
    if purge:  # files that need a key cannot be written anew without it
        for one in versions.known():
            check_plain(versions.read(one))
    waiting = versions.notes(KIND).get(UNFINISHED)
    if waiting and not dry_run:
        finished = _finish(versions, runs, waiting)
        if waiting["erasure"]["meant"] == [[one.kind, one.text] for one in meant]:
            return finished
    plan, planned_purge = _planned(versions, number, meant, runs, after=after, purge=purge)
    if not plan.removed:
        plan.after = ""
    if dry_run:
        return Withdrawn(plan, None, None, weigh(runs, planned_purge) if planned_purge else None)
    if planned_purge is None:
        made = make_without(versions, plan, meant, why, allow or {}) if plan.removed else None
        return Withdrawn(plan, made, versions.folder(made.version) if made else None)
    waiting = {
        "at": _now(), "why": why, "number": plan.version.version, "after": plan.after,
        "allow": dict(allow or {}), "erasure": planned_purge.plain(),
        "plan": {"removed": plan.removed, "left": plan.left, "having": plan.having,
                 "models": plan.models, "ids": plan.ids.to_list()},
    }  # fmt: skip
    versions.note(KIND, UNFINISHED, waiting)
    return _finish(versions, runs, versions.notes(KIND)[UNFINISHED])


def _planned(
    versions: Versions, number: str, meant: Sequence[Meant], runs: Path, *, after: str, purge: bool
) -> tuple[Plan, Erasure | None]:
    """What is taken out of the version, and what is erased elsewhere.

    Raises:
        SchemaError: Neither the versions nor the runs have any of it.
    """
    try:
        plan = plan_withdrawal(versions, number, meant, after)
    except SchemaError:
        if not purge:
            raise
        erasure = plan_erasure(versions.root.parent, runs, meant, pl.Series([], dtype=pl.String))
        if not len(erasure.ids):
            raise
        version = versions.read(number)
        left = {f"{config}/{split}": of.rows for config, splits in version.configs.items()
                for split, of in splits.items()}  # fmt: skip
        return Plan(version, "", erasure.ids, {}, left, {}), erasure
    return plan, plan_erasure(versions.root.parent, runs, meant, plan.ids) if purge else None


def _finish(versions: Versions, runs: Path, waiting: dict[str, Any]) -> Withdrawn:
    """Carry out a purge that was written down, from wherever it was stopped."""
    what = Erasure.of(waiting["erasure"])
    meant = [Meant(kind, text) for kind, text in what.meant]  # type: ignore[arg-type]
    told = waiting["plan"]
    plan = Plan(
        versions.read(waiting["number"]), waiting["after"],
        pl.Series("row_id", told["ids"], dtype=pl.String), told["removed"], told["left"],
        told["having"], told["models"],
    )  # fmt: skip
    after = plan.after if any(plan.left.values()) else ""
    if after and after not in versions.known():
        make_without(versions, plan, meant, waiting["why"], waiting["allow"])
    elif after:  # made by an attempt that was stopped, perhaps before it was pointed at
        versions.point(latest=after)
    stone = Tombstone(
        at=waiting["at"], what=[str(one) for one in meant], why=waiting["why"], rows={},
        fingerprint="",
    )  # fmt: skip
    done = erase(versions.root.parent, runs, what, stone)
    _note(versions, plan, meant, waiting, what, after)
    for name, fingerprints in what.fingerprints.items():
        if runs.is_dir():
            remember(runs, name, fingerprints, waiting["at"])
    versions.note(KIND, UNFINISHED, {})
    made = versions.read(after) if after else None
    return Withdrawn(plan, made, versions.folder(after) if after else None, done)


def _note(
    versions: Versions,
    plan: Plan,
    meant: Sequence[Meant],
    waiting: dict[str, Any],
    what: Erasure,
    after: str,
) -> None:
    """Let every data set whose versions were changed remember what was erased."""
    for name in {versions.name, *what.versions}:
        of = Versions(versions.store, name)
        is_own = name == versions.name
        as_number = after if is_own else ""
        stem = as_number or f"purge-{waiting['at'].replace(':', '').replace('-', '')}"
        found: Withdrawal | None = None
        if as_number:
            found = next((one for one in withdrawals(of) if one.after == as_number), None)
        made = found or noted(plan, meant, waiting["why"], after=as_number)
        changed = what.fingerprints.get(name, {})
        note(of, stem, made.model_copy(update={
            "purged": True, "fingerprints": changed, "ids": sorted(what.ids.to_list()),
            "at": made.at if found else waiting["at"],
        }))  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
