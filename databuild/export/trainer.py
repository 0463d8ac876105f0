"""export.trainer: a folder that a trainer reads as it is, whichever trainer it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.export.example import Example, example_of, kind_of
from databuild.export.folders import write_folder
from databuild.export.records import SHAPES, Record, Wants
from databuild.export.splits import SPLIT, together
from databuild.recipe.options import Columns, StepConfig
from databuild.schema.rows import KINDS
from databuild.text.formats.values import FaultError, fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

Format = Literal[
    "trl", "openai", "sharegpt", "alpaca", "llamafactory", "axolotl", "verl", "openrlhf"
]
_SHOWN = 3


class TrainerConfig(StepConfig):
    """Options of `export.trainer`."""

    format: Format = "trl"
    """Whose files are written."""
    type: Literal[
        "auto",
        "sft",
        "rl",
        "preference",
        "implicit_preference",
        "unpaired_preference",
        "prompt_only",
        "prompt_completion",
        "language_modeling",
        "stepwise",
    ] = "auto"
    """What records are for, in TRL's words, with `sft` and `rl` where other trainers say so; with
    `auto` the first type of the format that holds the rows' kind. `verl` takes `rl` where there is
    a `ground_truth`."""
    kind: Literal[
        "auto", "prompt", "response", "sft", "preference", "feedback", "steps", "document"
    ] = "auto"
    """What the rows are. With `auto` the column `row_kind` says it, and where there is none the
    columns do. Sampled answers (`response`) are written as `sft` where this says so."""
    style: Literal["conversational", "standard"] = "conversational"
    """Of `trl`: `standard` writes texts, and leaves out rows that are more than texts."""
    system: str | None = None
    """A system turn for conversations that begin without one."""
    ground_truth: str | None = None
    """Of `rl`: the column with the answer that a rule compares with."""
    data_source: str = "databuild"
    """Of `rl`: the name by which the trainer chooses the rule of the reward."""
    ability: str = ""
    """Of `verl`: what is trained, such as `math`."""
    keep: Columns = ("row_id",)
    """Columns to write beside, under their own names; of `verl` into `extra_info`. OpenAI refuses
    what it does not know, so it gets none."""
    split: str = Field(default="train", pattern=r"^\w+(\.\w+)*$")
    """The name of the split, where there is one input; of several, each has its own."""
    allow_empty: bool = False
    """Where there are no rows, write no file and go on; else the run stops with an error."""


@step(
    "export.trainer",
    kind="deliver",
    sees="table",
    version=1,
    reads=lambda config: (*((config.ground_truth,) if config.ground_truth else ()), "*"),
)
def write_for_trainer(
    rows: pl.DataFrame | None, config: TrainerConfig, *, out: Path, **others: pl.DataFrame
) -> dict[str, Any]:
    """Write rows as the files that a trainer's own loader reads, with the settings that it needs.

    `data/<split>.parquet` (TRL, verl) or `data/<split>.jsonl` in the order of row_id, a card
    (`README.md`) by which `datasets.load_dataset` finds them, and for LLaMA-Factory
    `dataset_info.json`, for axolotl `axolotl.yaml`, for OpenRLHF the arguments in the card. A row
    that the format cannot hold is left out and named with the reason: nothing is flattened.

    Args:
        rows: n rows with `row_id` and the columns of their kind.
        config: See `TrainerConfig`.
        out: An empty folder.
        others: Further splits by name.

    Returns:
        `rows`, `files`, `type`, with several splits `splits`; `rows_skipped` names every row that
        is not written; `columns_left_out` counts values of the kind's other columns, such as
        `strength`, that the format has no name for. Written and skipped together are all rows.

    Raises:
        StepError: There are no rows to write, none that the format can hold, or several kinds.

    Cost:
        Row by row, and all records in memory until they are written.

    Example:
        >>> import tempfile
        >>> import polars as pl
        >>> from pathlib import Path
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Hi"], "response": ["Hello!"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     facts = write_for_trainer(rows, TrainerConfig(format="openai"), out=Path(folder))
        ...     (Path(folder) / "data/train.jsonl").read_text()[:48]
        '{"messages": [{"role": "user", "content": "Hi"},'
    """
    table, splits = together(rows, config.split, others, "export.trainer")
    kind = _kind(table, config)
    name, writer = _shape(kind, config)
    wants = Wants(config.style, config.data_source, config.ability, config.ground_truth)
    made = {split: list[Record]() for split in splits}
    skipped: list[dict[str, str]] = []
    for row in table.sort("row_id").iter_rows(named=True):
        try:
            record = writer(_example(row, kind, config), wants)
        except FaultError as error:
            skipped.append({"row_id": row["row_id"], "reason": str(error)})
            continue
        (of := made[row[SPLIT]]).append(_beside(record, row, config, f"{row[SPLIT]}", len(of)))
    _check_written(table, splits, made, skipped, config)
    files = write_folder(out, config.format, name, made)
    written = {split: len(records) for split, records in made.items()}
    left = _left_out(table, kind, config)
    return {
        "rows": sum(written.values()), "files": files, "format": config.format, "type": name,
        **({"splits": written} if len(splits) > 1 else {}),
        **({"columns_left_out": left} if left else {}),
        **({"rows_skipped": skipped} if skipped else {}),
    }  # fmt: skip


def _example(row: Mapping[str, Any], kind: str, config: TrainerConfig) -> Example:
    own = row.get("row_kind") if config.kind == "auto" else None
    if own is not None and own != kind:
        raise fault("wrong kind", f"a {own} row among {kind} rows")
    return example_of(row, "sft" if kind == "response" else kind, config.system)


def _kind(table: pl.DataFrame, config: TrainerConfig) -> str:
    if config.kind != "auto":
        return config.kind
    if "row_kind" in table.columns and table["row_kind"].null_count() < table.height:
        kinds = sorted(table["row_kind"].drop_nulls().unique().to_list())
        if len(kinds) > 1:
            what = f"the rows are of several kinds: {', '.join(kinds)}"
            fix = "name one under `kind`, and export the others by themselves"
            raise StepError("export.trainer", what, fix=fix)
        return str(kinds[0])
    kind = kind_of(table.columns)
    if kind is None:
        what = f"no kind of row has the columns {table.columns}"
        raise StepError("export.trainer", what, fix="add the columns of a kind (schemas/rows/)")
    return kind


def _shape(kind: str, config: TrainerConfig) -> tuple[str, Any]:
    shapes = SHAPES[config.format]
    held = "sft" if kind == "response" and config.kind == "response" else kind
    wanted = config.type
    if wanted == "auto":
        fitting = [name for name, shape in shapes.items() if held in shape.kinds]
        if "rl" in fitting and config.ground_truth is not None:
            fitting = ["rl"]
        wanted = fitting[0] if fitting else "auto"  # type: ignore[assignment]
    shape = shapes.get(wanted)
    if shape is None or held not in shape.kinds:
        known = ", ".join(f"{n} ({' or '.join(s.kinds)} rows)" for n, s in shapes.items())
        named = "" if wanted == "auto" else f" as {wanted}"
        what = f"{config.format} has no place for {kind} rows{named}; it has {known}"
        fix = "choose another `format` or `type`, or say what the rows are under `kind`"
        raise StepError("export.trainer", what, fix=fix)
    return wanted, shape.write


def _beside(
    record: Record, row: Mapping[str, Any], config: TrainerConfig, split: str, number: int
) -> Record:
    kept = {name: row[name] for name in config.keep if row[name] is not None}
    if config.format == "openai":
        return record
    if config.format == "verl" and "reward_model" in record:
        return {**record, "extra_info": {**kept, "split": split, "index": number}}
    clash = sorted(kept.keys() & record.keys())
    if clash:
        what = f"`keep` names {clash[0]!r}, which {config.format} writes itself"
        raise StepError("export.trainer", what, fix="leave it out of `keep`")
    return {**record, **kept}


def _check_written(
    table: pl.DataFrame,
    splits: tuple[str, ...],
    made: Mapping[str, list[Record]],
    skipped: list[dict[str, str]],
    config: TrainerConfig,
) -> None:
    for split in splits:
        rows = table.filter(table[SPLIT] == split)
        if made[split] or (config.allow_empty and rows.is_empty()):
            continue
        what = "no rows to write" + (f" in the split {split!r}" if len(splits) > 1 else "")
        fix = "look at the steps before with `databuild show`, or set `allow_empty: true`"
        ids = set(rows["row_id"].to_list())
        reasons = Counter(one["reason"] for one in skipped if one["row_id"] in ids)
        if reasons:
            told = "; ".join(f"{reason} ({n})" for reason, n in reasons.most_common(_SHOWN))
            what, fix = f"{what}: {told}", "choose another `format`, or mend the rows"
        raise StepError("export.trainer", what, fix=fix)


_CARRIED = frozenset(
    {
        *("prompt", "response", "messages", "tools", "reasoning", "chosen", "rejected"),
        *("chosen_messages", "rejected_messages", "label", "steps", "text"),
    }
)


def _left_out(table: pl.DataFrame, kind: str, config: TrainerConfig) -> dict[str, int]:
    """How many values of the kind's columns the format has no name for."""
    carried = _CARRIED | set(config.keep)
    if config.format == "openrlhf" and kind == "preference":
        carried |= {"margin"}
    names = [c for c in KINDS[kind].columns if c in table.columns and c not in carried]
    counts = {name: table.height - table[name].null_count() for name in names}
    return {name: n for name, n in counts.items() if n}
