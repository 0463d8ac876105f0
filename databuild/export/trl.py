"""export.trl: a data set that `datasets.load_dataset` and TRL's trainers load as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.recipe.options import Column, Columns, StepConfig

if TYPE_CHECKING:
    from pathlib import Path


class TrlConfig(StepConfig):
    """Options of `export.trl`."""

    kind: Literal["sft", "preference"] = "sft"
    """`sft`: `prompt` and `completion` (or `messages`); `preference`: `prompt`, `chosen`,
    `rejected`."""
    layout: Literal["prompt_completion", "messages"] = "prompt_completion"
    """How SFT rows are written: with `prompt_completion` TRL trains on the answer only."""
    split: str = Field(default="train", pattern=r"^\w+(\.\w+)*$")
    """The name of the split."""
    prompt: Column = "prompt"
    """What was asked."""
    response: str = "response"
    """The answer of SFT rows."""
    chosen: str = "chosen"
    """The better answer of pairs."""
    rejected: str = "rejected"
    """The worse answer of pairs."""
    system: str | None = None
    """A system prompt that goes before every prompt."""
    keep: Columns = ()
    """Other columns to write, such as `margin` and `strength`; `row_id` is always there."""
    max_file_rows: int = Field(default=100_000, ge=1)
    """Rows of one Parquet file."""


def _reads(config: TrlConfig) -> tuple[str, ...]:
    return (config.response,) if config.kind == "sft" else (config.chosen, config.rejected)


@step("export.trl", kind="deliver", sees="table", version=1, reads=_reads)
def write_trl_folder(rows: pl.DataFrame, config: TrlConfig, *, out: Path) -> dict[str, Any]:
    """Write rows as a Hugging Face data set folder in TRL's conversational formats.

    `data/<split>-00000.parquet` ... in the order of row_id, and `README.md`, a data set card. Texts
    become lists of `{role, content}`: `prompt` of user turns (after `system`), the answers of one
    assistant turn. `keep` columns whose names clash with those are refused.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `TrlConfig`.
        out: An empty folder.

    Returns:
        `rows`, `files` and `columns`.

    Raises:
        StepError: There are no rows, or one lacks its prompt or an answer.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Hi"], "response": ["Hello!"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_trl_folder(rows, TrlConfig(), out=Path(folder))["files"]
        ['data/train-00000.parquet']
    """
    texts = [config.prompt, *_reads(config)]
    lacking = rows.filter(pl.any_horizontal(pl.col(texts).is_null()))["row_id"].to_list()
    if rows.is_empty() or lacking:
        what = (
            f"{len(lacking)} rows lack {' or '.join(texts)}, as {lacking[:3]}"
            if lacking
            else "no rows to write"
        )
        raise StepError("export.trl", what, fix="look at the step before: `databuild show`")
    made = _conversations(rows, config)
    clash = sorted(set(config.keep) & {name for name in made if name != "row_id"})
    if clash:
        what = f"`keep` names {clash[0]!r}, which the export writes itself"
        raise StepError("export.trl", what, fix="leave it out of `keep`")
    kept = list(dict.fromkeys(("row_id", *config.keep)))
    table = rows.sort("row_id").select(**made, **{name: pl.col(name) for name in kept})
    (out / "data").mkdir(parents=True, exist_ok=True)
    files = []
    for n, chunk in enumerate(table.iter_slices(config.max_file_rows)):
        files.append(f"data/{config.split}-{n:05d}.parquet")
        _write(chunk, out / files[-1])
    (out / "README.md").write_text(_card(table, config), encoding="utf-8")
    return {"rows": table.height, "files": files, "columns": table.columns}


def _conversations(rows: pl.DataFrame, config: TrlConfig) -> dict[str, pl.Expr]:
    prompt = _turn("user", pl.col(config.prompt))
    if isinstance(rows.schema[config.prompt], pl.List):
        prompt = pl.col(config.prompt).list.eval(
            pl.struct(
                role=pl.element().struct.field("role"), content=pl.element().struct.field("content")
            )
        )
    if config.system is not None:
        prompt = pl.concat_list(_turn("system", pl.lit(config.system)), prompt)
    if config.kind == "preference":
        chosen, rejected = (
            _turn("assistant", pl.col(name)) for name in (config.chosen, config.rejected)
        )
        return {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    answer = _turn("assistant", pl.col(config.response))
    if config.layout == "messages":
        return {"messages": pl.concat_list(prompt, answer)}
    return {"prompt": prompt, "completion": answer}


def _turn(role: str, content: pl.Expr) -> pl.Expr:
    return pl.concat_list(pl.struct(role=pl.lit(role), content=content))


def _write(rows: pl.DataFrame, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    def small(dtype: pa.DataType) -> pa.DataType:
        """32-bit offsets: `datasets` makes other features, LargeList, of Polars' 64-bit ones."""
        if pa.types.is_struct(dtype):
            return pa.struct([(field.name, small(field.type)) for field in dtype])
        if pa.types.is_large_list(dtype) or pa.types.is_list(dtype):
            return pa.list_(small(dtype.value_type))
        return pa.string() if pa.types.is_large_string(dtype) else dtype

    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    schema = pa.schema([(field.name, small(field.type)) for field in table.schema])
    parquet.write_table(table.cast(schema), path)


def _card(table: pl.DataFrame, config: TrlConfig) -> str:
    """A data set card: the YAML head is what `load_dataset` goes by."""
    counts = ""
    if "strength" in table.columns:
        tally = table.group_by("strength").len().sort("len", "strength", descending=[True, False])
        counts = "\n| strength | pairs |\n|---|---|\n" + "".join(
            f"| {s} | {n} |\n" for s, n in tally.rows()
        )
    columns = "".join(f"| `{name}` | {dtype} |\n" for name, dtype in table.schema.items())
    task = "question-answering" if config.kind == "sft" else "reinforcement-learning"
    return f"""---
configs:
- config_name: default
  data_files:
  - split: {config.split}
    path: data/{config.split}-*.parquet
task_categories:
- {task}
tags:
- trl
- {config.kind}
size_categories:
- {_size(table.height)}
---

# A {config.kind} data set in TRL's conversational format

{table.height} rows, made by databuild. `row_id` leads back to where each row came from
(`databuild why <row_id>`).

| column | type |
|---|---|
{columns}{counts}"""


def _size(n_rows: int) -> str:
    """Hugging Face's word for a number of rows."""
    bounds = (
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
    )
    return next((word for bound, word in bounds if n_rows < bound), "n>1M")
