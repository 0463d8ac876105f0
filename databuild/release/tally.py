"""What is counted of a version's rows while they are written, for its card.

Nothing here reads a row twice: every chunk is looked at once, column by column.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.errors import StepError
from databuild.release.encryption import ALL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

TEXTS = ("response", "chosen", "text", "prompt")
"""Columns by which rows are known; lengths and languages are told of the first that is there."""
ALWAYS = ("strength", "vote", "label", "verdict", "stratum")
MOST_VALUES = 50
"""A column with more values than this is no stratum."""
SAMPLE = 500
_SAMPLE_CHARS = 400
_NO_NUMBERS = ("k", "sample_seed", "source_record", "mixed_epoch", "max_tokens", "top_p")


@dataclass
class _Config:
    """What is counted of one configuration."""

    rows: int = 0
    text: str | None = None
    strata: dict[str, Counter[str]] = field(default_factory=dict)
    languages: Counter[str] = field(default_factory=Counter)
    chars: Counter[int] = field(default_factory=Counter)
    """Rows by the power of two that is not above the length of their text."""
    numbers: dict[str, list[float]] = field(default_factory=dict)
    """Of each numeric column: how many are finite, and their sum."""
    sample: pl.DataFrame | None = None


class Tally:
    """Counts strata, languages, lengths and means of the rows that pass."""

    def __init__(self, strata: Iterable[str] = ()) -> None:
        """Count.

        Args:
            strata: Columns that the recipe samples by.
        """
        self.by = tuple(dict.fromkeys((*strata, *ALWAYS)))
        self.configs: dict[str, _Config] = {}

    def add(self, config: str, rows: pl.DataFrame) -> None:
        """Count some rows of a configuration."""
        of = self.configs.setdefault(config, _Config())
        of.rows += rows.height
        of.text = next((t for t in TEXTS if rows.schema.get(t) == pl.String), of.text)
        self._count_strata(of, rows)
        _count_numbers(of, rows)
        if of.text is None or of.text not in rows.columns:
            return
        lengths = rows[of.text].drop_nulls().str.len_chars()
        powers = lengths.clip(1).log(2).floor().cast(pl.Int64)
        of.chars.update(dict(powers.value_counts().iter_rows()))
        measured = f"{of.text}_language"
        if measured in rows.columns:
            of.languages.update(_counts(rows[measured].drop_nulls()))
        else:
            _draw(of, rows)

    def facts(self, hidden: str | Collection[str] = ()) -> dict[str, Any]:
        """What was counted, as plain JSON, by configuration.

        Args:
            hidden: Columns of which nothing is told but the number of rows; `all`: of none.

        Returns:
            `rows`, `text` (the column that lengths and languages are of), `strata` (column ->
            value -> rows), `languages` (code -> rows or, with `languages_of`, rows of a sample of
            that many), `chars` (power of two -> rows), `means` (column -> [n, mean]).
        """
        return {config: _without(_plain(of), hidden) for config, of in self.configs.items()}

    def _count_strata(self, of: _Config, rows: pl.DataFrame) -> None:
        for name in self.by:
            if name in rows.columns and _is_discrete(rows.schema[name]):
                told = of.strata.setdefault(name, Counter())
                if len(told) <= MOST_VALUES:
                    told.update(_counts(rows[name].cast(pl.String).fill_null("(none)")))


def _count_numbers(of: _Config, rows: pl.DataFrame) -> None:
    names = [
        name
        for name, dtype in rows.schema.items()
        if (dtype.is_numeric() or dtype == pl.Boolean) and name not in _NO_NUMBERS
    ]
    if not names:
        return
    finite = [
        pl.when(pl.col(n).is_finite()).then(n) if rows.schema[n].is_float() else pl.col(n)
        for n in names
    ]
    finite = [one.cast(pl.Float64) for one in finite]
    sums = rows.select(one.sum() for one in finite).row(0)
    counts = rows.select(one.count() for one in finite).row(0)
    for name, n, total in zip(names, counts, sums, strict=True):
        told = of.numbers.setdefault(name, [0, 0.0])
        told[0] += n
        told[1] += total or 0.0


def _draw(of: _Config, rows: pl.DataFrame) -> None:
    """Keep the texts of the smallest row ids: a sample that depends on no order."""
    name = str(of.text)
    drawn = rows.select("row_id", pl.col(name).str.slice(0, _SAMPLE_CHARS).alias("text"))
    drawn = drawn.drop_nulls("text")
    drawn = drawn if of.sample is None else pl.concat([of.sample, drawn])
    of.sample = drawn.bottom_k(SAMPLE, by="row_id")


def _is_discrete(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum) or dtype.is_integer()


def _counts(values: pl.Series) -> dict[str, int]:
    return {str(value): n for value, n in values.value_counts().iter_rows()}


def _plain(of: _Config) -> dict[str, Any]:
    told: dict[str, Any] = {
        "rows": of.rows,
        "text": of.text,
        "strata": {n: _ordered(c) for n, c in of.strata.items() if len(c) <= MOST_VALUES},
        "languages": _ordered(of.languages),
        "chars": {str(power): n for power, n in sorted(of.chars.items())},
        "means": {
            name: [int(n), round(total / n, 6)] for name, (n, total) in of.numbers.items() if n
        },
    }
    if not of.languages and of.sample is not None and of.sample.height:
        found = languages_of(of.sample["text"])
        told |= {"languages": found, "languages_of": of.sample.height} if found else {}
    return told


def _without(told: dict[str, Any], hidden: str | Collection[str]) -> dict[str, Any]:
    """What may be told where some columns are encrypted."""
    if not hidden:
        return told
    is_open = {name: hidden != ALL and name not in hidden for name in
               (told["text"], *told["strata"], *told["means"])}  # fmt: skip
    if not is_open[told["text"]]:
        told = {**told, "text": None, "languages": {}, "chars": {}}
        told.pop("languages_of", None)
    kept = {of: {n: v for n, v in told[of].items() if is_open[n]} for of in ("strata", "means")}
    return {**told, **kept}


def languages_of(texts: pl.Series) -> dict[str, int]:
    """How many texts are in each language, by the packaged detector; {} where it is not there."""
    from databuild.measure.language import LanguageConfig, measure_language

    rows = pl.DataFrame({"row_id": [str(n) for n in range(texts.len())], "text": texts})
    try:
        measured = measure_language(rows, LanguageConfig(column="text"))
    except StepError:
        return {}
    return _ordered(Counter(_counts(measured["text_language"].drop_nulls())))


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
