"""The key of a step: a hash of everything that determines its output, and of nothing else.

In: the step and its version, options that differ from their defaults, a plugin's source, model
identities, the seed where the step draws, the content digests of its inputs and files. Out:
workers, shard sizes, paths, addresses, secrets, `max_failure_ratio`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128

from databuild.engine.store import ModelTarget, read_json, write_json
from databuild.errors import StoreError
from databuild.recipe.options import marked
from databuild.schema.identity import derive_seed, digest_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from databuild.engine.step import Step
    from databuild.recipe.bind import Node

KEY_VERSION = 1
_CHUNK = 1 << 22


class FileDigests:
    """Content digests of files, remembered by path, size and mtime."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, Any] = read_json(memory) if memory.exists() else {}

    def of(self, path: Path) -> str:
        """XXH3-128 of the file's bytes.

        Raises:
            StoreError: The file cannot be read.
        """
        try:
            stat = path.stat()
            stamp = [stat.st_size, stat.st_mtime_ns]
            known = self._known.get(str(path))
            if known and known[:2] == stamp:
                return str(known[2])
            digest = xxh3_128()
            with path.open("rb") as handle:
                while chunk := handle.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            fix = "make the file readable, or correct its path"
            raise StoreError(str(path), f"cannot be read: {error.strerror}", fix=fix) from error
        self._known[str(path)] = [*stamp, digest.hexdigest()]
        return digest.hexdigest()

    def save(self) -> None:
        """Remember what was learnt."""
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._memory, self._known)


def step_seed(recipe_seed: int, node: Node) -> int:
    """The seed of a step: of the recipe's data seed and the step's name."""
    return derive_seed(recipe_seed, node.name)


def key_parts(  # noqa: PLR0913 -- everything that determines an output, each by its name
    node: Node,
    step: Step,
    *,
    inputs: Mapping[str, str],
    models: Mapping[str, ModelTarget],
    files: tuple[str, ...],
    seed: int,
    limit: int | None,
    also: tuple[str, ...] = (),
    outside: str | None = None,
) -> dict[str, Any]:
    """Everything that determines the output of a step, as plain JSON.

    `also` are the optional columns of the step that its inputs have, `outside` is the head of a
    journal of the world outside.
    """
    options = node.config.model_dump(mode="json", exclude_defaults=True)
    said_elsewhere = ("path", "model", "models", "place", "outside")
    for option in {o for mark in said_elsewhere for o, _ in marked(node.config, mark)}:
        options.pop(option, None)
    parts: dict[str, Any] = {
        "step": f"{step.name} v{step.version}",
        "options": options,
        "inputs": dict(inputs),
        "models": {option: target.identity for option, target in models.items()},
        "files": list(files),
    }
    if outside is not None:
        parts["outside"] = outside
    if also:
        parts["also"] = sorted(also)
    if node.stale:
        parts["stale"] = list(node.stale)
    if step.brings:
        texts = {path.name: path.read_text("utf-8") for path in step.brings(node.config)}
        parts["brings"] = {name: digest_text(text) for name, text in sorted(texts.items())}
    if step.plugin:
        parts["plugin"] = digest_text(step.plugin.read_text(encoding="utf-8"))
    if "seed" in step.needs:
        parts["seed"] = seed
    if limit is not None and step.sees == "source":
        parts["limit"] = limit
    return parts


def key_of(parts: Mapping[str, Any]) -> str:
    """The key of a step with these parts, 32 hexadecimal digits."""
    return digest_text(str(KEY_VERSION), json.dumps(parts, sort_keys=True, ensure_ascii=False))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say what changed between two keys, one line a change."""
    lines = []
    for field in dict.fromkeys([*old, *new]):
        before, after = old.get(field), new.get(field)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            for name in dict.fromkeys([*before, *after]):
                if before.get(name) != after.get(name):
                    change = f"{_short(before.get(name))} -> {_short(after.get(name))}"
                    lines.append(f"{field}.{name}: {change}")
        else:
            lines.append(f"{field}: {_short(before)} -> {_short(after)}")
    return lines


def _short(value: Any) -> str:
    text = "default" if value is None else str(value)
    return f"{text[:12]}…" if len(text) == 32 and text.isalnum() else text[:80]
