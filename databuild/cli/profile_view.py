"""A profile on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databuild.cli import telling
from databuild.profiling.facts import Difference
from databuild.report import wording as w
from databuild.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from databuild.profiling.facts import Example, Fault, Loss, Profile, Spread, Strata

_EXAMPLE_CHARS = 160
_BAR = 24
_FACTS = 100
"""Lines of one section; the page and --json have all."""


def view(found: Profile | Difference, columns: int) -> list[RenderableType]:
    """What to print, for a terminal of so many columns."""
    if isinstance(found, Difference):
        from databuild.cli.diff_view import view_difference

        return list(view_difference(found))
    return list(_sections(found, columns))


def heading(title: str, note: str = "") -> RenderableType:
    """The title of a section, after an empty line."""
    from rich.text import Text

    return Text.assemble("\n", (title, "bold"), (f"  {note}" if note else "", "dim"))


def example_line(one: Example, *, as_it_is: bool = False) -> RenderableType:
    """One example: which row, its text in one or two lines, what was said of it.

    White space is collapsed, unless the text is to be seen as it is.
    """
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    text = telling.clipped(one.text, _EXAMPLE_CHARS) if one.text else '""'
    if as_it_is:
        text = printable(one.text).replace("\n", "⏎").replace("\t", "→")[:_EXAMPLE_CHARS]
    line = Text(text)
    if one.evidence:
        line.append(f"  {telling.clipped(one.evidence, _EXAMPLE_CHARS // 2)}", "dim")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    name = printable(one.row) if "," in one.row else telling.short_id(one.row)
    grid.add_row(Text(name, "yellow"), line)
    return Padding(grid, (0, 0, 0, 4))


def _sections(found: Profile, columns: int) -> Iterator[RenderableType]:
    yield from head(found)
    yield from _columns(found)
    yield from _texts(found)
    yield from _strata([one for one in found.strata if one.is_language], "Languages", columns)
    yield from _faults(found)
    yield from _clusters(found)
    yield from _talks(found)
    yield from _pairs(found)
    yield from _strata([one for one in found.strata if not one.is_language], "Strata", columns)
    yield from _numbers(found)
    yield from losses(found.losses, "by this step and those before it")
    yield from _shortfalls(found)


def head(found: Profile) -> Iterator[RenderableType]:
    """What it is and how many."""
    from rich.text import Text

    repeated = w.share(found.n_duplicate_rows, found.rows)
    told = f"{found.rows:,} rows, {len(found.columns)} columns"
    if found.n_duplicate_rows:
        told += f"; {found.n_duplicate_rows:,} rows ({repeated}) repeat the content of another"
    yield Text.assemble((printable(found.table), "bold"), f"  {told}.")


def _columns(found: Profile) -> Iterator[RenderableType]:
    from rich.text import Text

    if not found.columns:
        return
    made = telling.table(
        "", "type", "read as", "null", "different", "range", left=("", "type", "read as", "range")
    )
    empty = [one for one in found.columns if one.n_null == found.rows > 0]
    filled = [one for one in found.columns if one not in empty]
    for one in filled[:_FACTS]:
        span = Text("" if one.low is None else f"{_end(one.low)} to {_end(one.high)}")
        null = w.share(one.n_null, found.rows) if one.n_null else ""
        made.add_row(
            Text(telling.clipped(one.name, 40)), Text(w.dtype(one.dtype), "dim"), one.kind,
            Text(null), w.count(one.n_distinct), span,
        )  # fmt: skip
    yield heading("Columns", _more(len(filled)))
    yield made
    if empty:  # one line, since typed rows of all kinds have some thirty of them
        names = ", ".join(printable(one.name) for one in empty)
        yield Text(f"  null in every row: {names}", "dim")


def _end(value: str | None) -> str:
    try:
        return w.short(float(value or ""))
    except ValueError:
        return telling.clipped((value or "").removesuffix(" 00:00:00"), 26)


def _texts(found: Profile) -> Iterator[RenderableType]:
    from rich.text import Text

    shown = [one for one in found.texts if one.n][:_FACTS]
    if not shown:
        return
    lengths = telling.table("", "", "p5", "median", "p95", "max", "", left=("", ""))
    same = telling.table("", "texts", "blank", "equal", "equal in normal form", left=("",))
    for one in shown:
        for of, spread in (("characters", one.chars), ("words", one.words)):
            name = Text(printable(one.column) if of == "characters" else "")
            numbers = _some(spread, "p5", "p50", "p95", "max")
            lengths.add_row(name, Text(of, "dim"), *numbers, Text(w.spark(spread), "cyan"))
        same.add_row(
            Text(printable(one.column)), w.count(one.n), _of(one.n_blank, one.n),
            _of(one.n_duplicates, one.n), _of(one.n_normal_duplicates, one.n),
        )  # fmt: skip
    yield heading("Lengths")
    yield lengths
    yield heading("Equal texts", "that repeat one before; normal form: NFKC, lower case, one space")
    yield same
    for one in shown:
        for repeated in one.most_repeated:
            yield Text(f"  {printable(one.column)}: {repeated.n_rows:,} times", "dim")
            yield example_line(repeated.example)


def _some(spread: Spread, *names: str) -> Iterator[str]:
    return (w.short(spread.quantiles.get(name)) for name in names)


def _of(n: int, of: int) -> str:
    return f"{n:,} ({w.share(n, of)})" if n else "0"


def _faults(found: Profile) -> Iterator[RenderableType]:
    from rich.text import Text

    if not found.faults:
        return
    hit = [one for one in found.faults if one.n_rows]
    yield heading("Faults and findings", "as measures flagged them")
    for one in sorted(hit, key=lambda fault: -fault.n_rows)[:_FACTS]:
        unknown = f", {one.n_unknown:,} not known" if one.n_unknown else ""
        yield Text.assemble(
            f"  {printable(one.name)}  ", (_of(one.n_rows, found.rows), "red"), (unknown, "dim")
        )
        yield from map(example_line, one.examples)
    none = _names(one for one in found.faults if not one.n_rows)
    if none:
        yield Text(f"  In no row: {none}", "dim")


def _names(faults: Iterable[Fault]) -> str:
    return printable(", ".join(one.name for one in faults))


def _clusters(found: Profile) -> Iterator[RenderableType]:
    from rich.text import Text

    for one in found.clusters:
        told = f"{one.n_clusters:,} clusters with {one.n_rows:,} rows"
        sizes = ", ".join(f"{times:,} with {n:,} rows" for n, times in [*one.sizes.items()][:8])
        yield heading("Near duplicates", f"{printable(one.column)}: {told}")
        if sizes:
            yield Text(f"  {sizes}{', ...' if len(one.sizes) > 8 else ''}", "dim")
        for largest in one.largest:
            yield Text(f"  {largest.n_rows:,} rows", "dim")
            yield example_line(largest.example)


def _talks(found: Profile) -> Iterator[RenderableType]:
    from rich.text import Text

    for one in found.conversations:
        yield heading("Conversations", f"{printable(one.column)}: {one.n:,}, {one.n_empty:,} empty")
        low, mid, high = _some(one.turns, "p5", "p50", "max")
        yield Text.assemble(
            f"  turns: p5 {low}, median {mid}, max {high}  ", (w.spark(one.turns), "cyan")
        )
        for label, cells in (("roles", one.roles), ("last turn", one.last_roles)):
            yield Text(f"  {label}: " + ", ".join(f"{w.cell(c)} {c.n:,}" for c in cells))
        told = (
            ("with a system turn", one.n_with_system), ("with tools", one.n_with_tools),
            ("with a blank turn", one.n_blank_turns), ("one role twice", one.n_same_role_twice),
        )  # fmt: skip
        yield Text("  " + ", ".join(f"{label}: {_of(n, one.n)}" for label, n in told))


def _pairs(found: Profile) -> Iterator[RenderableType]:
    from rich.text import Text

    one = found.pairs
    if one is None:
        return
    yield heading("Preference pairs", f"{one.n:,} with both texts")
    yield Text(
        f"  equal: {_of(one.n_equal, one.n)}; in normal form: {_of(one.n_normal_equal, one.n)}"
    )
    yield Text(
        f"  chosen longer: {_of(one.n_chosen_longer, one.n)}; "
        f"rejected longer: {_of(one.n_rejected_longer, one.n)}"
    )
    low, mid, high = _some(one.length_ratio, "p5", "p50", "p95")
    yield Text.assemble(
        f"  length of chosen / rejected: p5 {low}, median {mid}, p95 {high}  ",
        (w.spark(one.length_ratio), "cyan"),
    )


def _strata(strata: list[Strata], title: str, columns: int) -> Iterator[RenderableType]:
    from rich.text import Text

    if not strata:
        return
    small = any(cell.is_small for one in strata for cell in one.cells)
    yield heading(title, "! less than a fifth of an equal share" if small else "")
    bar = max(8, min(_BAR, columns - 76))
    for one in strata[:_FACTS]:
        total = sum(cell.n for cell in one.cells) + one.n_other_rows
        most = max((cell.n for cell in one.cells), default=1)
        made = telling.table("", "", "", "", "", left=("", ""))
        made.show_header = False
        for number, cell in enumerate(one.cells):
            name = Text("" if number else printable(one.column), "dim")
            mark, colour = (" !", "yellow") if cell.is_small else ("  ", "")
            drawn = Text(("█" * round(bar * cell.n / most)).ljust(bar), "cyan")
            value = Text(telling.clipped(w.cell(cell), 40))
            told = Text(f"{cell.n:,}{mark}", colour)
            made.add_row(name, value, told, w.share(cell.n, total), drawn)
        if one.n_others:
            made.add_row("", Text(f"{one.n_others:,} others", "dim"), f"{one.n_other_rows:,}  ",
                         w.share(one.n_other_rows, total), "")  # fmt: skip
        yield made


def _numbers(found: Profile) -> Iterator[RenderableType]:
    from rich.text import Text

    numbers = w.told_numbers(found)
    if not numbers:
        return
    made = telling.table("", "mean", "p5", "median", "p95", "max", "", "", left=("", ""))
    made.columns[6].justify = "left"
    for one in numbers[:_FACTS]:
        made.add_row(
            Text(printable(one.column)), w.short(one.spread.mean),
            *_some(one.spread, "p5", "p50", "p95", "max"),
            Text(w.spark(one.spread), "cyan"), Text(w.outside(one.spread), "dim"),
        )  # fmt: skip
    yield heading("Numbers", _more(len(numbers)))
    yield made


def losses(lost: Sequence[Loss], note: str) -> Iterator[RenderableType]:
    """What was dropped or failed, with the reasons."""
    from rich.text import Text

    if lost:
        yield heading("Lost on the way", note)
    for one in lost[:_FACTS]:
        reason = telling.clipped(one.reason, 80)
        yield Text.assemble(f"  {one.step}  ", (f"{one.fate} {one.n:,}", "red"), f"  {reason}")
        yield from map(example_line, one.examples)


def _shortfalls(found: Profile) -> Iterator[RenderableType]:
    from rich.text import Text

    if found.shortfalls:
        yield heading("Shortfalls", "as selects reported them")
    for line in found.shortfalls[:_FACTS]:
        yield Text("  " + telling.clipped(", ".join(f"{k} {v}" for k, v in line.items()), 160))


def _more(n: int) -> str:
    return f"the first {_FACTS} of {n:,}; --json has all" if n > _FACTS else ""
