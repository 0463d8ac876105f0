"""dedup.exact: one row of every group of rows whose text is the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl
from pydantic import Field

from databuild.dedup.compared import SMALL, check_text
from databuild.engine.checkpoints import Checkpoints
from databuild.engine.step import Streamed, step
from databuild.recipe.options import Column, Columns, StepConfig
from databuild.text.conversations import context

if TYPE_CHECKING:
    from databuild.engine.parts import Parts
    from databuild.engine.resources import Progress


class ExactConfig(StepConfig):
    """Options of `dedup.exact`."""

    columns: Columns = Field(default=("prompt",), min_length=1)
    """The text columns that must all agree."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Of a
    conversation `prompt` is only the last user turn: where it is compared, all turns before the
    last answer must agree too."""
    prefer: Column | None = None
    """Keep the row with the highest value of this column; without it, the smallest row_id."""
    width: bool = True
    """Compare after Unicode NFKC, so that full-width letters equal ordinary ones; else after
    NFC."""
    case: bool = True
    """Let upper and lower case be equal."""
    whitespace: bool = True
    """Let any run of white space equal one space, and none at the ends."""
    punctuation: bool = False
    """Leave out punctuation and symbols (Unicode P and S), unless nothing else is there."""


@dataclass(frozen=True)
class _Texts:
    """The compared columns of a table, and what stands before a prompt, part by part."""

    rows: Parts
    config: ExactConfig

    @property
    def n_parts(self) -> int:
        return self.rows.n_parts

    @property
    def n_rows(self) -> int:
        return self.rows.n_rows

    def read(self, index: int) -> pl.DataFrame:
        """Read `id`, the compared texts (null where one of them is null), and `prefer`."""
        config = self.config
        talks = [name for name in _also(config) if name in self.rows.columns]
        prefer = [config.prefer] if config.prefer else []
        rows = self.rows.part(index, *config.columns, *talks, *prefer)
        for name in config.columns:
            check_text(rows.schema[name], name, "dedup.exact")
        before = context(rows, talks[0]) if talks else pl.lit(None, dtype=pl.String)
        texts = [pl.col(c).cast(pl.String).alias(f"text:{n}") for n, c in enumerate(config.columns)]
        chosen = [pl.col(config.prefer).alias("prefer")] if config.prefer else []
        return rows.select(pl.col("row_id").alias("id"), *texts, before.alias("before"), *chosen)


def _also(config: ExactConfig) -> tuple[str, ...]:
    return (config.messages,) if config.messages and "prompt" in config.columns else ()


@step("dedup.exact", kind="select", sees="parts", version=2, also=_also)
def drop_exact_duplicates(
    rows: Parts,
    config: ExactConfig,
    *,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Streamed:
    """Keep the best row of every group of rows whose texts are equal in their normal form.

    A null text is equal to nothing, not even to another null. Normal forms are compared by 128-bit
    hashes, so that no text stays in memory.

    Args:
        rows: n rows with `row_id`, the text columns and `config.prefer`.
        config: See `ExactConfig`.
        scratch: Where hashes lie; what is there after a kill is used again.
        progress: Told of rows read.

    Returns:
        n rows with `row_id`, `part`, `reason` ("duplicate") and `evidence` (`{"kept": <row_id of
        the row kept instead>, "rows": <how many rows are equal>}`). The order of the input does
        not matter. Facts: `rows`, `exact`, the ten `largest_clusters`, `cpu_seconds`.

    Cost:
        O(n log n) for the sort of 16 bytes a row; see tests/bench/dedup.json.

    Raises:
        SchemaError: A column is not text.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b", "c"], "prompt": ["Hi  all", "hi all", "Bye"]})
        >>> found = drop_exact_duplicates(rows, ExactConfig()).table
        >>> found.select("row_id", "part").rows()
        [('a', 'kept'), ('b', 'dropped'), ('c', 'kept')]
    """
    if scratch is None:
        with TemporaryDirectory(prefix="databuild-") as folder:
            made = drop_exact_duplicates.run(rows, config, scratch=Path(folder), progress=progress)
            return Streamed(list(made.frames), made.facts)
    from databuild.dedup.equal import equal_facts, equal_verdicts, find_equal, hash_texts
    from databuild.dedup.plain_forms import Plain

    plain = Plain(config.width, config.case, config.whitespace, config.punctuation)
    kept = Checkpoints(scratch / "rows", {"layout": rows.layout}, is_durable=rows.n_rows >= SMALL)
    if progress is not None:
        progress.total(rows.n_rows, "rows")
    signed = hash_texts(_Texts(rows, config), plain, kept, progress)
    found = find_equal(signed)
    return Streamed(equal_verdicts(signed, found), equal_facts(signed, found))
