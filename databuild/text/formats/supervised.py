r"""Questions and answers: Alpaca, ShareGPT, OpenAI messages, TRL prompt-completion, HH transcripts.

- Alpaca: `instruction`, `input`, `output`, and LLaMA-Factory's `system`, `history`. The prompt is
  the instruction and, after a blank line, the input.
- ShareGPT: `conversations` of `{from, value}`. OpenAI: `messages` of `{role, content}`. Both names
  and both spellings are read in any mixture.
- TRL: `prompt` and `completion`, texts or lists of turns.
- Pairs: any other name of a prompt with any name of an answer (`fields.PROMPTS`, `ANSWERS`); a
  column of reasoning goes into think tags before the answer.
- HH transcript: `\n\nHuman: ...\n\nAssistant: ...`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from databuild.text.formats.fields import (
    ANSWERS,
    PROMPTS,
    TALKS,
    Fields,
    Row,
    answered_row,
    asked_row,
    take_answer,
    take_context,
    turns_of,
    with_context,
)
from databuild.text.formats.turns import as_openai, as_sharegpt, is_plain
from databuild.text.formats.values import fault, load_json, number_of, opened, short, text_of

if TYPE_CHECKING:
    from databuild.text.formats.turns import Turn

TEXTS = ("text", "content", "document", "body", "article", "markdown")
SCORES = ("score", "rating", "reward")
_SPEAKER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}


def read_supervised(fields: Fields) -> list[Row]:
    """Read a question with its answer, or alone."""
    turns = take_context(fields)
    if turns[-1]["role"] != "assistant":
        if not fields.has(*ANSWERS):
            return [with_context(fields, asked_row(turns), "prompt")]
        turns = [*turns, *take_answer(fields)]
    row = answered_row(turns)
    name = fields.find(SCORES)
    if name is None or isinstance(fields.values[name], str | bool | list | dict):
        return [with_context(fields, row, "sft")]
    score = number_of(fields.take(name), name)
    row.update({} if score is None else {"score": score})
    return [with_context(fields, row, "response")]


def read_prompt(fields: Fields) -> list[Row]:
    """Read the question alone, whatever answers stand beside it."""
    turns = take_context(fields)
    if turns[-1]["role"] == "assistant":
        turns = turns[:-1]
    if not turns:
        raise fault("no prompt", "the conversation is one answer")
    return [with_context(fields, asked_row(turns), "prompt")]


def is_alpaca(fields: Fields) -> bool:
    """Say whether the record has an instruction."""
    return "instruction" in fields.values


def is_talk(fields: Fields) -> bool:
    """Say whether the record has a conversation."""
    return fields.has(*TALKS)


def is_sharegpt(fields: Fields) -> bool:
    """Say whether the conversation is spelt `from` and `value`."""
    name = fields.find(TALKS)
    turns = opened(fields.values[name]) if name else None
    first = turns[0] if isinstance(turns, list) and turns else None
    return isinstance(first, dict) and "from" in first


def is_completion(fields: Fields) -> bool:
    """Say whether the record has TRL's two names."""
    return {"prompt", "completion"} <= fields.values.keys()


def is_question(fields: Fields) -> bool:
    """Say whether the record has any name of a prompt."""
    return fields.has(*PROMPTS)


def is_instances(fields: Fields) -> bool:
    """Say whether the record is a task with instances, as of Self-Instruct."""
    return is_alpaca(fields) and isinstance(opened(fields.values.get("instances")), list)


def read_instances(fields: Fields) -> list[Row]:
    """Read one instruction with several inputs and outputs: a row for each."""
    instruction = text_of(fields.take("instruction"), "instruction")
    rows = []
    for number, held in enumerate(opened(fields.take("instances"))):
        if not isinstance(held, dict):
            fields.faults.append(f"wrong type: instances[{number}] is {short(held)}")
            continue
        inner = Fields({"instruction": instruction, **held})
        try:
            rows += read_supervised(inner)
        except ValueError as error:
            fields.faults.append(f"{error} (in instances[{number}])")
    return rows


def is_transcript(text: Any) -> bool:
    """Say whether a text is a transcript of Human and Assistant."""
    return isinstance(text, str) and text.lstrip().startswith("Human:")


def read_transcript(text: str, place: str) -> list[Turn]:
    r"""Read the turns of a transcript.

    Raises:
        FaultError: A turn is blank.

    Example:
        >>> read_transcript("\n\nHuman: Hi\n\nAssistant: Hello.", "chosen")
        [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello.'}]
    """
    pieces = _SPEAKER.split(text)[1:]
    turns = []
    for number, (speaker, said) in enumerate(zip(pieces[::2], pieces[1::2], strict=True)):
        try:
            content = text_of(said.removeprefix(" "), speaker)
        except ValueError:
            raise fault("empty turn", f"turn {number} of {place} ({speaker}) is blank") from None
        turns.append({"role": _SPEAKERS[speaker], "content": content})
    return turns


def write_transcript(turns: list[Turn]) -> str:
    """Write turns as a transcript.

    Raises:
        FaultError: There are other turns than those of user and assistant.
    """
    speakers = {role: speaker for speaker, role in _SPEAKERS.items()}
    if not is_plain(turns) or any(turn["role"] not in speakers for turn in turns):
        raise fault("cannot hold", "system and tool turns")
    return "".join(f"\n\n{speakers[turn['role']]}: {turn['content']}" for turn in turns)


def is_text(fields: Fields) -> bool:
    """Say whether the record is a document, or a transcript in a column of text."""
    return fields.has(*TEXTS)


def is_transcript_record(fields: Fields) -> bool:
    """Say whether the text of the record is a transcript."""
    name = fields.find(TEXTS)
    return name is not None and is_transcript(fields.values[name])


def read_transcript_record(fields: Fields) -> list[Row]:
    """Read a transcript in a column of text."""
    turns = read_transcript(fields.take(*TEXTS), "the text")
    if turns[-1]["role"] == "user":
        return [with_context(fields, asked_row(turns), "prompt")]
    return [with_context(fields, answered_row(turns), "sft")]


def read_document(fields: Fields) -> list[Row]:
    """Read a document."""
    name = fields.find(TEXTS)
    if name is None:
        raise fault("no text", f"none of {', '.join(TEXTS)} has a value")
    row = {"row_kind": "document", "text": text_of(fields.take(name), name)}
    for column in ("title", "url"):
        said = fields.take_text(column)
        row.update({} if said is None else {column: said})
    return [row]


def write_alpaca(row: Row) -> dict[str, Any]:
    """Write instruction, input and output; of a conversation also system and history."""
    turns = turns_of(row)
    made: dict[str, Any] = {}
    if turns[0]["role"] == "system":
        made["system"] = turns[0]["content"]
        turns = turns[1:]
    if not is_plain(turns):
        raise fault("cannot hold", "tool turns")
    said = [turn["content"] for turn in turns]
    made |= {"instruction": said[-2], "input": "", "output": said[-1]}
    if len(said) > 2:
        made["history"] = [list(pair) for pair in zip(said[:-2:2], said[1:-2:2], strict=True)]
    return made | _tools(row)


def write_sharegpt(row: Row) -> dict[str, Any]:
    """Write `conversations`."""
    return {"conversations": as_sharegpt(turns_of(row)), **_tools(row)}


def write_openai(row: Row) -> dict[str, Any]:
    """Write `messages`."""
    tools = load_json(row["tools"]) if "tools" in row else None
    return {"messages": as_openai(turns_of(row)), **({"tools": tools} if tools else {})}


def write_completion(row: Row) -> dict[str, Any]:
    """Write TRL's `prompt` and `completion`, as lists of turns where texts cannot hold them."""
    if "messages" not in row:
        return {"prompt": row["prompt"], "completion": row["response"]}
    turns = as_openai(row["messages"])
    return {"prompt": turns[:-1], "completion": turns[-1:], **_tools(row)}


def write_prompt(row: Row) -> dict[str, Any]:
    """Write TRL's `prompt`."""
    turns = as_openai(row["messages"]) if "messages" in row else row["prompt"]
    return {"prompt": turns, **_tools(row)}


def write_document(row: Row) -> dict[str, Any]:
    """Write `text`."""
    return {name: row[name] for name in ("text", "title", "url") if name in row}


def _tools(row: Row) -> dict[str, Any]:
    return {"tools": row["tools"]} if "tools" in row else {}
