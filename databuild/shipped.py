"""Files that ship beside the code: `recipes/`, `schemas/` and `annotation/`.

They lie at the top of the repository, where people look for them, and the wheel carries them inside
the package as `databuild/_shipped/` (`force-include` in pyproject.toml). This module alone knows both places.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from databuild.errors import RecipeError, nearest


def shipped(name: str) -> Path:
    """Find a file or folder that ships with databuild.

    An installed wheel has it in `databuild/_shipped/`; otherwise it is sought beside the package, in the checkout.

    Args:
        name: Its path in the repository, with slashes: `recipes/quickstart.yaml`.

    Returns:
        A path that exists. Packages are always installed unpacked (their libraries demand it), so this
        is a real path, to be read and never written.

    Raises:
        RecipeError: Nothing of that name ships.

    Example:
        >>> shipped("recipes").is_dir()
        True
    """
    package = Path(str(files("databuild")))
    packed = package / "_shipped"
    root = packed if packed.is_dir() else package.parent
    path = root / name
    if path.exists():
        return path
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    known = nearest(path.name, [other.name for other in beside if not other.name.startswith((".", "_"))])
    raise RecipeError(
        name, f"databuild ships no such file; {known}", fix="name one of those, or reinstall databuild"
    )
