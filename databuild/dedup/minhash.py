"""dedup.minhash: one row of every group of rows that are nearly the same, verified exactly."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from databuild.dedup.banding import banding
from databuild.dedup.compared import SMALL, Compared
from databuild.dedup.memory import WORTH_SAYING, expected_mib, most_mib, text_bytes_of
from databuild.engine.checkpoints import Checkpoints
from databuild.engine.step import Streamed, step
from databuild.errors import StepError
from databuild.recipe.options import Columns, FirstColumn, Paths, StepConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.dedup.near import Found
    from databuild.dedup.signing import Parameters, Signed
    from databuild.engine.parts import Parts
    from databuild.engine.resources import Progress


class NearConfig(StepConfig):
    """What near means; the options of `dedup.minhash` and `dedup.cluster`."""

    column: Columns = ("prompt",)
    """The text column to compare. Several, such as prompt and response, are compared as one text,
    so that a short prompt does not make equals of different answers."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Of a
    conversation `prompt` is only the last user turn: where it is compared, the contents of all
    turns before the last answer are, as one text."""
    threshold: float = Field(default=0.7, gt=0.0, le=1.0, allow_inf_nan=False)
    """Jaccard similarity of the sets of n-grams from which on two texts are duplicates."""
    ngram: int = Field(default=3, ge=1, le=64)
    """How many tokens make an n-gram. A text of fewer tokens is one n-gram."""
    recall: float = Field(default=0.9995, gt=0.0, lt=1.0)
    """The share of pairs just at the threshold that must become candidates. More costs time: every
    candidate is compared exactly."""
    scheme: Literal["fast", "datasketch"] = "fast"
    """How n-grams are hashed: `datasketch` makes the signatures that datasketch 2 makes of the same
    n-grams (scheme affine32), at several times the cost."""

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        try:
            banding(self.threshold, self.recall)
        except StepError as error:
            raise ValueError(error.what) from error
        return self


class MinhashConfig(NearConfig):
    """Options of `dedup.minhash`."""

    prefer: FirstColumn | None = None
    """Keep the row with the highest value of this column; without it, the smallest row_id."""
    index: Paths = ()
    """Folders that `dedup.index` or `databuild dedup --index` wrote: a row near one of theirs is
    dropped."""


def near_also(config: NearConfig) -> tuple[str, ...]:
    """The conversations, read where a table has them."""
    return (config.messages,) if config.messages and "prompt" in config.column else ()


@step("dedup.minhash", kind="select", sees="parts", version=7, also=near_also)
def drop_near_duplicates(
    rows: Parts,
    config: MinhashConfig,
    *,
    scratch: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    files: tuple[Path, ...] = (),
    **earlier: Parts,
) -> Streamed:
    """Keep the best of every group of rows whose texts share most of their n-grams.

    The texts are lower-cased after Unicode NFKC and cut into tokens (`text.tokens`: one per
    character in scripts without spaces); the set of runs of `ngram` tokens stands for the text, a
    shorter text is one run. Rows are visited best first; a row is dropped if a row kept before it
    has a Jaccard similarity of at least `threshold`, computed on the sets. Candidates are found by
    MinHash (Broder 1997) with 128 permutations, in as many bands as `recall` asks for. So every
    dropped row has a kept row that is at least as good and verified, and of the pairs at the
    threshold at most a share of `1 - recall` is missed. A null text is similar to nothing; texts
    without a word are compared as they are. Further inputs (`from: {rows: new, before: old}`) are
    tables of earlier rows: all of them count as kept, and a row near one of them is dropped.

    Args:
        rows: n rows with `row_id`, the text column and `config.prefer`.
        config: See `MinhashConfig`.
        scratch: Where signatures and candidates lie; what is there after a kill is used again.
        workers: How many threads.
        progress: Told of rows signed and bands searched.
        files: The files of the folders that `index` names.
        earlier: Earlier tables with the text column.

    Returns:
        n rows with `row_id`, `part`, `reason` ("duplicate": the normal forms are equal, "near
        duplicate", "duplicate of an earlier row") and `evidence` (`{"kept": <row_id>, "jaccard":
        <similarity to it>, "stage": "exact"|"near"|"earlier", "cluster": <row_id>}`; a cluster is
        named after its best row). The order of the input does not matter. Facts: `rows`, `exact`,
        `near`, `earlier`, `candidates`, `skipped_pairs` (of texts that are both kept and share
        the key of a band, at most so many were not compared: see `bucket_cap`), the ten
        `largest_clusters`, `cpu_seconds` by phase.

    Raises:
        SchemaError: A text column is not text.
        StepError: An index was made with other options.

    Example:
        >>> import polars as pl
        >>> text = "Explain in simple words how a rainbow forms after rain"
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": [text, text.upper() + " now!"]})
        >>> drop_near_duplicates(rows, MinhashConfig()).table["evidence"].to_list()
        [None, '{"kept":"a","jaccard":0.8888888888888888,"stage":"near","cluster":"a"}']
    """
    if scratch is None:
        with TemporaryDirectory(prefix="databuild-") as folder:
            given = {"scratch": Path(folder), "workers": workers, "files": files, **earlier}
            made = drop_near_duplicates.run(rows, config, progress=progress, **given)
            return Streamed(list(made.frames), made.facts)
    signed, before, found = search(
        rows, config, scratch, workers, progress, earlier, config.prefer, indexed(files, config)
    )
    return judged(signed, before, found)


def judged(signed: Signed, before: Sequence[Signed], found: Found) -> Streamed:
    """The verdicts on all rows, part by part, and the facts."""
    from databuild.dedup.audit import facts, verdicts

    return Streamed(verdicts(signed, before, found), facts(signed, found))


def search(
    rows: Parts,
    config: NearConfig,
    folder: Path,
    workers: int,
    progress: Progress | None,
    earlier: Mapping[str, Parts] | None = None,
    prefer: str | None = None,
    batches: Sequence[Signed] = (),
) -> tuple[Signed, list[Signed], Found]:
    """Sign the rows and those of earlier tables, and find what is near.

    Returns:
        The signed rows, the signed rows of each earlier table and batch, and what was found.
    """
    from databuild.dedup.near import find_near
    from databuild.dedup.near_pairs import Search

    parameters = parameters_of(config)
    tables = dict(sorted((earlier or {}).items()))
    if progress is not None:
        progress.total(*_expected((rows, *tables.values()), config))
    signed = signed_table(rows, config, folder / "rows", workers, progress, prefer)
    before = [
        signed_table(table, config, folder / f"before-{name}", workers, progress)
        for name, table in tables.items()
    ]
    before += batches
    layouts = [one.layout for one in (rows, *tables.values())]
    stamp = {"layouts": layouts, "batches": [str(one.folder) for one in batches]}
    n_rows = sum(one.n_rows for one in (rows, *tables.values()))
    kept = Checkpoints(
        folder / "search", {**stamp, **parameters.plain()}, is_durable=n_rows >= SMALL
    )
    asked = Search(config.threshold, parameters.bands, kept, workers=workers, progress=progress)
    return signed, before, find_near(signed, before, asked)


def _expected(tables: Sequence[Parts], config: NearConfig) -> tuple[int, str]:
    """How many rows there are, and of many what memory they will take."""
    n_rows = sum(one.n_rows for one in tables)
    if n_rows < WORTH_SAYING:
        return n_rows, "rows"
    n_bytes = sum(text_bytes_of(one, config.column) for one in tables)
    peak, most = expected_mib(n_bytes, n_rows), most_mib(n_bytes, n_rows)
    return n_rows, f"rows (peak {peak:,} to {most:,} MiB)"


def signed_table(
    table: Parts,
    config: NearConfig,
    folder: Path,
    workers: int,
    progress: Progress | None,
    prefer: str | None = None,
) -> Signed:
    """Sign the compared texts of a table."""
    from databuild.dedup.signing import sign

    parameters = parameters_of(config)
    texts = Compared(table, config.column, config.messages, prefer)
    stamp = {"layout": table.layout, **parameters.plain()}
    kept = Checkpoints(folder, stamp, is_durable=table.n_rows >= SMALL)
    return sign(texts, parameters, kept, workers, progress)


def indexed(files: tuple[Path, ...], config: NearConfig) -> list[Signed]:
    """The batches of the indexes whose files these are.

    Raises:
        StepError: One was made with other options.
    """
    from databuild.dedup.batches import read_index

    folders = dict.fromkeys(path.parent for path in files if path.name == "index.json")
    if files and not folders:
        what = f"no index.json is among the files of `index`, as {files[0].name}"
        raise StepError("dedup.minhash", what, fix="name the folder of an index")
    asked = {"columns": list(config.column)}
    found = [read_index(folder, parameters_of(config), asked) for folder in folders]
    return [batch.signed for batches in found for batch in batches]


def parameters_of(config: NearConfig) -> Parameters:
    """What the signatures depend on.

    Raises:
        StepError: The threshold is too low for that recall.
    """
    from databuild.dedup.signing import Parameters

    bands, band_rows = banding(config.threshold, config.recall)
    return Parameters(config.ngram, config.scheme, bands, band_rows)
