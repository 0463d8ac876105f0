"""`databuild why`: the way of one row, from its source to what was made of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from databuild.cli import asking, telling, values
from databuild.cli.application import command
from databuild.text.printable import printable

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from databuild.engine.lineage import Event, Life

RowId = Annotated[
    str, typer.Argument(metavar="ROW_ID", help="A row's id; a unique start is enough.")
]
_TEXT_CHARS, _FACT_CHARS = 300, 160
_SHOWN_CHILDREN = 20
_TEXTS = ("prompt", "messages", "text", "response", "chosen", "rejected")
_SOURCE = ("source_file", "source_record")
_SAMPLING = (
    "model", "temperature", "top_p", "max_tokens", "k", "sample_seed", "finish_reason",
    "prompt_tokens", "completion_tokens", "origin",
)  # fmt: skip
_COLOURS = {
    "measured": "cyan", "kept": "green", "dropped": "red", "failed": "red", "trained": "magenta",
}  # fmt: skip


@command(
    "why",
    "Explain a row: its origin, its scores, its fate.",
    [
        "databuild show chosen@1",
        "databuild why 3fa94c",
        "databuild why 3fa94c --store releases --json",
    ],
)
def why(
    row_id: RowId,
    recipe: asking.RecipeName = None,
    runs: asking.RunsFolder = asking.RUNS,
    store: asking.Store = asking.STORE,
    as_json: asking.AsJson = False,
) -> None:
    """Explain a row: where it came from, what was measured, why it was dropped, what it became.

    Of a generated row: its prompt, model, sampling parameters, seed and every score, the pair it
    ended in, each vote on it, the training set. Everything is looked up in the last run's files and
    in released versions: a row that was read from a version is followed into that. Where the runs
    folder is gone, the versions alone tell.
    """
    from databuild.api import recipes_in
    from databuild.api import why as lives_of
    from databuild.release.versions import names_in

    alone = recipe is None and not recipes_in(runs) and bool(names_in(store))
    name = None if alone else asking.recipe_name(runs, recipe)
    lives = lives_of(row_id, name, runs=runs, store=store)
    if as_json:
        telling.write_json([asdict(life) for life in lives])
        return
    for life in lives:
        telling.say(life_as_tree(life))


def life_as_tree(life: Life) -> Tree:
    """The life of a row as a tree: content, origin, events in order, and what was made of it."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(_head(life), guide_style="dim")
    _grow(tree, life, _TEXTS)
    if life.parents:
        origin = tree.add(Text("made from", "bold"))
        for parent in life.parents:
            _grow_ancestor(origin, parent)
    events = tree.add(Text("what happened to it", "bold")) if life.events else None
    for event in life.events:
        assert events is not None
        events.add(_event(event))
    if life.children:
        became = tree.add(Text("what was made of it", "bold"))
        for child in life.children[:_SHOWN_CHILDREN]:
            _grow_descendant(became, child)
        if len(life.children) > _SHOWN_CHILDREN:
            became.add(f"and {len(life.children) - _SHOWN_CHILDREN} more (see --json)")
    return tree


def _grow(tree: Tree, life: Life, always: tuple[str, ...] = ()) -> None:
    """The columns that came in with this row; what its parents had already is told with them."""
    from rich.text import Text

    told = [parent.row for parent in life.parents]
    row = {
        name: value
        for name, value in life.row.items()
        if name in always or not any(name in one and one[name] == value for one in told)
    }
    if "source_file" in row:
        record = f", record {row['source_record']}" if "source_record" in row else ""
        tree.add(Text.assemble(("source  ", "dim"), f"{row['source_file']}{record}"))
    is_drawn = "sample_seed" in row
    if is_drawn:
        drawn = (f"{name} {telling.clipped(row[name], 60)}" for name in _SAMPLING if name in row)
        tree.add(Text.assemble(("drawn  ", "dim"), ", ".join(drawn)))
    for name, value in row.items():
        if name not in _SOURCE and not (is_drawn and name in _SAMPLING):
            tree.add(_named(name, value, _TEXT_CHARS))


def _grow_ancestor(tree: Tree, life: Life) -> None:
    branch = tree.add(_head(life))
    _grow(branch, life)
    for event in life.events:
        if event.what in {"measured", "kept"}:
            branch.add(_event(event))
    for parent in life.parents:
        _grow_ancestor(branch, parent)


def _grow_descendant(tree: Tree, life: Life) -> None:
    branch = tree.add(_head(life))
    for name, value in life.row.items():
        if name not in {"prompt", "messages", *_SOURCE}:
            branch.add(_pair(name, value))
    for event in life.events:
        branch.add(_event(event))
    for child in life.children:
        _grow_descendant(branch, child)


def _pair(name: str, value: Any) -> Text:
    from rich.text import Text

    return Text.assemble((f"{name}  ", "dim"), telling.clipped(value, _FACT_CHARS))


def _named(name: str, value: Any, length: int) -> Text:
    """A column and its value; what takes several lines begins below the name."""
    from rich.text import Text

    told = values.told(value, length)
    between = "\n" if "\n" in told else "  "
    return Text.assemble((printable(name), "dim"), between, told)


def _head(life: Life) -> Text:
    from rich.text import Text

    return Text.assemble(
        (telling.short_id(life.row_id), "bold yellow"), f"  {life.step} ", (f"({life.use})", "dim")
    )


def _event(event: Event) -> Text:
    from rich.text import Text

    facts = ", ".join(
        f"{name} {telling.clipped(value, _FACT_CHARS)}"
        for name, value in event.facts.items()
        if value is not None and not (event.what == "kept" and (name != "part" or value == "kept"))
    )
    return Text.assemble((event.what, _COLOURS.get(event.what, "")), f" in {event.step}  ", facts)
