r"""export.megatron: token ids in Megatron-LM's indexed format, `.bin` and `.idx`.

The format, as `megatron/core/datasets/indexed_dataset.py` reads it (Megatron-LM, core 0.16). `.bin`
holds the ids of all sequences one after the other. `.idx`, little-endian: the nine bytes
`MMIDIDX\0\0`; the version, 1 (uint64); a code of the ids' type (uint8: 4 is int32, 8 is uint16);
the number of sequences and that of document boundaries (uint64 each); the length of each sequence
in ids (int32), its place in `.bin` in bytes (int64), and the boundaries of documents as numbers of
sequences, from 0 on (int64).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.export.example import Example, example_of, kind_of
from databuild.export.splits import SPLIT, together
from databuild.recipe.options import ModelRef, StepConfig
from databuild.text.formats.turns import as_template
from databuild.text.formats.values import FaultError, fault, load_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

Ids = NDArray[np.int64]
_HEAD = b"MMIDIDX\x00\x00"
_CODES: Mapping[str, int] = {"int32": 4, "uint16": 8}
_SMALL_VOCABULARY = 65_500
"""Below so many ids Megatron-LM's own tools write uint16."""
_BATCH = 1000
_WHERE = "export.megatron"


class MegatronConfig(StepConfig):
    """Options of `export.megatron`."""

    model: ModelRef
    """Whose tokenizer makes the ids: a name under `models:`."""
    kind: Literal["auto", "document", "sft"] = "auto"
    """What the rows are: documents, or conversations, which the chat template turns into text.
    With `auto` the columns say it."""
    end_of_document: bool = True
    """Put the end-of-text token after each document, as `preprocess_data.py --append-eod`."""
    split: str = Field(default="train", pattern=r"^\w+(\.\w+)*$")
    """The name of the split, where there is one input; of several, each has its own."""
    allow_empty: bool = False
    """Where there are no rows, write no file and go on; else the run stops with an error."""


@step(
    "export.megatron", kind="deliver", sees="table", version=1,
    reads=lambda _: ("*",),
)  # fmt: skip
def write_shards(
    rows: pl.DataFrame | None,
    config: MegatronConfig,
    *,
    model: Path,
    out: Path,
    **others: pl.DataFrame,
) -> dict[str, Any]:
    """Write each row as one document of token ids, in the order of row_id.

    `<split>_text_document.bin` and `.idx`: Megatron's `--data-path` is the name without its ending.
    The loss is over all ids: the format has no place for a mask, so conversations teach their
    questions as well.

    Args:
        rows: n rows with `row_id` and `text`, or the columns of `sft` rows.
        config: See `MegatronConfig`.
        model: The folder of the tokenizer.
        out: An empty folder.
        others: Further splits by name.

    Returns:
        `rows`, `tokens`, `files`, `vocabulary`, `dtype`; `rows_skipped` names rows without text and
        conversations that the chat template refuses. Written and skipped together are all rows.

    Raises:
        StepError: There are no rows to write, or they are neither documents nor conversations.

    Cost:
        That of the tokenizer, a batch of 1000 texts at a time, and 8 bytes a token in memory.
    """
    table, splits = together(rows, config.split, others, "export.megatron")
    kind = kind_of(table.columns) if config.kind == "auto" else config.kind
    if kind not in {"document", "sft"}:
        what = f"token shards hold documents or conversations; the rows read as {kind}"
        raise StepError(_WHERE, what, fix="say what they are under `kind`")
    reader = _Reader(model)
    end = reader.end() if config.end_of_document else []
    dtype = "uint16" if reader.size < _SMALL_VOCABULARY else "int32"
    facts: dict[str, Any] = {"rows": 0, "tokens": 0, "files": []}
    counts: dict[str, int] = {}
    skipped: list[dict[str, str]] = []
    for split in splits:
        part = table.filter(table[SPLIT] == split)
        texts = _texts(part, kind, reader, skipped)
        counts[split] = len(texts)
        if not texts:
            _check_empty(part, skipped, config)
            continue
        ids = reader.ids(texts, end, is_whole=kind == "document")
        facts["files"] += write_indexed(out / f"{split}_text_document", ids, dtype)
        facts["tokens"] += sum(map(len, ids))
    facts |= {"rows": sum(counts.values()), "vocabulary": reader.size, "dtype": dtype}
    facts |= {"splits": counts} if len(splits) > 1 else {}
    return {**facts, "rows_skipped": skipped} if skipped else facts


def write_indexed(prefix: Path, sequences: Sequence[Ids], dtype: str) -> list[str]:
    """Write sequences of ids as `<prefix>.bin` and `<prefix>.idx`; return the files' names.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a"
        ...     names = write_indexed(path, [np.array([1, 2]), np.array([3])], "int32")
        ...     names, (Path(folder) / "a.bin").stat().st_size
        (['a.bin', 'a.idx'], 12)
    """
    kind = np.dtype(dtype).newbyteorder("<")
    lengths = np.array([len(ids) for ids in sequences], dtype="<i4")
    places = np.zeros(len(sequences), dtype="<i8")
    np.cumsum(lengths[:-1], out=places[1:])
    names = [f"{prefix.name}.bin", f"{prefix.name}.idx"]
    with prefix.with_name(names[0]).open("wb") as file:
        for ids in sequences:
            file.write(np.asarray(ids).astype(kind).tobytes())
    with prefix.with_name(names[1]).open("wb") as file:
        file.write(_HEAD + struct.pack("<QB", 1, _CODES[dtype]))
        file.write(struct.pack("<QQ", len(sequences), len(sequences) + 1))
        file.write(lengths.tobytes())
        file.write((places * kind.itemsize).tobytes())
        file.write(np.arange(len(sequences) + 1, dtype="<i8").tobytes())
    return names


class _Reader:
    """A model's tokenizer: `tokenizer.json`, and its chat template where one is needed."""

    def __init__(self, model: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            what = "texts are cut with the package tokenizers, which is not installed"
            raise StepError(_WHERE, what, fix="uv add 'databuild[measure]'") from error
        self.model = model
        path = model / "tokenizer.json"
        if not path.is_file():
            what = f"{model.name} has no tokenizer.json"
            raise StepError(_WHERE, what, fix="name the folder of a Hugging Face model")
        self._cut = Tokenizer.from_file(str(path))
        self._cut.no_padding()
        self._cut.no_truncation()
        self._chat: Any = None
        self.size: int = self._cut.get_vocab_size(with_added_tokens=True)

    def end(self) -> list[int]:
        """The id of the end-of-text token.

        Raises:
            StepError: The tokenizer has none.
        """
        path = self.model / "tokenizer_config.json"
        held = load_json(path.read_text(encoding="utf-8")) if path.is_file() else None
        named = held.get("eos_token") if isinstance(held, dict) else None
        token = named.get("content") if isinstance(named, dict) else named
        found = self._cut.token_to_id(token) if isinstance(token, str) else None
        if found is None:
            what = f"the tokenizer of {self.model.name} has no end-of-text token"
            raise StepError(_WHERE, what, fix="set `end_of_document: false`")
        return [int(found)]

    def ids(self, texts: Sequence[str], end: list[int], *, is_whole: bool) -> list[Ids]:
        """The ids of each text; of a whole text with what the tokenizer puts around one."""
        made = []
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            found = self._cut.encode_batch_fast(batch, add_special_tokens=is_whole)
            made += [np.array([*one.ids, *end], dtype=np.int64) for one in found]
        return made

    def rendered(self, example: Example) -> str:
        """A conversation as its chat template writes it.

        Raises:
            StepError: The package or the template is missing.
            FaultError: The template refuses the conversation.
        """
        from jinja2 import TemplateError

        if self._chat is None:
            self._chat = self._templated()
        tools = None if example.tools is None else load_json(example.tools)
        turns = as_template(example.turns)
        try:
            return str(self._chat.apply_chat_template(turns, tools=tools, tokenize=False))
        except (TemplateError, TypeError) as error:
            raise fault("cannot hold", f"the chat template refuses it: {error}") from error

    def _templated(self) -> Any:
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            what = "chat templates are read with the package transformers, which is not installed"
            raise StepError(_WHERE, what, fix="uv add 'databuild[train]'") from error
        chat = AutoTokenizer.from_pretrained(self.model, local_files_only=True)
        if chat.chat_template is None:
            what = "conversations need a chat template, and the tokenizer has none"
            raise StepError(_WHERE, what, fix="name a model that has one under `model`")
        return chat


def _texts(
    part: pl.DataFrame, kind: str, reader: _Reader, skipped: list[dict[str, str]]
) -> list[str]:
    texts = []
    for row in part.sort("row_id").iter_rows(named=True):
        try:
            example = example_of(row, kind)
            texts.append(example.text if kind == "document" else reader.rendered(example))
        except FaultError as error:
            skipped.append({"row_id": row["row_id"], "reason": str(error)})
    return texts


def _check_empty(
    part: pl.DataFrame, skipped: Sequence[Mapping[str, str]], config: MegatronConfig
) -> None:
    if part.is_empty() and config.allow_empty:
        return
    reason = f": {skipped[-1]['reason']}" if not part.is_empty() and skipped else ""
    fix = "look at the steps before with `databuild show`, or set `allow_empty: true`"
    raise StepError(_WHERE, f"no rows to write{reason}", fix=fix)
