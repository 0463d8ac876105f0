"""Folders of records: files by split, the card that finds them, and a trainer's own settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.schema.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from databuild.export.records import Record

_PARQUET = frozenset({"trl", "verl"})
_CALLS = pl.List(
    pl.Struct(
        {
            "id": pl.String,
            "type": pl.String,
            "function": pl.Struct({"name": pl.String, "arguments": pl.String}),
        }
    )
)
_TURN: Mapping[str, Any] = {
    "role": pl.String,
    "content": pl.String,
    "tool_calls": _CALLS,
    "tool_call_id": pl.String,
    "name": pl.String,
}
_TALKS = ("messages", "prompt", "completion", "chosen", "rejected")
_TYPES: Mapping[str, Any] = {
    "completions": pl.List(pl.String),
    "labels": pl.List(pl.Boolean),
    "label": pl.Boolean,
    "reward_model": pl.Struct({"style": pl.String, "ground_truth": pl.String}),
    **dict.fromkeys(("tools", "text", "data_source", "ability"), pl.String),
}


def write_folder(
    out: Path, form: str, name: str, made: Mapping[str, Sequence[Record]]
) -> list[str]:
    """Write the records of all splits, and what the trainer wants to be told about them.

    Args:
        out: An empty folder.
        form: The format.
        name: The type of the records.
        made: Records by split; a split without any gets no file.

    Returns:
        The files of data, by their place in the folder.
    """
    suffix = "parquet" if form in _PARQUET else "jsonl"
    files = {split: f"data/{split}.{suffix}" for split, records in made.items() if records}
    (out / "data").mkdir(parents=True, exist_ok=True)
    schema = _schema([record for records in made.values() for record in records])
    for split, path in files.items():
        if suffix == "parquet":
            write_parquet(pl.DataFrame(made[split], schema=schema, strict=False), out / path)
        else:
            _write_lines(made[split], out / path)
    settings = _SETTINGS.get(form)
    if settings is not None:
        place, content = settings(name, files, made)
        (out / place).write_text(content, encoding="utf-8")
    counts = {split: len(made[split]) for split in files}
    (out / "README.md").write_text(_card(form, name, files, counts), encoding="utf-8")
    return list(files.values())


def _write_lines(records: Iterable[Record], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")


def _schema(records: Sequence[Record]) -> dict[str, Any]:
    """Types that all splits share, so that an absent value is a null and no other type."""
    names = dict.fromkeys(name for record in records for name in record)
    fields = {field for record in records for field in _fields(record)}
    turn = pl.List(pl.Struct({k: t for k, t in _TURN.items() if k in fields}))
    found: dict[str, Any] = {}
    for name in names:
        value = next(record[name] for record in records if name in record)
        if name in _TALKS and isinstance(value, list):
            found[name] = turn
        else:
            found[name] = _TYPES.get(name) or _type_of(name, records)
    return found


def _fields(record: Record) -> set[str]:
    talks = [record[name] for name in _TALKS if isinstance(record.get(name), list)]
    return {field for talk in talks for turn in talk for field in turn}


def _type_of(name: str, records: Sequence[Record]) -> Any:
    values = [record.get(name) for record in records]
    return pl.Series(values, strict=False).dtype


# --- Settings of trainers


def _dataset_info(
    name: str, files: Mapping[str, str], made: Mapping[str, Sequence[Record]]
) -> tuple[str, str]:
    """LLaMA-Factory's `dataset_info.json`: one data set by split, columns by their names.

    A column is named only where some record has it: the loader looks up what is named.
    """
    info: dict[str, Any] = {}
    for split, path in files.items():
        there = {key for record in made[split] for key in record}
        if name == "language_modeling":
            info[split] = {"file_name": path, "columns": {"prompt": "text"}}
            continue
        columns = {"messages": "conversations"}
        names = ("tools", "chosen", "rejected", "kto_tag")
        columns |= {key: key for key in names if key in there}
        info[split] = {"file_name": path, "formatting": "sharegpt", "columns": columns}
        if name == "preference":
            info[split]["ranking"] = True
    return "dataset_info.json", json.dumps(info, indent=2) + "\n"


def _axolotl(
    name: str, files: Mapping[str, str], made: Mapping[str, Sequence[Record]]
) -> tuple[str, str]:
    """The lines of an axolotl configuration that name these files; paths are the folder's own."""
    kinds = {
        "sft": ("chat_template", {"field_messages": "messages", "roles_to_train": "[assistant]"}),
        "preference": (
            "chat_template.default",
            {f"field_{key}": key for key in ("messages", "chosen", "rejected")},
        ),
        "stepwise": ("stepwise_supervised", {"step_separator": '"\\n"'}),
        "language_modeling": ("completion", {"field": "text"}),
    }
    kind, fields = kinds[name]
    has_tools = any("tools" in record for records in made.values() for record in records)
    fields = {**fields, "field_tools": "tools"} if has_tools else fields
    lines = ["# Run axolotl in this folder, or write the paths out."]
    lines += {"preference": ["rl: dpo"], "stepwise": ["process_reward_model: true"]}.get(name, [])
    if name in {"sft", "preference"}:
        lines.append("chat_template: tokenizer_default")
    first = next((split for split in files if split == "train"), next(iter(files)))
    for key, splits in (("datasets", [first]), ("test_datasets", [s for s in files if s != first])):
        if splits:
            lines.append(f"{key}:")
        for split in splits:
            lines += [f"  - path: {files[split]}", "    ds_type: json", f"    type: {kind}"]
            lines += ["    split: train"]
            lines += [f"    {field}: {value}" for field, value in fields.items()]
    return "axolotl.yaml", "\n".join(lines) + "\n"


_SETTINGS = {"llamafactory": _dataset_info, "axolotl": _axolotl}
_USE: Mapping[str, str] = {
    "llamafactory": "Set `dataset_dir` to this folder and `dataset` to {splits}.",
    "axolotl": "`axolotl.yaml` has the lines of the configuration that name these files.",
    "openai": "Upload `{file}` with the purpose `fine-tune`.",
    "sharegpt": "Conversations of `from` and `value`.",
    "alpaca": "`instruction`, `input`, `output`, and where there are any `system` and `history`.",
}
_RLHF: Mapping[str, str] = {
    "sft": "--data.input_key input --data.output_key output --data.apply_chat_template",
    "rl": "--data.input_key input --data.label_key label --data.apply_chat_template",
    "preference": "--data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected "
    "--data.apply_chat_template",
}


def _use(form: str, name: str, files: Mapping[str, str]) -> str:
    if form == "openrlhf":
        key = "--data.prompt_dataset" if name == "rl" else "--data.dataset"
        return f"`{key} {next(iter(files.values()), '')} {_RLHF[name]}`"
    if form == "verl":
        key = "data.messages_key=messages" if name == "sft" else "data.prompt_key=prompt"
        return f"`data.train_files={next(iter(files.values()), '')} {key}`"
    if form == "trl":
        return f"TRL's type {name.replace('_', ' ')}; `datasets.load_dataset` reads the folder."
    splits = ", ".join(f"`{split}`" for split in files)
    return _USE[form].format(splits=splits, file=next(iter(files.values()), ""))


def _card(form: str, name: str, files: Mapping[str, str], counts: Mapping[str, int]) -> str:
    data = "".join(f"  - split: {split}\n    path: {path}\n" for split, path in files.items())
    head = f"---\nconfigs:\n- config_name: default\n  data_files:\n{data}---\n\n" if files else ""
    rows = "".join(f"| `{split}` | {n} |\n" for split, n in counts.items())
    return (
        f"{head}# {form}: {name.replace('_', ' ')}\n\nMade by databuild. {_use(form, name, files)}"
        f"\n\n| split | rows |\n|---|---|\n{rows}"
    )
