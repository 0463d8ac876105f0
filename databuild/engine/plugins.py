"""A user's own Python files, loaded as they are written now."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from databuild.errors import DatabuildError, RecipeError

_PREFIX = "databuild_plugin_"
_SOURCE = "_databuild_source"


def load_module(path: Path) -> ModuleType:
    """Load a user's Python file.

    A file that was edited since it was loaded is loaded again: its source is part of every key, so
    what runs must be what was hashed.

    Raises:
        RecipeError: The file is missing, or cannot be imported.
    """
    if path.suffix != ".py":
        raise RecipeError(str(path), "this is not a Python file", fix="name a .py file")
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        what = f"this plugin file cannot be read: {error.strerror}"
        raise RecipeError(str(path), what, fix="correct its path") from error
    name = _PREFIX + path.resolve().as_posix().encode().hex()
    known = sys.modules.get(name)
    if known is None or known.__dict__.get(_SOURCE) != source:
        known = sys.modules[name] = _import(path, name, source)
    return known


def _import(path: Path, name: str, source: str) -> ModuleType:
    """Import exactly this source: Python's own cache would miss an edit within one second."""
    module = ModuleType(name)
    module.__file__ = str(path)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and annotations look their module up there
    try:
        exec(compile(source, str(path), "exec"), vars(module))  # noqa: S102 -- the user's own file
    except Exception as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        if isinstance(error, DatabuildError):
            raise
        what = f"the plugin cannot be imported: {type(error).__name__}: {error}"
        raise RecipeError(str(path), what, fix="make `python <file>` run") from error
    vars(module)[_SOURCE] = source
    return module


def plugin_of(module: str) -> Path | None:
    """The file that a module of a user's was loaded from; None for any other module."""
    if not module.startswith(_PREFIX):
        return None
    return Path(bytes.fromhex(module.removeprefix(_PREFIX)).decode())
