"""The page of `databuild diff`: one file, readable without a server or a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from databuild.pages.writing import load, write_page
from databuild.release.marking import marked
from databuild.release.matching import GRADES, KINDS
from databuild.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from databuild.release.differences import Changes

MEANING = {
    "added": "rows that only the version after has",
    "removed": "rows that only the version before has",
    "changed": "rows with other text or content",
    "regraded": "rows whose verdict differs: grade, strength, vote, or which answer is chosen",
    "rescored": "rows of which only other measures differ",
    "relinked": "rows made from other rows, and else the same",
    "moved": "rows in another split",
}
_ORDER = ("prompt", "messages", "response", "chosen", "rejected", "edited", "text")
_MOST_CHARS = 6000


def write_diff_page(path: Path, before: str, after: str, found: Sequence[Changes]) -> None:
    """Write the page.

    Raises:
        ServiceError: jinja2 is not installed.
        StoreError: It cannot be written.
    """
    write_page(path, render(before, after, found))


def render(before: str, after: str, found: Sequence[Changes]) -> str:
    """The page as text. Everything from rows is escaped by the template."""
    template = load("databuild.release", "diff.html.j2", shown=printable)
    return template.render(
        before=before, after=after, configs=[_config(one) for one in found], meaning=MEANING,
    )  # fmt: skip


def _config(found: Changes) -> dict[str, Any]:
    kinds = [kind for kind in KINDS if found.counts[kind]]
    total = max(found.before, found.after, 1)
    return {
        "name": found.config, "before": found.before, "after": found.after, "same": found.same,
        "kinds": [(kind, found.counts[kind], found.counts[kind] / total) for kind in kinds],
        "columns": list(found.columns.items()), "means": found.means,
        "new": found.new_columns, "gone": found.gone_columns,
        "strata": [
            (name, [one for one in found.strata if one["column"] == name])
            for name in dict.fromkeys(one["column"] for one in found.strata)
        ],
        "examples": [
            (kind, [_example(row) for row in found.examples.get(kind, ())]) for kind in kinds
        ],
    }  # fmt: skip


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    differs: Mapping[str, tuple[Any, Any]] = row.get("differs") or {}
    moved = row.get("split_after") not in (None, row["split"])
    return {
        "row_id": row["row_id"], "row_id_after": row.get("row_id_after"),
        "split": f"{row['split']} → {row['split_after']}" if moved else row["split"],
        "verdicts": [(n, _told(a), _told(b)) for n, (a, b) in differs.items() if n in GRADES
                     and not (isinstance(a, str) and isinstance(b, str) and n == "edited")],
        "texts": list(_texts(row["row"], differs)),
        "others": [(n, _told(a), _told(b)) for n, (a, b) in differs.items()
                   if n not in GRADES and not _is_text(n, a, b)],
    }  # fmt: skip


def _texts(
    row: Mapping[str, Any], differs: Mapping[str, tuple[Any, Any]]
) -> Iterator[tuple[str, list[tuple[str, str]], int]]:
    """The texts of a row: name, pieces with marks, and how many characters are left out."""
    names = [name for name in _ORDER if name in row or name in differs]
    names += [n for n, pair in differs.items() if n not in names and _is_text(n, *pair)]
    for name in dict.fromkeys(names):
        pair = differs.get(name, (row.get(name), row.get(name)))
        if all(one is None for one in pair):
            continue
        told = [_told(one) if one is not None else "" for one in pair]
        cut = max(len(one) - _MOST_CHARS for one in told)
        pieces: list[tuple[str, str]] = [
            (mark, piece) for mark, piece in marked(*(one[:_MOST_CHARS] for one in told))
        ]
        yield name, pieces, max(cut, 0)


def _is_text(name: str, *pair: Any) -> bool:
    return name in _ORDER or (name not in GRADES and any(isinstance(one, str) for one in pair))


def _told(value: Any) -> str:
    """A value as text; conversations as turns, other nested values as JSON."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and value and isinstance(value[0], dict) and "role" in value[0]:
        return "\n\n".join(f"{turn['role']}: {_said(turn)}" for turn in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _said(turn: Mapping[str, Any]) -> str:
    calls = turn.get("tool_calls")
    said = [turn.get("content") or "", json.dumps(calls, ensure_ascii=False) if calls else ""]
    return "\n".join(one for one in said if one)
