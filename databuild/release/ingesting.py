"""ingest.release: a released version as the table that a recipe begins with."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.step import RESERVED, Produced, step
from databuild.errors import RecipeError, StoreError, nearest
from databuild.recipe.options import Outside, Place, StepConfig
from databuild.release.forgotten import check_not_withdrawn
from databuild.release.naming import read_reference
from databuild.release.reading import check_plain
from databuild.release.versions import Split, Version, Versions, at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEPT = ("row_id", "content_id", "parent_ids")


class ReleaseConfig(StepConfig):
    """Options of `ingest.release`."""

    version: Outside
    """Which: `support-bot@1.2.0`, or a name that may move, such as `support-bot@best`."""
    store: Place = "releases"
    """The folder of released versions, relative to the recipe."""
    config: str | None = None
    """The configuration, such as `sft`; null where there is only one."""
    split: str = "train"
    """The split of it."""
    fingerprint: str | None = None
    """What the version's fingerprint must be; a run is refused where it is another."""


def look_outside(config: ReleaseConfig, journals: Path, *, fetch: bool) -> tuple[str, str]:
    """The version's fingerprint, which is its key, and which version it is.

    Raises:
        StoreError: It is not there, was withdrawn, or is not the one that was asked for.
    """
    del fetch
    versions, version, _, _ = _meant(config)
    runs = journals.parent
    if config.fingerprint:
        check_not_withdrawn(versions, config.fingerprint, runs)
    check_not_withdrawn(versions, version.fingerprint, runs)
    if config.fingerprint not in {None, version.fingerprint}:
        what = f"its fingerprint is {version.fingerprint}, not {config.fingerprint}"
        fix = "find out with `databuild versions` who released it anew, or correct `fingerprint`"
        raise StoreError(f"{version.name}@{version.version}", what, fix=fix)
    check_plain(version)
    return version.fingerprint, f"{version.name}@{version.version}"


def plan_files(
    config: ReleaseConfig, files: Sequence[Path], shard_bytes: int
) -> list[dict[str, Any]]:
    """Divide the split's files into runs of about `shard_bytes`, each with its checksum."""
    del files
    _, version, name, _ = _meant(config)
    told = {"store": config.store, "version": f"{version.name}@{version.version}",
            "fingerprint": version.fingerprint}  # fmt: skip
    told["name"] = f"{told['version']}/{name}/{config.split}"
    splits: list[dict[str, Any]] = []
    for one in version.of(name, config.split):
        if not splits or splits[-1]["bytes"] + one.bytes > shard_bytes:
            splits.append({"file": told["name"], **told, "bytes": 0, "parts": []})
        splits[-1]["bytes"] += one.bytes
        splits[-1]["parts"].append([one.path, one.sha256])
    return splits


def columns_of(config: ReleaseConfig, files: Sequence[Path]) -> tuple[str, ...] | None:
    """The columns that the version's manifest names."""
    del files
    return tuple(c for c in _meant(config)[3].columns if c not in RESERVED)


@step(
    "ingest.release", kind="produce", sees="source", version=1, adds=None, keeps_ids=True,
    splits=plan_files, peeks=columns_of, outside=look_outside,
)  # fmt: skip
def read_release(split: Mapping[str, Any], config: ReleaseConfig) -> Produced:
    """Read files of a released version; each is hashed first, and refused where it has changed.

    Rows keep their `row_id` and their parents, so that `databuild why` goes on into the version
    that they came from. What is trained on them names the version and its fingerprint in its
    manifest and beside the model, and is listed with the version.

    Args:
        split: One of `plan_files`.
        config: See `ReleaseConfig`.

    Returns:
        The version's columns. `reason`, `evidence`, `part` and `error`, which steps make anew, are
        left out and noted.

    Raises:
        StoreError: A file is missing, or its checksum is off.

    Example:
        >>> import tempfile
        >>> from databuild.engine.store import write_json
        >>> from databuild.release.versions import fingerprint, plain
        >>> told = {"created": "", "databuild": "", "recipe": "", "run": ""}
        >>> rows = pl.DataFrame({"row_id": ["a"], "content_id": ["b"], "parent_ids": [["c"]]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     versions = Versions(Path(folder), "demo")
        ...     with versions.making("1.0.0") as place:
        ...         rows.write_parquet(path := place / "data-sft-train-0.parquet")
        ...         file = versions.keep(path, place, 1)
        ...         (place / "data/sft").mkdir(parents=True)
        ...         _ = path.rename(place / "data/sft/train-0.parquet")
        ...         file.path = "data/sft/train-0.parquet"
        ...         split = Split(step="s", rows=1, columns={})
        ...         made = Version(name="demo", version="1.0.0", fingerprint=fingerprint([file]),
        ...                        configs={"sft": {"train": split}}, files=[file], **told)
        ...         write_json(place / "manifest.json", plain(made))
        ...     config = ReleaseConfig(version="demo@1.0.0", store=folder)
        ...     [split] = plan_files(config, (), 1 << 20)
        ...     read_release(split, config).rows.equals(rows)
        True
    """
    versions, version, _, _ = _meant(config)
    frames = [_read(versions, version, path, digest) for path, digest in split["parts"]]
    rows = pl.concat(frames, how="diagonal_relaxed")
    left_out = sorted((RESERVED - set(_KEPT)) & set(rows.columns))
    notes = {f"values of {name} left out": rows[name].count() for name in left_out}
    return Produced(rows.drop(left_out), notes=notes)


def _read(versions: Versions, version: Version, path: str, digest: str) -> pl.DataFrame:
    place = versions.folder(version.version) / path
    named = f"{version.name}@{version.version}"
    fix = f"look with `databuild verify {named}`, and take the file from a copy"
    try:
        content = place.read_bytes()
    except OSError as error:
        raise StoreError(named, f"{path} cannot be read: {error.strerror}", fix=fix) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        what = (
            f"{path} is not as it was released: its checksum is {found[:12]}…, not {digest[:12]}…"
        )
        raise StoreError(named, what, fix=fix)
    return pl.read_parquet(BytesIO(content))


def _meant(config: ReleaseConfig) -> tuple[Versions, Version, str, Split]:
    """The version, the configuration and the split.

    Raises:
        RecipeError: The version has no such configuration or split.
        StoreError: The version is not there.
    """
    versions, version = at(Path(config.store), read_reference(config.version))
    named = f"{version.name}@{version.version}"
    name = config.config or (next(iter(version.configs)) if len(version.configs) == 1 else "")
    if name not in version.configs:
        what = f"{named} has no configuration {config.config!r}; "
        what = what if config.config else f"{named} has several configurations; "
        what += nearest(name, version.configs)
        raise RecipeError("ingest.release", what, fix="name one with `config`")
    splits = version.configs[name]
    if config.split not in splits:
        what = f"{named}/{name} has no split {config.split!r}; {nearest(config.split, splits)}"
        raise RecipeError("ingest.release", what, fix="name one with `split`")
    return versions, version, name, splits[config.split]
