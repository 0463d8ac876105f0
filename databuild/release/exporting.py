"""Hand a released version to a trainer: its rows in another format, and which version they are."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import ValidationError

from databuild.engine.store import write_json, writing
from databuild.errors import RecipeError, StoreError, nearest
from databuild.export.megatron import MegatronConfig, write_shards
from databuild.export.trainer import TrainerConfig, write_for_trainer
from databuild.release.encryption import check_key, read_rows
from databuild.release.versions import sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.release.encryption import Key
    from databuild.release.versions import Version, Versions

MEGATRON = "megatron"
ACCOUNT = "export.json"
SKIPPED = "skipped.jsonl"


def read_splits(
    versions: Versions,
    version: Version,
    config: str | None = None,
    splits: Sequence[str] = (),
    key: Key | None = None,
) -> tuple[str, dict[str, pl.DataFrame]]:
    """Read splits of a version, each file checked against its checksum.

    Args:
        versions: Where it lies.
        version: Its manifest.
        config: The configuration; a version that has only one needs none.
        splits: Names of splits; none means all.
        key: The key, where it is encrypted.

    Returns:
        The configuration, and its tables by split.

    Raises:
        RecipeError: There is no such configuration or split, or several configurations.
        StoreError: A file is missing or changed, or the key is not the right one.
    """
    named = f"{version.name}@{version.version}"
    if config is None and len(version.configs) > 1:
        known = ", ".join(sorted(version.configs))
        what = f"{named} has several configurations: {known}"
        raise RecipeError("export", what, fix="name one with --config")
    config = next(iter(version.configs)) if config is None else config
    if config not in version.configs:
        what = f"{named} has no configuration {config!r}; {nearest(config, version.configs)}"
        raise RecipeError("export", what, fix="name one of those with --config")
    known_splits = version.configs[config]
    for split in splits:
        if split not in known_splits:
            what = f"{config} of {named} has no split {split!r}; {nearest(split, known_splits)}"
            raise RecipeError("export", what, fix="name one of those with --split")
    check_key(version.encrypted, key, named)
    folder = versions.folder(version.version)
    tables: dict[str, pl.DataFrame] = {}
    for split in splits or known_splits:
        frames = []
        for one in version.files:
            place, _, name = one.path.rpartition("/")
            if place != f"data/{config}" or name.rpartition("-")[0] != split:
                continue
            path = folder / one.path
            if not path.is_file() or sha256_of(path) != one.sha256:
                told = "changed" if path.is_file() else "missing"
                what = f"{one.path} is {told}"
                raise StoreError(named, what, fix="see `databuild verify`; take it from a copy")
            frames.append(read_rows(path, key, named) if one.seal else pl.read_parquet(path))
        tables[split] = pl.concat(frames, how="diagonal_relaxed")
    return config, tables


def export_version(
    versions: Versions,
    version: Version,
    form: str,
    out: Path,
    *,
    config: str | None = None,
    splits: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    key: Key | None = None,
) -> dict[str, Any]:
    """Write a version in a trainer's format; the folder is there whole or not at all.

    Beside what `export.trainer` or `export.megatron` write, the folder gets `export.json` (which
    version, its fingerprint, the counts, the checksum of every file) and, where rows were left out,
    `skipped.jsonl` (the row_id and the reason of each).

    Args:
        versions: Where it lies.
        version: Its manifest.
        form: A format of `export.trainer`, or `megatron`.
        out: A folder that is not there yet.
        config: The configuration.
        splits: Names of splits; none means all.
        options: Options of the step; of `megatron` also `tokenizer`, the folder of a model.
        key: The key, where the version is encrypted.

    Returns:
        What `export.json` holds.

    Raises:
        RecipeError: An option or the configuration is wrong.
        StepError: No row can be written.
        StoreError: The folder exists, or a file of the version is missing or changed.
    """
    if out.exists():
        raise StoreError(str(out), "this exists already", fix="name a new folder")
    given = dict(options or {})
    tokenizer = given.pop("tokenizer", None)
    settings = _settings(form, given)
    if form == MEGATRON and not (tokenizer and Path(tokenizer).is_dir()):
        what = "tokens need a tokenizer" if tokenizer is None else f"no folder {tokenizer}"
        raise RecipeError("export", what, fix="name the folder of a model with --tokenizer")
    config, tables = read_splits(versions, version, config, splits, key)
    staging = out.with_name(f".{out.name}.{token_hex(4)}")
    try:
        with writing(staging):
            staging.mkdir(parents=True)
            if isinstance(settings, MegatronConfig):
                facts = write_shards(None, settings, model=Path(tokenizer), out=staging, **tables)
            else:
                facts = write_for_trainer(None, settings, out=staging, **tables)
            told = _account(version, config, form, settings, facts, staging)
            staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return told


def _settings(form: str, options: Mapping[str, Any]) -> TrainerConfig | MegatronConfig:
    kind: type[TrainerConfig | MegatronConfig] = TrainerConfig
    made = dict(options)
    if form == MEGATRON:
        kind, made = MegatronConfig, {"model": "tokenizer", **made}
    else:
        made = {"format": form, **made}
    try:
        return kind.model_validate(made)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if name == "format":
            known = (*TrainerConfig.model_json_schema()["properties"]["format"]["enum"], MEGATRON)
            what = f"no format is called {form!r}; {nearest(form, [*known, 'hub'])}"
            raise RecipeError("export", what, fix="name one of those with --to") from error
        known = tuple(kind.model_fields)
        what = f"the option {name!r}: {first['msg']}"
        fix = f"correct it; {form} has the options {', '.join(known)}"
        raise RecipeError("export", what, fix=fix) from error


def _account(
    version: Version,
    config: str,
    form: str,
    settings: TrainerConfig | MegatronConfig,
    facts: dict[str, Any],
    folder: Path,
) -> dict[str, Any]:
    skipped = facts.pop("rows_skipped", [])
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = {
        "version": f"{version.name}@{version.version}",
        "fingerprint": version.fingerprint,
        "configuration": config,
        "format": form,
        "options": settings.model_dump(mode="json", exclude_defaults=True),
        **{name: value for name, value in facts.items() if name not in {"format", "files"}},
        "rows_skipped": len(skipped),
        "by_reason": dict(Counter(one["reason"] for one in skipped).most_common()),
        "files": {
            path.relative_to(folder).as_posix(): {
                "sha256": sha256_of(path), "bytes": path.stat().st_size,
            }
            for path in files
        },
    }  # fmt: skip
    if skipped:
        lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in skipped)
        (folder / SKIPPED).write_text("".join(lines), encoding="utf-8")
    write_json(folder / ACCOUNT, told)
    return told
