"""One example as a record of TRL, OpenAI, ShareGPT, Alpaca, LLaMA-Factory, axolotl, verl, OpenRLHF.

Each function writes what its trainer's own loader reads, or raises a `FaultError` that names what
the format has no place for; nothing is flattened to make it fit. Where the loader is public, the
function that reads the record is named, and the tests call it where it is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from databuild.export.example import Example, has_calls
from databuild.text.formats.turns import as_openai, as_sharegpt, is_plain
from databuild.text.formats.values import fault, is_blank, load_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from databuild.text.formats.fields import Row
    from databuild.text.formats.turns import Turn

Record = dict[str, Any]


@dataclass(frozen=True)
class Wants:
    """What the options say about records."""

    style: str = "conversational"
    data_source: str = "databuild"
    ability: str | None = None
    truth: str | None = None


@dataclass(frozen=True)
class Shape:
    """A type of records: the kinds of rows that it holds, and how one is written."""

    kinds: tuple[str, ...]
    write: Callable[[Example, Wants], Record]


# --- TRL


def _said(example: Example, turns: Sequence[Turn], what: str, wants: Wants) -> Any:
    if wants.style == "standard":
        return example.text_of(turns, what)
    return as_openai(turns)


def _with_tools(example: Example, made: Record) -> Record:
    return {**made, "tools": example.tools} if example.tools is not None else made


def _trl_language_modeling(example: Example, wants: Wants) -> Record:
    if example.kind == "document":
        return {"text": example.text}
    if wants.style == "standard":
        raise fault("cannot hold", "a question with its answer as one text")
    return _with_tools(example, {"messages": as_openai(example.turns)})


def _trl_prompt_only(example: Example, wants: Wants) -> Record:
    return _with_tools(example, {"prompt": _said(example, example.asked, "a prompt", wants)})


def _trl_prompt_completion(example: Example, wants: Wants) -> Record:
    prompt = _said(example, example.asked, "a prompt", wants)
    answer = _said(example, example.answer, "an answer", wants)
    return _with_tools(example, {"prompt": prompt, "completion": answer})


def _trl_preference(example: Example, wants: Wants) -> Record:
    made = {"prompt": _said(example, example.asked, "a prompt", wants)}
    made["chosen"] = _said(example, example.chosen, "an answer", wants)
    made["rejected"] = _said(example, example.rejected, "an answer", wants)
    return _with_tools(example, made)


def _trl_implicit(example: Example, wants: Wants) -> Record:
    if wants.style == "standard":
        prompt = example.text_of(example.asked, "a prompt")
        said = {n: example.text_of(getattr(example, n), "an answer") for n in _SIDES}
        return {name: f"{prompt}\n\n{text}" for name, text in said.items()}
    made: Record = {n: as_openai([*example.asked, *getattr(example, n)]) for n in _SIDES}
    return _with_tools(example, made)


def _trl_unpaired(example: Example, wants: Wants) -> Record:
    return {**_trl_prompt_completion(example, wants), "label": example.label}


def _trl_stepwise(example: Example, wants: Wants) -> Record:
    del wants  # TRL has this type in the standard format only
    labels = []
    for number, step in enumerate(example.steps):
        if step["rating"] not in {1, -1}:
            raise fault("cannot hold", f"the rating {step['rating']} of step {number}")
        labels.append(step["rating"] == 1)
    prompt = example.text_of(example.asked, "a prompt")
    texts = [step["text"] for step in example.steps]
    return {"prompt": prompt, "completions": texts, "labels": labels}


_SIDES = ("chosen", "rejected")


# --- OpenAI


def _openai_turns(turns: Sequence[Turn]) -> list[Record]:
    """Turns with the ids of calls that the API asks for; a row without them gets `call_<n>`."""
    made = as_openai(turns)
    waiting: list[str] = []
    n_calls = 0
    for turn in made:
        for call in turn.get("tool_calls", ()):
            call.setdefault("id", f"call_{n_calls}")
            n_calls += 1
        if turn.get("tool_calls"):
            waiting = [call["id"] for call in turn["tool_calls"]]
        elif turn["role"] == "tool":
            known = turn.setdefault("tool_call_id", waiting[0] if waiting else "")
            turn.setdefault("content", "")
            waiting = [one for one in waiting if one != known]
    return made


def _openai_tools(example: Example) -> Record:
    tools = None if example.tools is None else load_json(example.tools)
    called = [
        call["name"]
        for turn in (*example.turns, *example.chosen, *example.rejected)
        for call in turn.get("tool_calls", ())
    ]
    functions = [_function(tool) for tool in tools or ()]
    known = {one["function"]["name"] for one in functions}
    unknown = [name for name in called if name not in known]
    if unknown:
        raise fault("cannot hold", f"a call of {unknown[0]!r}, which `tools` does not describe")
    return {"tools": functions, "parallel_tool_calls": True} if functions else {}


def _function(tool: Any) -> Record:
    held = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(held, dict) or not isinstance(held.get("name"), str):
        raise fault("cannot hold", "a tool without a name")
    return {"type": "function", "function": held}


def _openai_chat(example: Example, wants: Wants) -> Record:
    del wants
    return {"messages": _openai_turns(example.turns), **_openai_tools(example)}


def _openai_preference(example: Example, wants: Wants) -> Record:
    del wants
    sides = {}
    for name, column in (("preferred_output", "chosen"), ("non_preferred_output", "rejected")):
        turns: list[Turn] = getattr(example, column)
        if len(turns) != 1:
            raise fault("cannot hold", f"an answer of {len(turns)} turns: one message is compared")
        sides[name] = _openai_turns(turns)
    asked = {"messages": _openai_turns(example.asked), **_openai_tools(example)}
    return {"input": asked, **sides}


# --- ShareGPT, Alpaca, LLaMA-Factory


def _sharegpt(example: Example, wants: Wants) -> Record:
    del wants
    turns = as_sharegpt(example.turns)
    return _with_tools(example, {"conversations": turns})


def _sharegpt_preference(example: Example, wants: Wants) -> Record:
    del wants
    made: Record = {"conversations": as_sharegpt(example.asked)}
    for name in _SIDES:
        turns = as_sharegpt(getattr(example, name))
        if len(turns) != 1:
            raise fault("cannot hold", f"an answer of {len(turns)} turns")
        made[name] = turns[0]
    return _with_tools(example, made)


def _alternating(made: Record) -> Record:
    """Check what LLaMA-Factory's `SharegptDatasetConverter` wants of a conversation.

    Turns of human or observation and of gpt or function_call alternate; it leaves out others.
    """
    turns = made["conversations"]
    turns = turns[1:] if turns[0]["from"] == "system" else turns
    words = (("human", "observation"), ("gpt", "function_call"))
    for number, turn in enumerate(turns):
        if turn["from"] not in words[number % 2]:
            raise fault("cannot hold", "several results of tools after one turn")
    return made


def _factory(example: Example, wants: Wants) -> Record:
    made = _alternating(_sharegpt(example, wants))
    return {**made, "kto_tag": example.label} if example.kind == "feedback" else made


def _factory_preference(example: Example, wants: Wants) -> Record:
    return _alternating(_sharegpt_preference(example, wants))


def _factory_document(example: Example, wants: Wants) -> Record:
    del wants
    return {"text": example.text}


def _alpaca(example: Example, wants: Wants) -> Record:
    del wants
    system, said = _alpaca_turns(example, example.turns)
    return {**system, "instruction": said[-2], "input": "", "output": said[-1], **_history(said)}


def _alpaca_preference(example: Example, wants: Wants) -> Record:
    del wants
    system, said = _alpaca_turns(example, example.asked)
    sides = {name: example.text_of(getattr(example, name), "an answer") for name in _SIDES}
    return {**system, "instruction": said[-1], "input": "", **sides, **_history([*said, ""])}


def _alpaca_turns(example: Example, turns: Sequence[Turn]) -> tuple[Row, list[str]]:
    if example.tools is not None:
        raise fault("cannot hold", "tools")
    if not is_plain(turns) or has_calls(turns):
        raise fault("cannot hold", "tool turns")
    is_headed = turns[0]["role"] == "system"
    system = {"system": turns[0]["content"]} if is_headed else {}
    return system, [turn["content"] for turn in turns[is_headed:]]


def _history(said: Sequence[str]) -> Record:
    pairs = [list(pair) for pair in zip(said[:-2:2], said[1:-2:2], strict=True)]
    return {"history": pairs} if pairs else {}


# --- axolotl, verl, OpenRLHF


def _axolotl_chat(example: Example, wants: Wants) -> Record:
    del wants
    return _with_tools(example, {"messages": as_openai(example.turns)})


def _axolotl_preference(example: Example, wants: Wants) -> Record:
    """Write what `prompt_strategies/dpo/chat_template.py:default` reads: roles and texts alone."""
    del wants
    turns = [*example.asked, *example.chosen, *example.rejected]
    if example.tools is not None or has_calls(turns) or not is_plain(turns):
        raise fault("cannot hold", "tools in a pair")
    if len(example.chosen) != 1 or len(example.rejected) != 1:
        raise fault("cannot hold", "an answer of several turns")
    made: Record = {"messages": as_openai(example.asked)}
    return {**made, "chosen": example.chosen[0], "rejected": example.rejected[0]}


def _verl_prompt(example: Example, wants: Wants) -> Record:
    truth = None if wants.truth is None else example.row.get(wants.truth)
    if truth is None or (isinstance(truth, str) and is_blank(truth)):
        named = "" if wants.truth is None else f" in {wants.truth}"
        raise fault("no ground truth", f"a rule's reward needs one{named}")
    if example.tools is not None:
        raise fault("cannot hold", "tools: verl takes them from its own configuration")
    return {
        "data_source": wants.data_source,
        "prompt": as_openai(example.asked),
        "ability": wants.ability or "",
        "reward_model": {"style": "rule", "ground_truth": str(truth)},
    }


def _verl_sft(example: Example, wants: Wants) -> Record:
    """Write what `utils/dataset/multiturn_sft_dataset.py` reads; it hands tools on as they are."""
    del wants
    if example.tools is not None:
        raise fault("cannot hold", "tools: verl reads them as nested columns, equal in all rows")
    return {"messages": as_openai(example.turns)}


def _open_rlhf_prompt(example: Example, wants: Wants) -> Record:
    """Write what `datasets/prompts_dataset.py` reads: `--input_key input --label_key label`."""
    if example.tools is not None:
        raise fault("cannot hold", "tools")
    made: Record = {"input": as_openai(example.asked), "datasource": wants.data_source}
    if wants.truth is not None:
        truth = example.row.get(wants.truth)
        if truth is None:
            raise fault("no ground truth", f"{wants.truth} is null")
        made["label"] = str(truth)
    return made


def _open_rlhf_sft(example: Example, wants: Wants) -> Record:
    """Write what `datasets/sft_dataset.py:preprocess_data` reads with `--apply_chat_template`."""
    del wants
    if example.tools is not None:
        raise fault("cannot hold", "tools")
    return {"input": as_openai(example.asked), "output": as_openai(example.answer)}


def _open_rlhf_preference(example: Example, wants: Wants) -> Record:
    """Write what `datasets/reward_dataset.py:preprocess_data` reads, and `margin` for its loss."""
    del wants
    if example.tools is not None:
        raise fault("cannot hold", "tools")
    made: Record = {"prompt": as_openai(example.asked)}
    made |= {name: as_openai(getattr(example, name)) for name in _SIDES}
    margin = example.row.get("margin")
    return made if margin is None else {**made, "margin": margin}


_DOCUMENT = Shape(("document",), _factory_document)

SHAPES: Mapping[str, Mapping[str, Shape]] = {
    "trl": {
        "prompt_only": Shape(("prompt",), _trl_prompt_only),
        "prompt_completion": Shape(("sft",), _trl_prompt_completion),
        "language_modeling": Shape(("document", "sft"), _trl_language_modeling),
        "preference": Shape(("preference",), _trl_preference),
        "implicit_preference": Shape(("preference",), _trl_implicit),
        "unpaired_preference": Shape(("feedback",), _trl_unpaired),
        "stepwise": Shape(("steps",), _trl_stepwise),
    },
    "openai": {
        "sft": Shape(("sft",), _openai_chat),
        "preference": Shape(("preference",), _openai_preference),
    },
    "sharegpt": {
        "sft": Shape(("sft",), _sharegpt),
        "preference": Shape(("preference",), _sharegpt_preference),
    },
    "alpaca": {
        "sft": Shape(("sft",), _alpaca),
        "preference": Shape(("preference",), _alpaca_preference),
    },
    "llamafactory": {
        "sft": Shape(("sft",), _factory),
        "preference": Shape(("preference",), _factory_preference),
        "unpaired_preference": Shape(("feedback",), _factory),
        "language_modeling": _DOCUMENT,
    },
    "axolotl": {
        "sft": Shape(("sft",), _axolotl_chat),
        "preference": Shape(("preference",), _axolotl_preference),
        "stepwise": Shape(("steps",), _trl_stepwise),
        "language_modeling": _DOCUMENT,
    },
    "verl": {
        "sft": Shape(("sft",), _verl_sft),
        "rl": Shape(("prompt", "sft"), _verl_prompt),
    },
    "openrlhf": {
        "rl": Shape(("prompt",), _open_rlhf_prompt),
        "sft": Shape(("sft",), _open_rlhf_sft),
        "preference": Shape(("preference",), _open_rlhf_preference),
    },
}
"""Formats, the types of records of each, and the kinds of rows that each type holds."""
