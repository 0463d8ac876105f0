"""export.trl: a data set that `datasets.load_dataset` and TRL's trainers load as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.export.splits import SPLIT, together
from databuild.export.turns import conversations, has_turns
from databuild.recipe.options import Column, Columns, StepConfig
from databuild.schema.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class TrlConfig(StepConfig):
    """Options of `export.trl`."""

    kind: Literal["sft", "preference"] = "sft"
    """`sft`: `prompt` and `completion` (or `messages`); `preference`: `prompt`, `chosen`,
    `rejected`."""
    layout: Literal["prompt_completion", "messages"] = "prompt_completion"
    """How SFT rows are written: with `prompt_completion` TRL trains on the answer only."""
    split: str = Field(default="train", pattern=r"^\w+(\.\w+)*$")
    """The name of the split, where there is one input. Of several, as in `from: {train:
    split.train, dev: split.dev}`, each is the split of its name."""
    prompt: Column = "prompt"
    """What was asked."""
    response: str = "response"
    """The answer of SFT rows."""
    chosen: str = "chosen"
    """The better answer of pairs."""
    rejected: str = "rejected"
    """The worse answer of pairs."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Where it is
    not null it stands for the prompt and, of SFT rows, for the answer, which is its last turn;
    `chosen_messages`, `rejected_messages` and `tools` stand beside it."""
    system: str | None = None
    """A system prompt that goes before every prompt that has none."""
    keep: Columns = ()
    """Other columns to write, such as `margin` and `strength`; `row_id` is always there."""
    max_file_rows: int = Field(default=100_000, ge=1)
    """Rows of one Parquet file."""
    allow_empty: bool = False
    """Where there are no rows, write no file and go on; else the run stops with an error."""


def _answers(config: TrlConfig) -> tuple[str, ...]:
    return (config.response,) if config.kind == "sft" else (config.chosen, config.rejected)


@step(
    "export.trl",
    kind="deliver",
    sees="table",
    version=4,
    reads=lambda config: (*_answers(config), "*"),
)
def write_trl_folder(
    rows: pl.DataFrame | None, config: TrlConfig, *, out: Path, **others: pl.DataFrame
) -> dict[str, Any]:
    """Write rows as a Hugging Face data set folder in TRL's conversational formats.

    `data/<split>-00000.parquet` ... in the order of row_id, and `README.md`, a data set card. Texts
    become lists of `{role, content}`: `prompt` of user turns (after `system`), the answers of one
    assistant turn. A conversation keeps its turns; calls of tools are written as OpenAI has them.
    `keep` columns whose names clash with those are refused.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `TrlConfig`.
        out: An empty folder.
        others: Further splits by name; all have the same columns, and `load_dataset` of the folder
            gives a `DatasetDict`.

    Returns:
        `rows`, `files` and `columns`, with several splits `splits` (rows by name); `rows_skipped`
        names the conversations that do not end with the row's answer.

    Raises:
        StepError: A split has no rows, or a row lacks its prompt or an answer.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Hi"], "response": ["Hello!"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_trl_folder(rows, TrlConfig(), out=Path(folder))["files"]
        ['data/train-00000.parquet']
    """
    rows, splits = together(rows, config.split, others, "export.trl")
    _check_rows(rows, splits, config)
    if rows.is_empty():
        return {"rows": 0, "files": [], "columns": []}
    rows, skipped = _without_strays(rows, config)
    made = conversations(rows, config)
    clash = sorted(set(config.keep) & {name for name in made if name != "row_id"})
    if clash:
        what = f"`keep` names {clash[0]!r}, which the export writes itself"
        raise StepError("export.trl", what, fix="leave it out of `keep`")
    kept = list(dict.fromkeys(("row_id", *config.keep)))
    own = {name: pl.col(name) for name in kept}
    table = rows.sort("row_id").select(**made, **own, **{SPLIT: pl.col(SPLIT)})
    (out / "data").mkdir(parents=True, exist_ok=True)
    files, counts = [], {}
    for split in splits:
        part = table.filter(pl.col(SPLIT) == split).drop(SPLIT)
        counts[split] = part.height
        for n, chunk in enumerate(part.iter_slices(config.max_file_rows) if part.height else ()):
            files.append(f"data/{split}-{n:05d}.parquet")
            write_parquet(chunk, out / files[-1])
    table = table.drop(SPLIT)
    (out / "README.md").write_text(_card(table, config, counts), encoding="utf-8")
    facts: dict[str, Any] = {"rows": table.height, "files": files, "columns": table.columns}
    if len(splits) > 1:
        facts["splits"] = counts
    return {**facts, "rows_skipped": skipped} if skipped else facts


def _check_rows(rows: pl.DataFrame, splits: tuple[str, ...], config: TrlConfig) -> None:
    texts = [config.prompt, *_answers(config)]
    lacking = rows.filter(pl.any_horizontal(pl.col(texts).is_null()))["row_id"].to_list()
    if lacking:
        what = f"{len(lacking)} rows lack {' or '.join(texts)}, as {lacking[:3]}"
        fix = "look at the steps before with `databuild show`"
        raise StepError("export.trl", what, fix=fix)
    empty = [split for split in splits if split not in rows[SPLIT]]
    if empty and not config.allow_empty:
        what = "no rows to write" + (f" in the split {empty[0]!r}" if len(splits) > 1 else "")
        fix = "look at the steps before with `databuild show`, or set `allow_empty: true`"
        raise StepError("export.trl", what, fix=fix)


def _without_strays(
    rows: pl.DataFrame, config: TrlConfig
) -> tuple[pl.DataFrame, list[dict[str, str]]]:
    """Leave out conversations whose last turn is not the answer that the row has."""
    if config.kind != "sft" or not has_turns(rows, config.messages):
        return rows, []
    last = pl.col(str(config.messages)).list.last().struct
    said = last.field("content").str.strip_chars()
    is_other = ~said.str.ends_with(pl.col(config.response).str.strip_chars())
    reason = (
        pl.when(last.field("role") != "assistant")
        .then(pl.lit("the conversation does not end with an answer"))
        .when(is_other)
        .then(pl.lit(f"{config.response} is not what the conversation ends with"))
    )
    told = rows.sort("row_id").select("row_id", reason=reason).drop_nulls("reason")
    kept = rows.join(told, on="row_id", how="anti")
    if kept.is_empty():
        what = f"no rows to write: {told['reason'][0]}, as {told['row_id'].head(3).to_list()}"
        raise StepError("export.trl", what, fix="set `messages: ~` to write prompt and response")
    return kept, told.to_dicts()


def _card(table: pl.DataFrame, config: TrlConfig, splits: Mapping[str, int]) -> str:
    """A data set card: the YAML head is what `load_dataset` goes by."""
    counts = ""
    if "strength" in table.columns:
        tally = table.group_by("strength").len().sort("len", "strength", descending=[True, False])
        counts = "\n| strength | pairs |\n|---|---|\n" + "".join(
            f"| {s} | {n} |\n" for s, n in tally.rows()
        )
    columns = "".join(f"| `{name}` | {dtype} |\n" for name, dtype in table.schema.items())
    data_files = "".join(
        f"  - split: {name}\n    path: data/{name}-*.parquet\n" for name, n in splits.items() if n
    )
    if len(splits) > 1:
        rows = "".join(f"| `{name}` | {n} |\n" for name, n in splits.items())
        counts = f"\n| split | rows |\n|---|---|\n{rows}{counts}"
    task = "question-answering" if config.kind == "sft" else "reinforcement-learning"
    return f"""---
configs:
- config_name: default
  data_files:
{data_files}task_categories:
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
