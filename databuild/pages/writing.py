"""From a template and its content to one self-contained page."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from databuild.errors import ServiceError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jinja2 import Template


def load(package: str, template: str, **filters: Callable[..., Any]) -> Template:
    """A template that lies in a package's folder, into which everything is put escaped.

    Raises:
        ServiceError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        fix = "pip install 'databuild[report]', then run again: all is cached"
        raise ServiceError("report", "jinja2 is not installed", fix=fix) from error
    environment = Environment(
        loader=PackageLoader(package, "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["thousands"] = lambda n: f"{n:,}" if n else ""
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters.update(filters)
    return environment.get_template(template)


def write_page(path: Path, page: str) -> None:
    """Write a page whole or not at all.

    Raises:
        StoreError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        what = f"cannot write: {error.strerror or error}"
        raise StoreError(str(path), what, fix="make room, or make the folder writable") from error
