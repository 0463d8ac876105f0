"""Rows as token ids: what the trainer sees, and every row that it cannot use with the reason."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from databuild.errors import SchemaError
from databuild.text.formats.turns import as_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Kind = Literal["sft", "dpo"]
Turns = list[dict[str, Any]]
TALKS = ("messages", "chosen_messages", "rejected_messages", "tools")
"""Columns that hold what a text cannot, where a table has them; see `databuild.schema.rows`."""
ANSWERS = ("completion", "response", "answer")
"""Columns that may hold the answer of a supervised row; the first one that is there counts."""


@dataclass
class Examples:
    """Tokenised rows, in the order of the table, and the rows left out."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def lengths(self) -> list[int]:
        """Tokens that each row occupies in training."""
        return [
            sum(len(v) for k, v in row.items() if k != "labels" and isinstance(v, list))
            for row in self.rows
        ]

    def subset(self, numbers: Sequence[int], skipped: Sequence[dict[str, str]] = ()) -> Examples:
        """Return some of the rows, in table order, and say which rows were left out before."""
        kept = sorted(numbers)
        return Examples([self.rows[i] for i in kept], [self.ids[i] for i in kept], list(skipped))


def read_rows(path: Path) -> pl.DataFrame:
    """Read a Parquet or JSONL file of training rows."""
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ndjson(path)


def tokenise(rows: pl.DataFrame, kind: Kind, tokenizer: Any, max_length: int) -> Examples:
    """Turn rows into token ids exactly as TRL does, but leave out and name what TRL would cut.

    A text (not a list of turns) becomes one turn of `user` or `assistant` where the tokenizer has a
    chat template, and is used as it is, with the end-of-text token, where it has none. The answer
    starts where the rendered prompt and the rendered prompt with answer part. Of a row whose
    `messages` is not null the conversation is trained on; see `asked_and_answered`.

    Args:
        rows: `row_id` (without it, the row's number), `prompt`, and for `sft` one of `completion`,
            `response`, `answer`; for `dpo` `chosen` and `rejected`. Text or lists of turns.
            Optional: `messages`, `chosen_messages`, `rejected_messages`, `tools`.
        kind: What is trained.
        tokenizer: A Hugging Face tokenizer.
        max_length: A row of more tokens is left out; for `dpo` its longer answer counts.

    Returns:
        `rows` with `input_ids` and `labels` (`sft`) or `prompt_ids`, `chosen_ids`, `rejected_ids`
        (`dpo`); `skipped` with `row_id` and `reason`. Together they are all rows.

    Raises:
        SchemaError: A column is missing.
    """
    answers = _answer_columns(rows, kind)
    wanted = ["prompt", *answers, *(name for name in TALKS if name in rows.columns)]
    ids = rows["row_id"].cast(pl.String) if "row_id" in rows.columns else None
    render: Callable[..., list[int]] = _templated if tokenizer.chat_template else _plain
    made = Examples()
    for number, row in enumerate(rows.select(wanted).iter_rows(named=True)):
        row_id = str(number) if ids is None else str(ids[number])
        drawn = partial(render, tokenizer, tools=tools_of(row.get("tools")))
        made_of = _tokens_or_reason(row, answers, kind, drawn, max_length)
        if isinstance(made_of, str):
            made.skipped.append({"row_id": row_id, "reason": made_of})
        else:
            made.ids.append(row_id)
            made.rows.append(made_of)
    return made


def _tokens_or_reason(
    row: dict[str, Any],
    answers: list[str],
    kind: Kind,
    render: Callable[[object, object], list[int]],
    max_length: int,
) -> dict[str, Any] | str:
    parted = asked_and_answered(row, answers)
    if isinstance(parted, str):
        return parted
    prompt, texts = parted
    reason = _unusable(prompt, texts)
    if reason is not None:
        return reason
    try:
        prompt_ids = render(prompt, None)
        full = [render(prompt, text) for text in texts]
    except _template_errors() as error:
        return f"the chat template refuses it: {error}"
    start = min(_common_prefix(prompt_ids, ids) for ids in full)
    return _misfit(full, start, max_length) or _example(kind, full, start)


def asked_and_answered(
    row: Mapping[str, Any], answers: Sequence[str]
) -> tuple[Any, list[Any]] | str:
    """What was asked and what was answered; of a row with `messages`, these.

    With one answer column `messages` is the whole conversation, the answer its last turn. With two
    it is what stands before the answers, which are `chosen_messages` and `rejected_messages` where
    these are not null.

    Returns:
        The prompt and the answers, or the reason why the row cannot be used.

    Example:
        >>> talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
        >>> row = {"prompt": "Hi", "response": "Hello.", "messages": talk}
        >>> asked_and_answered(row, ["response"])
        ([{'role': 'user', 'content': 'Hi'}], [[{'role': 'assistant', 'content': 'Hello.'}]])
    """
    turns = row.get("messages")
    if len(answers) > 1:
        texts = [row.get(f"{column}_messages") or row[column] for column in answers]
        return (turns or row["prompt"]), texts
    if not turns:
        return row["prompt"], [row[answers[0]]]
    if turns[-1]["role"] != "assistant":
        return f"the conversation ends with a turn of {turns[-1]['role']}"
    said = turns[-1].get("content")
    if said and not said.strip().endswith((row[answers[0]] or "").strip()):
        return f"{answers[0]} is not what the conversation ends with"
    return turns[:-1], [turns[-1:]]


def tools_of(text: str | None) -> list[Any] | None:
    """The tools that a row names, for the chat template."""
    return json.loads(text) if text else None


def _template_errors() -> tuple[type[Exception], ...]:
    """What a chat template raises of a role, a tool call or an order that it does not know."""
    from jinja2 import TemplateError

    return TemplateError, TypeError


def _answer_columns(rows: pl.DataFrame, kind: Kind) -> list[str]:
    if kind == "dpo":
        wanted = ["prompt", "chosen", "rejected"]
    else:
        wanted = ["prompt", next((c for c in ANSWERS if c in rows.columns), ANSWERS[0])]
    missing = [column for column in wanted if column not in rows.columns]
    if missing:
        raise SchemaError(
            f"train.{kind}",
            f"no column {missing}; the table has {rows.columns}",
            fix=f"give it {', '.join(wanted)}",
        )
    return wanted[1:]


def _unusable(prompt: object, texts: Sequence[object]) -> str | None:
    if not prompt:
        return "the prompt is empty"
    if any(not _text_of(text).strip() for text in texts):
        return "an answer is empty"
    if len(texts) > 1 and texts[0] == texts[1]:
        return "chosen equals rejected"
    return None


def _text_of(value: object) -> str:
    if isinstance(value, list):
        called = [call for turn in value for call in turn.get("tool_calls") or []]
        said = "".join(str(turn.get("content") or "") for turn in value)
        return said or "".join(str(call["name"]) for call in called)
    return str(value or "")


def _misfit(full: list[list[int]], start: int, max_length: int) -> str | None:
    longest = max(len(ids) for ids in full)
    if longest > max_length:
        return f"too long: {longest} tokens, max_length is {max_length}"
    if start == 0 or any(len(ids) == start for ids in full):
        return "nothing to learn: the chat template leaves no answer after the prompt"
    return None


def _example(kind: Kind, full: list[list[int]], start: int) -> dict[str, Any]:
    if kind == "dpo":
        chosen, rejected = full
        return {
            "prompt_ids": chosen[:start],
            "chosen_ids": chosen[start:],
            "rejected_ids": rejected[start:],
        }
    return {"input_ids": full[0], "labels": [-100] * start + full[0][start:]}


def _templated(
    tokenizer: Any, prompt: object, answer: object, tools: list[Any] | None = None
) -> list[int]:
    turns = _turns(prompt, "user")
    if answer is not None:
        turns = turns + _turns(answer, "assistant")
    text = tokenizer.apply_chat_template(
        turns, tools=tools, tokenize=False, add_generation_prompt=answer is None
    )
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _plain(
    tokenizer: Any, prompt: object, answer: object, tools: list[Any] | None = None
) -> list[int]:
    del tools  # a text has no place for them
    text = _text_of(prompt)
    if answer is not None:
        text += _text_of(answer) + tokenizer.eos_token
    ids: list[int] = tokenizer(text)["input_ids"]
    return ids


def _turns(value: object, role: str) -> Turns:
    if isinstance(value, list):
        return as_template([{k: v for k, v in turn.items() if v is not None} for turn in value])
    return [{"role": role, "content": str(value)}]


def _common_prefix(left: list[int], right: list[int]) -> int:
    n = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        n += 1
    return n
