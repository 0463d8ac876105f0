"""ingest.hub: a dataset by its name, as the library `datasets` finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field

from databuild.engine.step import Produced, step
from databuild.errors import RecipeError
from databuild.ingest.arrow_tables import to_frame
from databuild.recipe.options import StepConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


_ROWS = 8_192


class HubConfig(StepConfig):
    """Options of `ingest.hub`."""

    dataset: str = Field(min_length=1)
    """Its name, such as `openai/gsm8k`, or a folder that `datasets` can load."""
    revision: str = Field(min_length=1)
    """The commit or tag, by which the rows are the same for everyone; of a folder any word."""
    subset: str | None = None
    """The configuration of a dataset that has several."""
    split: str = "train"
    """The part: `train`, `test` ... (a slice such as `train[:100]` too)."""
    key: str | None = None
    """A column to copy into the text column `key`, by which versions are compared."""
    rename: dict[str, str] = Field(default_factory=dict)
    """New names of columns: `{question: prompt}`."""


def plan_ranges(config: HubConfig, files: Sequence[Path], shard_bytes: int) -> list[dict[str, Any]]:
    """Divide the dataset into ranges of about `shard_bytes`; it is fetched now, if it is not here.

    Raises:
        RecipeError: It cannot be loaded (no such name, no network), or a column is missing.
    """
    del files
    loaded = _load(config)
    for name in [*config.rename, *([config.key] if config.key else [])]:
        if name not in loaded.column_names:
            what = f"the dataset has no column {name!r}; it has {loaded.column_names}"
            raise RecipeError(config.dataset, what, fix="correct `key` or `rename`")
    size = max(1, shard_bytes * len(loaded) // max(loaded.data.nbytes, 1))
    starts = range(0, max(len(loaded), 1), size)
    return [{"start": start, "end": min(start + size, len(loaded))} for start in starts]


@step(
    "ingest.hub", kind="produce", sees="source", version=1, adds=None,
    attributes=("source_file", "source_record"), splits=plan_ranges,
    peeks=lambda _config, _files: None,
)  # fmt: skip
def read_dataset(split: Mapping[str, Any], config: HubConfig) -> Iterator[Produced]:
    """Read a range of rows of a dataset. Needs the extra `hub`; offline, what is in its cache.

    Args:
        split: One of `plan_ranges`.
        config: See `HubConfig`.

    Returns:
        The dataset's columns (with types as of `ingest.files` for Arrow: images and sounds are
        structs with Base64 text), `source_file` (name, subset and split) and `source_record` (the
        number from 0).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pl.DataFrame({"question": ["Why?"]}).write_parquet(f"{folder}/train.parquet")
        ...     config = HubConfig(dataset=folder, revision="-", rename={"question": "prompt"})
        ...     (made,) = read_dataset(plan_ranges(config, (), 1 << 20)[0], config)
        >>> made.rows["prompt"].to_list()
        ['Why?']
    """
    loaded = _load(config).with_format("arrow")
    name = "/".join(filter(None, [config.dataset, config.subset, config.split]))
    for start in range(split["start"], split["end"] or 1, _ROWS):
        table = loaded[start : min(start + _ROWS, split["end"])]
        frame, n_nan = to_frame(table)
        key = [pl.col(config.key).cast(pl.String).alias("key")] if config.key else []
        rows = frame.select(
            pl.lit([], dtype=pl.List(pl.String)).alias("parent_ids"),
            *(
                pl.col(c).alias(config.rename.get(c, c))
                for c in frame.columns
                if c != "key" or not key
            ),
            *key,
            pl.lit(name).alias("source_file"),
            pl.int_range(start, start + frame.height).alias("source_record"),
        )
        yield Produced(rows, notes={"NaN read as missing": n_nan} if n_nan else {})


def _load(config: HubConfig) -> Any:
    try:
        import datasets
    except ImportError as error:
        what = "datasets by name need the package 'datasets'"
        raise RecipeError("ingest.hub", what, fix="uv add 'databuild[hub]'") from error
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(
            config.dataset, config.subset, split=config.split, revision=config.revision
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        what = f"the dataset {config.dataset!r} cannot be loaded: {reason}"
        fix = "correct its name, subset, split and revision; without a network, save it to a folder"
        raise RecipeError(
            "ingest.hub", what, fix=f"{fix} and read that with ingest.files"
        ) from error
