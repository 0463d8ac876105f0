"""What a step's source says, whatever it looks like: the basis of "changed, but not its version"."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import databuild
from databuild.schema.identity import digest_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databuild.engine.step import Step

_SILENT = {"ctx", "type_comment", "kind", "type_params"}
_PACKAGE = Path(databuild.__file__ or "").parent


def facts_of(step: Step) -> dict[str, Any]:
    """A step's version, the digests of the modules that decide its result, and its defaults."""
    fields = step.config.model_fields.items()
    return {
        "version": step.version,
        "modules": {name: meaning(_path(name).read_text("utf-8")) for name in modules_of(step)},
        "defaults": {
            name: repr(field.get_default(call_default_factory=True)) for name, field in fields
        },
    }


def modules_of(step: Step) -> list[str]:
    """The step's module, and those of its own stage and of `databuild.text` that it leads to."""
    stage = step.module.rpartition(".")[0]
    found, waiting = set(), [step.module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [
                m for m in _imported(name) if m.startswith((f"{stage}.", "databuild.text."))
            ]
    return sorted(found)


def meaning(source: str) -> str:
    """A digest of a module that ignores layout, comments, docstrings, imports and signatures' types."""
    return digest_text(repr(_plain(ast.parse(source))))[:16]


def _path(module: str) -> Path:
    return _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _imported(module: str) -> Iterator[str]:
    """Modules that a module imports, or names in a text to start them as a process of their own."""
    for node in ast.walk(ast.parse(_path(module).read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        yield from (n for n in names if n.startswith("databuild.") and _path(n).is_file())


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(inner) for inner in node if not _is_silent(inner)]
    if not isinstance(node, ast.AST):
        return node
    fields = {name: value for name, value in ast.iter_fields(node) if name not in _SILENT}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        fields.pop("returns")
    if isinstance(node, ast.arg):
        fields.pop("annotation")
    return type(node).__name__, [(name, _plain(value)) for name, value in fields.items()]


def _is_silent(node: Any) -> bool:
    """Docstrings and attribute docstrings, imports, and what only type checkers read."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
