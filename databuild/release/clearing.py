"""Remove versions that nobody needs, and files that no version needs.

A version is needed while a name points at it (`latest`, `best`, a tag), while a model was trained
on it, while another version or a model says that it came from it, while it is among the newest, and
while it is young. A file is needed while a version has it. What a killed release left is needed by
nobody. Nothing is removed while a release is under way, and no release begins while we remove
(see `leases`): a release may count on files that no version has yet.

The order makes a kill harmless: a version is first noted as removed, then its manifest goes (it is
no version any more), then its files; the next clearing-out takes what is left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from databuild.errors import StoreError
from databuild.release.depots import Folder
from databuild.release.leases import GC, lease
from databuild.release.versions import MANIFEST, Versions, names_in, remove, told

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from databuild.release.versions import Version

ALL = 1_000_000
"""Keep so many versions: all."""


@dataclass
class Cleared:
    """What was removed, or would be."""

    name: str
    versions: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    """Of versions that are old enough to go: why each stays."""
    objects: int = 0
    leftovers: int = 0
    """Files of releases that were killed."""
    bytes: int = 0


def clear(
    versions: Versions, *, keep: int = ALL, keep_days: float = 0, dry_run: bool = False
) -> Cleared:
    """Remove what is not needed of one data set.

    Args:
        versions: The data set.
        keep: So many of the newest versions stay in any case; without it, all do.
        keep_days: Versions that are younger stay in any case.
        dry_run: Only say what would be removed.

    Returns:
        What was removed. `bytes` are those of files that no version shares.

    Raises:
        StoreError: A release is under way, or a manifest cannot be read: then it is not known what
            is needed, and nothing is removed.
    """
    with lease(versions.depot, versions.name, GC) as held:
        all_of = {number: versions.read(number) for number in versions.known()}
        found = Cleared(versions.name)
        texts = _texts(versions.store) if len(all_of) > keep else []
        for version in _old(all_of, keep, keep_days):
            why = _needed(versions, version, list(all_of)[-1], texts)
            if why:
                found.kept[version.version] = why
            else:
                found.versions.append(version.version)
                del all_of[version.version]
        if not dry_run:
            when = datetime.now(UTC).isoformat(timespec="seconds")
            for number in found.versions:
                versions.bury(versions.read(number), when)
            for number in versions.half_removed():  # those of a clearing-out that was killed too
                _remove_version(versions, number)
        needed = {one.sha256 for version in all_of.values() for one in version.files}
        _clear_objects(versions, needed, found, dry_run=dry_run)
        _clear_leftovers(versions, held.token, found, dry_run=dry_run)
    return found


def _old(all_of: dict[str, Version], keep: int, keep_days: float) -> list[Version]:
    """Versions that may go for their age, oldest first."""
    if keep < 1:
        what = f"--keep {keep} would remove the newest version too"
        raise StoreError("gc", what, fix="keep at least one")
    until = datetime.now(UTC) - timedelta(days=keep_days)
    candidates = list(all_of.values())[: max(0, len(all_of) - keep)]
    return [one for one in candidates if datetime.fromisoformat(one.created) <= until]


class _Text(NamedTuple):
    """Something that may name versions."""

    where: str
    of: str
    """The fingerprint of the version that it belongs to; it names itself, which does not count."""
    text: str


def _needed(versions: Versions, version: Version, newest: str, texts: Iterable[_Text]) -> str:
    """Why a version must stay; empty where nothing needs it."""
    pointers = {"latest": newest, **versions.pointers()}
    names = sorted(name for name, at in pointers.items() if at == version.version)
    if names:
        return f"it is {', '.join(names)}"
    if version.trained:
        return f"models were trained on it ({', '.join(sorted(version.trained))})"
    named = re.compile(rf"\b{re.escape(version.name)}@{re.escape(version.version)}(?!\d)")
    for one in texts:
        own = version.fingerprint == one.of
        if named.search(one.text) or (not own and version.fingerprint in one.text):
            return f"{one.where} names it"
    return ""


def _texts(store: Path | str) -> list[_Text]:
    """Manifests and recipes of all versions of a store, and what is noted of models."""
    found = []
    for name in names_in(store):
        of = Versions(store, name)
        for number in of.known():
            made = of.read(number)
            found.append(_Text(f"{name}@{number}", made.fingerprint, told(made)))
            for one in made.files:
                content = of.depot.read(of.key(made, one)) if one.path == "recipe.yaml" else None
                if content:
                    text = content.content.decode("utf-8", "replace")
                    found.append(_Text(f"the recipe of {name}@{number}", made.fingerprint, text))
        for entry in of.depot.entries(f"{name}/models"):
            content = of.depot.read(entry.key)
            if content:
                found.append(_Text(entry.key, "", content.content.decode("utf-8", "replace")))
    return found


def _remove_version(versions: Versions, number: str) -> None:
    if isinstance(versions.depot, Folder):
        folder = versions.folder(number)
        gone = folder.with_name(f".{number}.removed.{folder.stat().st_ino}")
        folder.chmod(0o755)
        folder.rename(gone)  # at once: there is never half a version
        remove(gone)
    else:
        versions.depot.delete(f"{versions.name}/{number}/{MANIFEST}")


def _clear_objects(versions: Versions, needed: set[str], found: Cleared, *, dry_run: bool) -> None:
    for one in versions.depot.entries(f"{versions.name}/objects"):
        if one.key.rpartition("/")[2] not in needed:
            found.objects += 1
            found.bytes += one.bytes
            if not dry_run:
                versions.depot.delete(one.key)


def _clear_leftovers(versions: Versions, token: str, found: Cleared, *, dry_run: bool) -> None:
    """Folders of versions that never were, and files that were being written: none is alive now."""
    for path in [*versions.leftovers(token), *versions.half_written()]:
        files = [one for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file()]
        found.leftovers += len(files)
        found.bytes += sum(one.stat().st_size for one in files if one.stat().st_nlink == 1)
        if not dry_run:
            remove(path)
