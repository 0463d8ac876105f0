"""Which files are read and what they are called: archives, and files that hold no records."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, NamedTuple

from databuild.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

SKIPPED = "hidden or marker files skipped"
_MARKERS = re.compile(
    r"[._].*|.*\.crc|.*\.lock|README.*|LICENSE.*|dataset_infos?\.json|dataset_dict\.json|state\.json"
    r"|cache-.*\.arrow"
)
"""`_SUCCESS`, `_metadata`, `.part-0.crc`, and what `datasets` and the Hub put beside the data."""


class Place(NamedTuple):
    """A file, or a member of a zip archive."""

    file: Path
    member: str | None = None


def found_in(files: Sequence[Path], named: Collection[str]) -> tuple[list[Place], dict[str, int]]:
    """The files to read; and how many were passed over as hidden or as markers.

    Args:
        files: What the recipe's `path` stands for.
        named: Names that the recipe gives itself: these are read, whatever they are called.

    Raises:
        RecipeError: A file is missing or a folder.
    """
    places: list[Place] = []
    n_skipped = 0
    for path in files:
        _check(path)
        if len(files) > 1 and path.name not in named and _MARKERS.fullmatch(path.name):
            n_skipped += 1
        elif _is_zip(path):
            members = list(_members(path))
            kept = [m for m in members if not _is_marker(m)]
            places += [Place(path, member) for member in kept]
            n_skipped += len(members) - len(kept)
        else:
            places.append(Place(path))
    return places, {SKIPPED: n_skipped} if n_skipped else {}


def names_of(places: Sequence[Place]) -> dict[Place, str]:
    """The shortest ends of the paths that tell all apart; a member follows its archive."""
    files = {place.file for place in places}
    for depth in range(1, 1 + max((len(path.parts) for path in files), default=0)):
        names = {path: "/".join(path.parts[-depth:]) for path in files}
        if len(set(names.values())) == len(names):
            break
    else:
        names = {path: path.name for path in files}
    return {p: names[p.file] + (f"/{p.member}" if p.member else "") for p in places}


def _is_marker(member: str) -> bool:
    folders, _, name = member.rpartition("/")
    return folders.startswith("__MACOSX") or bool(_MARKERS.fullmatch(name))


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in {b"PK\x03\x04", b"PK\x05\x06"}


def _members(path: Path) -> Iterator[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield from (info.filename for info in archive.infolist() if not info.is_dir())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        what = f"this zip archive cannot be read: {error}"
        raise RecipeError(
            str(path), what, fix="repair the file, or leave it out of `path`"
        ) from error


def _check(path: Path) -> None:
    if path.is_dir():
        what = "this is a folder, not a file"
        raise RecipeError(str(path), what, fix="name its files: `folder/*.jsonl`")
    if not path.is_file():
        raise RecipeError(str(path), "this file does not exist", fix="correct `path`")
    try:
        path.open("rb").close()
    except OSError as error:
        what = f"this file cannot be read: {error.strerror}"
        raise RecipeError(str(path), what, fix="make it readable") from error
