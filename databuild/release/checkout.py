"""Take a version out of the store: an ordinary folder, checked file by file while it is copied."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from databuild.engine.store import writing
from databuild.errors import RecipeError, StoreError, nearest
from databuild.release.sending import AT_ONCE, nobody
from databuild.release.versions import MANIFEST, File, Version, Versions, sha256_of, told

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.release.sending import Tick


def check_out(
    versions: Versions,
    version: str,
    folder: Path,
    *,
    config: str | None = None,
    split: str | None = None,
    tick: Tick = nobody,
) -> Version:
    """Copy a version, or some of its splits, into a new folder that `datasets` reads.

    The files are copies: whoever edits them changes nothing of the store. The folder is made under
    another name and is there at the end, whole; after a kill the same command goes on, and only
    copies what is not there yet. Beside the data come the card (its head names the splits that are
    taken), the lineage, the recipe and the manifest of the whole version.

    Args:
        versions: The data set.
        version: A number, a tag, `latest` or `best`.
        folder: Where to; must be new or empty.
        config: Only this configuration.
        split: Only splits of this name.
        tick: Told of bytes that are copied.

    Raises:
        RecipeError: There is no such configuration or split.
        StoreError: The folder is not empty, or a file of the store is missing or changed.
    """
    made, folder = versions.read(version), folder.resolve()
    wanted = _wanted(made, config, split)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "the folder is not empty"
        raise StoreError(str(folder), what, fix="name a new folder, or remove this one")
    files = [one for one in made.files if _belongs(one, wanted)]
    half = folder.with_name(f".{folder.name}.{made.fingerprint[:8]}.part")
    total = sum(one.bytes for one in files)
    tick(0, total)
    with writing(half):
        half.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            copying = {pool.submit(_copy, versions, made, one, half): one.bytes for one in files}
            try:
                for done in as_completed(copying):
                    done.result()
                    tick(copying[done], total)
            finally:
                pool.shutdown(cancel_futures=True)
        if config or split:
            _narrow(half / "README.md", wanted)
        (half / MANIFEST).write_text(told(made), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        half.rename(folder)
    return made


def _wanted(made: Version, config: str | None, split: str | None) -> dict[str, list[str]]:
    """The splits to take, by configuration."""
    if config is not None and config not in made.configs:
        what = f"{made.name}@{made.version} has no configuration {config!r}; "
        raise RecipeError("--config", what + nearest(config, made.configs), fix="name one of those")
    of = {one: list(made.configs[one]) for one in made.configs if config in {None, one}}
    known = {name for splits in of.values() for name in splits}
    if split is not None and split not in known:
        what = f"{made.name}@{made.version} has no split {split!r}; {nearest(split, known)}"
        raise RecipeError("--split", what, fix="name one of those")
    if split is not None:
        of = {one: [split] for one, splits in of.items() if split in splits}
    return of


def _belongs(one: File, wanted: dict[str, list[str]]) -> bool:
    if not one.path.startswith("data/"):
        return True
    config, _, name = one.path.removeprefix("data/").rpartition("-")[0].partition("/")
    return name in wanted.get(config, ())


def _copy(versions: Versions, made: Version, one: File, folder: Path) -> None:
    to = folder / one.path
    if to.is_file() and to.stat().st_size == one.bytes and sha256_of(to) == one.sha256:
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    waiting = to.with_name(f".{to.name}")
    try:
        found = versions.depot.download(versions.key(made, one), waiting)
        if found != one.sha256:
            what = f"{one.path} is {'missing' if found is None else 'not as it was released'}"
            fix = f"see `databuild verify {made.name}@{made.version}` for what is still whole"
            raise StoreError(f"{made.name}@{made.version}", what, fix=fix)
        waiting.rename(to)
    finally:
        waiting.unlink(missing_ok=True)


def _narrow(card: Path, wanted: dict[str, list[str]]) -> None:
    """Let the card's head name only what is there: `datasets` fails on a pattern without files."""
    from io import StringIO

    from ruamel.yaml import YAML

    if not card.is_file():
        return
    _, head, body = card.read_text(encoding="utf-8").split("---\n", 2)
    yaml = YAML()
    told_head: dict[str, Any] = yaml.load(head)
    told_head["configs"] = [
        {
            **one,
            "data_files": [
                f for f in one["data_files"] if f["split"] in wanted[one["config_name"]]
            ],
        }
        for one in told_head.get("configs", ())
        if one["config_name"] in wanted
    ]
    out = StringIO()
    yaml.dump(told_head, out)
    note = "Taken out in part: " + ", ".join(f"{c}/{s}" for c, of in wanted.items() for s in of)
    card.write_text(f"---\n{out.getvalue()}---\n\n> {note}.\n{body}", encoding="utf-8")
