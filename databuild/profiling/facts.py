"""What a profile says: plain values, the same for the terminal, the page, JSON and a notebook.

Every number is counted over all rows, not over a sample. Texts in examples are cut, never changed;
whoever shows them removes control characters and escapes them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Example:
    """One row to look at."""

    row: str
    """Its row_id; in a file without ids `#<number>`, counted from 1."""
    column: str
    text: str
    """The start of the text of `column`."""
    n_chars: int
    """How long the whole text is."""
    evidence: str = ""
    """What the measure or the verdict said of it, as JSON text."""


@dataclass(frozen=True)
class Column:
    """One column, whatever its type."""

    name: str
    dtype: str
    kind: str
    """How it was read: id, text, category, language, flag, faults, spans, number, date, messages,
    cluster, list or other."""
    n_null: int
    n_distinct: int
    """Different values, null not counted (by 64-bit hash)."""
    low: str | None = None
    """The smallest value of a number or a date."""
    high: str | None = None


@dataclass(frozen=True)
class Histogram:
    """Counts of values in bins of equal width; a bin holds its lower edge, the last one both."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int = 0
    above: int = 0
    """Values outside the edges: a long tail would press all others into one bin."""


@dataclass(frozen=True)
class Spread:
    """How numbers are spread. Null, NaN and infinite values are counted and left out of the rest.

    Quantiles are interpolated linearly between neighbours (Hyndman and Fan 1996, type 7).
    """

    n: int
    n_nan: int
    n_infinite: int
    mean: float | None
    std: float | None
    """With n - 1; None of fewer than two values."""
    quantiles: dict[str, float]
    """`min p5 p25 p50 p75 p95 max`; empty without values."""
    histogram: Histogram | None


@dataclass(frozen=True)
class Repeated:
    """One text that stands in several rows."""

    n_rows: int
    example: Example


@dataclass(frozen=True)
class Text:
    """A column of texts, or a conversation read as the contents of its messages."""

    column: str
    n: int
    """Rows with a text that is not null."""
    n_blank: int
    """Of those, texts of nothing but white space."""
    chars: Spread
    """Unicode code points."""
    words: Spread
    """Runs of word characters; one per character in scripts without spaces (`text.tokens`)."""
    n_duplicates: int
    """Rows whose text equals, code point for code point, that of another row before it."""
    n_normal_duplicates: int
    """The same after Unicode NFKC, lower-casing and one space for any white space."""
    most_repeated: tuple[Repeated, ...] = ()


@dataclass(frozen=True)
class Number:
    """A numeric column."""

    column: str
    spread: Spread


@dataclass(frozen=True)
class Cell:
    """One value of a categorical column."""

    value: str | None
    n: int
    is_small: bool = False
    """Fewer rows than a fifth of an equal share among the cells."""


@dataclass(frozen=True)
class Strata:
    """A categorical column: true or false, or text or list items with few different values."""

    column: str
    is_language: bool
    cells: tuple[Cell, ...]
    """Most frequent first; null is a cell too."""
    n_others: int = 0
    """Cells that are not listed."""
    n_other_rows: int = 0


@dataclass(frozen=True)
class Fault:
    """One thing that a measure found in some rows.

    From a Boolean column `<c>_is_*` or `<c>_has_*` that is true, from one value of a list column
    `<c>_faults`, or from spans of one type in `<c>_pii`.
    """

    column: str
    value: str | None
    """The listed fault or the type of span; None of a Boolean."""
    n_rows: int
    n_unknown: int
    """Rows where the column is null."""
    examples: tuple[Example, ...] = ()

    @property
    def name(self) -> str:
        """The column, and the value in it."""
        return self.column if self.value is None else f"{self.column}: {self.value}"


@dataclass(frozen=True)
class Clusters:
    """Near duplicates, as a column `cluster_id` names them."""

    column: str
    n_clusters: int
    """Values that at least two rows share."""
    n_rows: int
    """Rows in those."""
    sizes: dict[int, int]
    """How many clusters there are of each size."""
    largest: tuple[Repeated, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """A column of messages."""

    column: str
    n: int
    """Rows with at least one message."""
    n_empty: int
    """Rows that have none: a null or an empty list."""
    turns: Spread
    """Messages per row."""
    roles: tuple[Cell, ...]
    """Messages by role; of null, those without one."""
    last_roles: tuple[Cell, ...]
    """Rows by the role of the last message."""
    n_with_system: int
    n_with_tools: int
    """Rows with a tool's message or a call of one."""
    n_blank_turns: int
    """Rows with a message whose content is blank and which calls no tool."""
    n_same_role_twice: int
    """Rows in which two messages on end have one role (tool excepted)."""


@dataclass(frozen=True)
class Pairs:
    """Columns `chosen` and `rejected`."""

    n: int
    """Rows with both."""
    n_equal: int
    n_normal_equal: int
    """Equal after the normal form of `Text.n_normal_duplicates` (the equal ones too)."""
    n_chosen_longer: int
    n_rejected_longer: int
    length_ratio: Spread
    """Code points of chosen over those of rejected, where rejected has any."""


@dataclass(frozen=True)
class Loss:
    """Rows that one step on the way to the table dropped or could not use, for one reason."""

    step: str
    use: str
    fate: str
    """`dropped` or `failed`."""
    reason: str
    n: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Profile:
    """Everything about one table."""

    table: str
    place: str
    """The file, or the folder of the step."""
    rows: int
    n_duplicate_rows: int
    """Rows with the content of another row before it."""
    columns: tuple[Column, ...] = ()
    texts: tuple[Text, ...] = ()
    conversations: tuple[Conversation, ...] = ()
    pairs: Pairs | None = None
    faults: tuple[Fault, ...] = ()
    clusters: tuple[Clusters, ...] = ()
    strata: tuple[Strata, ...] = ()
    numbers: tuple[Number, ...] = ()
    losses: tuple[Loss, ...] = ()
    shortfalls: tuple[dict[str, Any], ...] = ()
    """What selects on the way reported as missing, as they reported it, with `step`."""

    def as_plain(self) -> dict[str, Any]:
        """Everything as values that JSON has."""
        return asdict(self)


@dataclass(frozen=True)
class Shift:
    """How far one distribution moved between two tables."""

    column: str
    of: str
    """`values` of numbers, `shares` of categories, `chars` or `words` of texts."""
    distance: float
    """Of numbers the Kolmogorov-Smirnov statistic: the largest difference of the two cumulative
    shares. Of categories the total variation distance: the share that lies in other cells. 0 to
    1."""
    psi: float
    """Population stability index: sum over bins of (b - a) ln(b / a), over the deciles of the first
    table or over categories, each share at least 0.0001. Below 0.1 small, above 0.25 large."""
    noise: float
    """What `distance` exceeds by chance in one of twenty pairs of samples of these sizes from one
    source (numbers: 1.36 sqrt((n + m) / (n m)), Smirnov 1948); None known of categories: 0."""
    before: float | None = None
    """The median; None of categories."""
    after: float | None = None


@dataclass(frozen=True)
class Changes:
    """Which rows came, went and changed."""

    matched_by: str
    """The column whose equal values make two rows the same; `content` if there is none."""
    n_same: int
    """Rows in both whose common columns agree."""
    n_changed: int
    n_added: int
    n_removed: int
    by_column: dict[str, int] = field(default_factory=dict)
    """Changed rows by the column that changed."""
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    types_changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    added: tuple[Example, ...] = ()
    removed: tuple[Example, ...] = ()
    changed: tuple[tuple[Example, Example], ...] = ()


@dataclass(frozen=True)
class Difference:
    """Two tables side by side."""

    before: Profile
    after: Profile
    changes: Changes
    shifts: tuple[Shift, ...] = ()

    def as_plain(self) -> dict[str, Any]:
        """Everything as values that JSON has."""
        return asdict(self)
