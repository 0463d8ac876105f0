"""The data set card: what a version is, written from the manifests alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from databuild.engine.store import Manifest
    from databuild.release.versions import Gate, Version

_TASKS = {"preference": "reinforcement-learning"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"))  # fmt: skip


def card(version: Version, steps: Sequence[Manifest]) -> str:
    """Write the card.

    Args:
        version: What is released.
        steps: The manifests of all steps behind it, in order.

    Returns:
        Markdown with the YAML head by which `datasets.load_dataset` finds configurations.
    """
    body = [_head(version), *_contents(version), *_making(steps), *_sources(version, steps),
            *_models(version, steps), *_checks(version.gates), *_reading(version)]  # fmt: skip
    return "\n".join(body) + "\n"


def size(rows: int) -> str:
    """The size category that the Hugging Face hub knows.

    Example:
        >>> size(999), size(120_000), size(10**9)
        ('n<1K', '100K<n<1M', 'n>10M')
    """
    return next((name for limit, name in _SIZES if rows < limit), "n>10M")


def _head(version: Version) -> str:
    lines = ["---", "configs:"]
    for config, splits in version.configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split in splits:
            lines += [f"  - split: {split}", f"    path: data/{config}/{split}-*.parquet"]
    rows = sum(split.rows for splits in version.configs.values() for split in splits.values())
    lines += ["size_categories:", f"- {size(rows)}", "tags:", "- databuild", "---", ""]
    return "\n".join(lines)


def _contents(version: Version) -> Iterator[str]:
    yield f"# {version.name} {version.version}"
    yield ""
    yield f"Made by databuild {version.databuild} from the recipe `{version.recipe}` on "
    yield f"{version.created[:10]}. Fingerprint of the data: `{version.fingerprint}`."
    yield ""
    yield "| configuration | split | rows | from the step |"
    yield "|---|---|---|---|"
    for config, splits in version.configs.items():
        for name, split in splits.items():
            yield f"| {config} | {name} | {split.rows:,} | `{split.step}` |"
    yield ""


def _making(steps: Sequence[Manifest]) -> Iterator[str]:
    yield "## How it was made"
    yield ""
    yield "| step | what | rows in | kept or made | dropped | failed |"
    yield "|---|---|---|---|---|---|"
    for step in steps:
        n = step.rows
        told = f"{n.rows_in:,} | {n.rows_out:,} | {n.dropped:,} | {n.failed:,}"
        yield f"| `{step.step}` | {step.use} | {told} |"
    yield ""
    yield "`recipe.yaml` beside this file is the recipe; `manifest.json` has every step's key."
    yield ""


def _sources(version: Version, steps: Sequence[Manifest]) -> Iterator[str]:
    yield "## Sources"
    yield ""
    yield "| step | files | digest | licence |"
    yield "|---|---|---|---|"
    for step in steps:
        if not step.inputs:
            names = list(dict.fromkeys(str(s.get("name", "")) for s in step.splits or ()))
            told = ", ".join(f"`{name}`" for name in names[:8]) + (" ..." if names[8:] else "")
            licence = version.licence.get(step.step) or "unknown"
            yield f"| `{step.step}` | {told} | `{step.digest}` | {licence} |"
    yield ""


def _models(version: Version, steps: Sequence[Manifest]) -> Iterator[str]:
    asked = sorted(
        (identity, step.step, step.use)
        for step in steps
        for identity in (step.key_parts.get("models") or {}).values()
    )
    if asked or version.trained:
        yield "## Models"
        yield ""
    if asked:
        yield "| model | in the step | |"
        yield "|---|---|---|"
        yield from (f"| `{identity}` | `{step}` | {use} |" for identity, step, use in asked)
        yield ""
    if version.trained:
        told = ", ".join(f"`{model}` ({step})" for step, model in version.trained.items())
        yield f"Trained on these tables in the same run: {told}."
        yield ""


def _checks(gates: Sequence[Gate]) -> Iterator[str]:
    words = {True: "passed", False: "**not passed**", None: "not checked"}
    yield "## Checks"
    yield ""
    yield "| check | | what was found |"
    yield "|---|---|---|"
    for gate in gates:
        why = f" Released all the same: {gate.override}" if gate.override else ""
        yield f"| {gate.name} | {words[gate.passed]} | {gate.told}.{why} |"
    yield ""


def _reading(version: Version) -> Iterator[str]:
    config = next(iter(version.configs))
    split = next(iter(version.configs[config]))
    yield "## Reading it"
    yield ""
    yield "```python"
    yield f'rows = datasets.load_dataset("path/to/this/folder", "{config}", split="{split}")'
    yield "```"
    yield ""
    yield "Where does a row come from? With Polars alone:"
    yield ""
    yield "```python"
    yield "import polars as pl"
    yield 'made = pl.read_parquet("lineage/rows-*.parquet")      # every ancestor, and its parents'
    yield 'came = pl.read_parquet("lineage/sources-*.parquet")   # straight to file and record'
    yield 'came.filter(pl.col("row_id") == rows[0]["row_id"])'
    yield "```"
