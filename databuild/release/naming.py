"""What a version is called: `name@1.2.0`, after semantic versioning (semver.org, 2.0.0)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from databuild.errors import RecipeError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")
AUTO = "auto"


@dataclass(frozen=True)
class Reference:
    """A data set and what of it is meant: a version, a tag, `latest`, or `auto` for the next."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def read_reference(text: str) -> Reference:
    """Read `name@version`; `name` alone means its latest version.

    Raises:
        RecipeError: The name has other letters than those of a folder.

    Example:
        >>> read_reference("support-bot@1.2.0")
        Reference(name='support-bot', version='1.2.0')
        >>> str(read_reference("support-bot"))
        'support-bot@latest'
    """
    name, _, version = text.partition("@")
    if not _NAME.fullmatch(name) or (version and not re.fullmatch(r"[A-Za-z0-9._-]+", version)):
        what = (
            f"{text!r} names no version: a name has letters, digits, _ and -, as support-bot@1.2.0"
        )
        raise RecipeError("release", what, fix="write it as name@1.2.0")
    return Reference(name, version or "latest")


def numbers(version: str) -> tuple[int, int, int] | None:
    """The three numbers of a version, to sort by; None where it is none.

    Example:
        >>> numbers("1.10.0"), numbers("latest"), numbers("1.0")
        ((1, 10, 0), None, None)
    """
    found = _VERSION.fullmatch(version)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def next_version(known: list[str], *, breaks: bool) -> str:
    """The version after those that are known: the next minor, or the next major one.

    Args:
        known: Versions that exist.
        breaks: A configuration or a column of the last version is gone.

    Example:
        >>> next_version([], breaks=False), next_version(["1.9.0", "1.10.3"], breaks=False)
        ('1.0.0', '1.11.0')
        >>> next_version(["1.9.0"], breaks=True)
        '2.0.0'
    """
    found = sorted(three for one in known if (three := numbers(one)))
    if not found:
        return "1.0.0"
    major, minor, _ = found[-1]
    return f"{major + 1}.0.0" if breaks else f"{major}.{minor + 1}.0"


def check_version(version: str, known: list[str]) -> None:
    """Refuse a version that is no version, exists already, or goes backwards.

    Raises:
        RecipeError: It cannot be the next one; says which could.
    """
    three = numbers(version)
    after = next_version(known, breaks=False)
    if three is None:
        what = f"{version!r} is no version: three numbers, as {after}"
        raise RecipeError("release", what, fix=f"write {after}, or `auto`")
    last = max((found for one in known if (found := numbers(one))), default=None)
    if version in known:
        what = f"version {version} exists, and a version never changes"
        raise RecipeError("release", what, fix=f"write {after}, or `auto`")
    if last and three < last:
        newest = ".".join(map(str, last))
        what = f"version {version} is before {newest}, which exists"
        raise RecipeError("release", what, fix=f"write {after}, or `auto`")
