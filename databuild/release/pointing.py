"""Give names to versions by hand: nothing clears a version away while a name is being given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databuild.release.leases import lease

if TYPE_CHECKING:
    from databuild.release.versions import Versions


def point(versions: Versions, **names: str) -> None:
    """Let names (`latest`, `best`, tags) point at versions.

    Raises:
        StoreError: A version is not there (any more), or somebody clears the store out.
    """
    with lease(versions.depot, versions.name, "tag"):
        for number in names.values():
            versions.read(number)
        versions.point(**names)
