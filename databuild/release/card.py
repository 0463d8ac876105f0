"""The data set card: what a version is, written from its manifest alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from databuild.release.licences import NOT_ADVICE, combine
from databuild.release.limits import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from databuild.release.versions import Version

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"))  # fmt: skip
_NO_LANGUAGE = {"und", "mixed", "code"}
_LEAST_SHARE = 0.02
"""A language of fewer rows is not named in the head: the detector errs in so many."""
_SHOWN_VALUES = 12
_OPTION_CHARS = 90


def card(version: Version) -> str:
    """Write the card.

    Returns:
        Markdown with the YAML head by which the hub and `datasets.load_dataset` know a data set.
    """
    parts = [_head(version), _contents(version), _languages(version), _strata(version),
             _making(version), _sources(version), _models(version), _people(version),
             _checks(version), _limits(version), _reading(version), _citation(version)]  # fmt: skip
    return "\n".join(line for part in parts for line in part) + "\n"


def size(rows: int) -> str:
    """The size category that the Hugging Face hub knows.

    Example:
        >>> size(999), size(120_000), size(10**9)
        ('n<1K', '100K<n<1M', 'n>10M')
    """
    return next((name for limit, name in _SIZES if rows < limit), "n>10M")


def safe(value: object) -> str:
    r"""A value inside a line of Markdown: no line breaks, no markup of its own.

    Example:
        >>> safe("a|b\n<script> `x` [y](z)")
        'a\\|b &lt;script&gt; \\`x\\` \\[y\\](z)'
    """
    text = " ".join(str(value).split()).replace("\\", "\\\\")
    for mark in "|`[]*":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def prose(text: str) -> str:
    """A sentence of a docstring: its code stays code, and nothing else is markup."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(value: object) -> str:
    """A name in a line of Markdown, as code."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{text}`" if text else ""


def data_of(version: Version) -> Mapping[str, Any]:
    """What was counted of each configuration."""
    return version.about.get("data") or {}


def _head(version: Version) -> Iterator[str]:
    rows = sum(split.rows for splits in version.configs.values() for split in splits.values())
    yield "---"
    yield f"pretty_name: {json.dumps(f'{version.name} {version.version}')}"
    yield from _listed("license", combine(version.licence).hub)
    yield from _listed("language", _hub_languages(version))
    yield from _listed("task_categories", ["text-generation"])
    yield from _listed("size_categories", [size(rows)])
    yield from _listed("tags", ["databuild"])
    yield "configs:"
    for config, splits in version.configs.items():
        yield f"- config_name: {config}"
        yield "  data_files:"
        for split in splits:
            yield f"  - split: {split}"
            yield f"    path: data/{config}/{split}-*.parquet"
    yield "---"
    yield ""


def _listed(name: str, values: Iterable[str]) -> Iterator[str]:
    """A list of the head; every value in quotes, because YAML reads `no` as false."""
    there = list(values)
    if there:
        yield f"{name}:"
        yield from (f"- {json.dumps(value)}" for value in there)


def _hub_languages(version: Version) -> list[str]:
    counts: dict[str, int] = {}
    for told in data_of(version).values():
        for name, n in (told.get("languages") or {}).items():
            counts[name] = counts.get(name, 0) + n
    total = sum(counts.values())
    return sorted(
        n for n, of in counts.items() if n not in _NO_LANGUAGE and of >= _LEAST_SHARE * total
    )


def _contents(version: Version) -> Iterator[str]:
    yield f"# {version.name} {version.version}"
    yield ""
    if version.about.get("told"):
        yield version.about["told"]
        yield ""
    yield f"Made by databuild {version.databuild} from the recipe `{version.recipe}` on "
    yield f"{version.created[:10]}. Fingerprint of the data: `{version.fingerprint}`."
    yield ""
    yield "| configuration | split | rows | from the step |"
    yield "|---|---|---|---|"
    for config, splits in version.configs.items():
        for name, split in splits.items():
            yield f"| {config} | {name} | {split.rows:,} | {code(split.step)} |"
    yield ""
    plots = sorted(one.path for one in version.files if one.path.startswith("plots/"))
    for path in plots:
        yield f"![{path.removeprefix('plots/').removesuffix('.svg').replace('-', ' ')}]({path})"
    if plots:
        yield ""


def _languages(version: Version) -> Iterator[str]:
    yield "## Languages"
    yield ""
    for config, told in data_of(version).items():
        found, text = told.get("languages"), told.get("text")
        if not found:
            yield f"- {config}: not told; nobody measured them, and no detector was installed."
            continue
        total = sum(found.values())
        shares = ", ".join(
            f"{safe(name)} {100 * n / total:.0f} %" for name, n in list(found.items())[:8]
        )
        drawn = told.get("languages_of")
        of = f"of {drawn:,} rows drawn by their ids" if drawn else f"of {total:,} rows, measured"
        yield f"- {config}, {code(text)}: {shares} ({of})."
    yield ""


def _strata(version: Version) -> Iterator[str]:
    there = [(c, name, values) for c, told in data_of(version).items()
             for name, values in (told.get("strata") or {}).items() if len(values) > 1]  # fmt: skip
    if not there:
        return
    yield "## Strata"
    yield ""
    yield "| configuration | column | rows of each value |"
    yield "|---|---|---|"
    for config, name, values in there:
        shown = [f"{safe(value)} {n:,}" for value, n in list(values.items())[:_SHOWN_VALUES]]
        more = f", {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
        yield f"| {config} | {code(name)} | {', '.join(shown)}{more} |"
    yield ""


def _making(version: Version) -> Iterator[str]:
    yield "## How it was made"
    yield ""
    for number, one in enumerate(version.about.get("made") or (), 1):
        lost = "".join(f"; {one[word]:,} {word}" for word in ("dropped", "failed") if one[word])
        began = f"{one['in']:,} rows -> {one['out']:,}" if one["in"] else f"{one['out']:,} rows"
        yield f"{number}. {code(one['step'])} ({one['use']}): {prose(one['words'])} {began}{lost}."
        if one["options"]:
            yield f"   Options: {', '.join(_option(*pair) for pair in one['options'].items())}."
        if one["reasons"]:
            why = "; ".join(f"{safe(reason)} {n:,}" for reason, n in one["reasons"].items())
            yield f"   Most frequent reasons: {why}."
    yield ""
    yield "`recipe.yaml` beside this file is the recipe; `manifest.json` has every step's key."
    yield ""


def _option(name: str, value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text if len(text) <= _OPTION_CHARS else f"{text[:_OPTION_CHARS]}..."
    return code(f"{name}={text}")


def _sources(version: Version) -> Iterator[str]:
    found = combine(version.licence)
    yield "## Sources and licences"
    yield ""
    yield "| step | files | digest | licence |"
    yield "|---|---|---|---|"
    for one in version.about.get("sources") or ():
        files = ", ".join(code(name) for name in one["files"])
        more = f", {one['n_files'] - len(one['files'])} more" * (one["n_files"] > len(one["files"]))
        licence = safe(version.licence.get(one["step"]) or "unknown")
        yield f"| {code(one['step'])} | {files}{more} | {code(one['digest'])} | {licence} |"
    yield ""
    if found.strictest:
        asks = f", which asks for {', '.join(found.rules)}" if found.rules else ""
        yield f"Strictest of them together: {' and '.join(found.strictest)}{asks}."
    elif found.rules and found.unknown:
        yield f"Those that are known ask for {', '.join(found.rules)}."
    yield from (f"Unknown: {safe(one)}." for one in found.unknown)
    yield from (f"**In conflict**: {safe(one)}." for one in found.conflicts)
    yield f"{NOT_ADVICE} The terms of models that wrote or judged answers are not part of it."
    yield ""


def _models(version: Version) -> Iterator[str]:
    asked = version.about.get("models") or ()
    if asked:
        yield "## Models"
        yield ""
        yield "| model | as | in the step | sampling | prompts |"
        yield "|---|---|---|---|---|"
        for one in asked:
            drawn = ", ".join(f"{name} {value}" for name, value in one["sampling"].items())
            prompts = ", ".join(code(name) for name in one["prompts"])
            yield (
                f"| {code(one['identity'])} | {one['role']} | {code(one['step'])} ({one['use']}) "
                f"| {safe(drawn)} | {prompts} |"
            )
        yield ""
    if version.trained:
        told = ", ".join(f"`{model}` ({step})" for step, model in version.trained.items())
        yield f"Trained on these tables in the same run: {told}."
        yield ""


def _people(version: Version) -> Iterator[str]:
    from databuild.release.gates import in_words

    found = version.about.get("agreement") or ()
    if not found:
        return
    yield "## People"
    yield ""
    for one in found:
        told = in_words(one) if one["alpha"] is not None else "alpha is not defined"
        more = [f"{one[key]:,} {word}" for key, word in (("n_votes", "votes"), ("people", "people"))
                if one.get(key)]  # fmt: skip
        made_up = one.get("simulated")
        more += [f"**{made_up:,} of the votes are simulated: nobody gave them**"] if made_up else []
        rest = f"; {', '.join(more)}" if more else ""
        yield f"- {code(one['step'])} on {', '.join(map(code, one['votes']))}: {told}{rest}."
    yield ""
    yield "Alpha is Krippendorff's: 1 is full agreement, 0 what chance alone gives."
    yield ""


def _checks(version: Version) -> Iterator[str]:
    words = {True: "passed", False: "**not passed**", None: "not checked"}
    yield "## Checks"
    yield ""
    yield "| check | | what was found |"
    yield "|---|---|---|"
    for gate in version.gates:
        why = f" Released all the same: {safe(gate.override)}" if gate.override else ""
        yield f"| {gate.name} | {words[gate.passed]} | {safe(gate.told).rstrip('.')}.{why} |"
    yield ""


def _limits(version: Version) -> Iterator[str]:
    found = list(limits(version))
    if found:
        yield "## Known limits"
        yield ""
        yield from (f"- {safe(one)}" for one in found)
        yield ""


_LINES = """\
import datasets, polars as pl
rows = datasets.load_dataset("parquet", data_files="data/{config}/{split}-*.parquet")["train"]
mine = pl.col("row_id") == rows[0]["row_id"]
print(pl.read_parquet("lineage/rows-*.parquet").filter(mine).select("step", "use", "parent_ids"))
print(pl.read_parquet("lineage/sources-*.parquet").filter(mine))"""
"""Where the first row comes from, for one who has only the folder."""


def _reading(version: Version) -> Iterator[str]:
    config = next(iter(version.configs))
    split = next(iter(version.configs[config]))
    yield "## Reading it"
    yield ""
    yield "In this folder, with `datasets` and Polars alone: rows to train on, the step and rows"
    yield "that the first of them was made from, and the file and record that it goes back to."
    yield ""
    yield "```python"
    yield _LINES.format(config=config, split=split)
    yield "```"
    yield ""
    path, name = '"path/to/this/folder"', f'"{config}"'
    yield f'From elsewhere: `datasets.load_dataset({path}, {name}, split="{split}")`.'
    yield ""


def _citation(version: Version) -> Iterator[str]:
    authors = " and ".join(version.about.get("authors") or ())
    key = f"{version.name}_{version.version}".replace(".", "_").replace("-", "_")
    yield "## Citation"
    yield ""
    yield "```bibtex"
    yield f"@misc{{{key},"
    if authors:
        yield f"  author = {{{authors}}},"
    yield f"  title = {{{version.name}, version {version.version}}},"
    yield f"  year = {{{version.created[:4]}}},"
    yield f"  note = {{Data set, fingerprint {version.fingerprint}}}"
    yield "}"
    yield "```"
