"""Files that ship beside the code: `recipes/`, `schemas/` and `annotation/`.

They lie at the top of the repository, where people look for them; the wheel carries them inside the
package as `databuild/_shipped/` (`force-include` in pyproject.toml). Only this module knows both.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from databuild.errors import RecipeError, nearest


def shipped(name: str) -> Path:
    """Find a file or folder that ships with databuild.

    An installed wheel has it in `databuild/_shipped/`; a checkout has it beside the package.

    Args:
        name: Its path in the repository, with slashes: `recipes/quickstart.yaml`.

    Returns:
        A path that exists, to be read and never written; installers unpack wheels, so it is real.

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
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    known = nearest(path.name, [other for other in beside if not other.startswith((".", "_"))])
    what = f"databuild ships no such file; {known}"
    raise RecipeError(name, what, fix="name one of those, or reinstall databuild")
