"""What stands in the answers of `generate.self_instruct`, and the paper's rules for it.

Everything here is a pure function of texts. The rules are those of Wang et al. 2023
(arXiv:2212.10560), section 2.2 and the published code (`bootstrap_instructions.py`,
`prepare_for_finetuning.py`), read for any language.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Literal, NamedTuple

import polars as pl

from databuild.text.tokens import folded, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

Type = Literal["classification", "question", "generation"]
TYPES: tuple[Type, ...] = ("classification", "question", "generation")
BANNED = (
    *("image", "images", "picture", "pictures", "photo", "photos", "graph", "graphs", "plot"),
    *("map", "maps", "draw", "file", "files", "video", "go to", "write a program"),
    *("图片", "图像", "照片", "图表", "地图", "画出", "绘制", "文件", "视频", "编写程序"),
)
"""What an assistant that only reads and writes text cannot see or make; each a run of tokens."""
_UNIT = "\x1f"
_NUMBERED = re.compile(
    r"^[ \t>*_#]*(?:task|任务|第)?[ \t]*\d{1,4}[ \t]*"
    r"(?:个任务[ \t]*[.．)）:：、]?|[.．)）:：、])[ \t*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_BULLET = re.compile(r"^[ \t]*[-*•·][ \t]+", re.MULTILINE)
_FIELD = re.compile(
    r"^[ \t>*_#]*(?:example[ \t]*\d*[ \t]*)?"
    r"(?P<name>class label|label|input|output|类别|标签|输入|输出)[ \t]*\d*[ \t*_]*[:：][ \t*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(
    r"^[ \t>*_#]*(?:example|示例|例子|例)[ \t]*\d*[ \t]*[.:：)）]?[ \t*_]*$",
    re.IGNORECASE | re.MULTILINE,
)
_FIELDS = {
    **dict.fromkeys(("label", "class label", "类别", "标签"), "label"),
    **dict.fromkeys(("input", "输入"), "input"),
    **dict.fromkeys(("output", "输出"), "output"),
}
_NO_INPUT = re.compile(
    r"^[<\[(（“\"']*(?:none|n/?a|no input|noinput|empty|无|没有|不需要|无输入)"
    r"[>\])）”\"'.。]*$",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"(?:what|why|how|when|where|who|whom|whose|which|is|are|was|were|do|does|did|can|could|should"
    r"|would|will)\b",
    re.IGNORECASE,
)
_ASKS_ZH = ("什么", "为何", "如何", "怎么", "怎样", "哪", "谁", "几", "是否")
_YES = re.compile(r"^\W*(?:yes|是|对)", re.IGNORECASE)
_NO = re.compile(r"^\W*(?:no\b|not\b|否|不)", re.IGNORECASE)


class Instance(NamedTuple):
    """An example of a task: what it is done on, empty where it needs nothing, and the answer."""

    input: str
    output: str


def instructions_in(text: str, *, is_cut: bool) -> list[str]:
    r"""List the tasks of an answer: its numbered items, or else those after bullets.

    A task that goes on over several lines becomes one line. What stands before the first item is
    chatter. Where the answer was cut at its longest (`is_cut`) its last task is left out, as in the
    paper.

    Example:
        >>> instructions_in("Sure!\n9. Name a fish.\n10) Why do\n  cats purr?", is_cut=False)
        ['Name a fish.', 'Why do cats purr?']
        >>> instructions_in("任务 9：写一首诗。\n任务 10：说说", is_cut=True)
        ['写一首诗。']
    """
    for mark in (_NUMBERED, _BULLET):
        starts = list(mark.finditer(text))
        if starts:
            ends = [*(found.start() for found in starts[1:]), len(text)]
            items = [text[a.end() : end] for a, end in zip(starts, ends, strict=True)]
            # A blank line ends the list: what follows is chatter.
            items = [*items[:-1], items[-1].lstrip().split("\n\n", 1)[0]]
            lines = [" ".join(item.split()).strip("*_ ") for item in items]
            return [line for line in (lines[:-1] if is_cut else lines) if line]
    return []


def faults_of(
    instructions: Sequence[str], least: int, most: int, banned: Sequence[str]
) -> list[str | None]:
    """Say which rule each instruction breaks, the first of them, or None.

    `too short` and `too long` count tokens (`text.tokens`), of Chinese characters. `starts with a
    sign` is Unicode's punctuation or symbol, but for opening quotes and those of Chinese titles.
    `asks for the impossible: <phrase>` has one of the phrases `banned`, as a run of tokens.

    Example:
        >>> tasks = ["Go!", "(Name a red fish)", "Colour the whole map.", "说说鱼的好处"]
        >>> faults_of(tasks, 4, 9, BANNED)
        ['too short', 'starts with a sign', 'asks for the impossible: map', None]
    """
    rows = pl.DataFrame({"text": pl.Series(instructions, dtype=pl.String)})
    listed = rows.select(
        n=tokens(pl.col("text")).list.len(),
        run=pl.concat_str(
            pl.lit(_UNIT), tokens(folded(pl.col("text"))).list.join(_UNIT), pl.lit(_UNIT)
        ),
        is_sign=pl.col("text").str.contains(r"^[[\p{P}\p{S}]--[《「『“]]"),
    )
    phrases = pl.DataFrame({"text": pl.Series(banned, dtype=pl.String)})
    runs = phrases.select(tokens(folded(pl.col("text"))).list.join(_UNIT))["text"].to_list()
    forbidden = [
        (phrase, f"{_UNIT}{run}{_UNIT}") for phrase, run in zip(banned, runs, strict=True) if run
    ]
    found: list[str | None] = []
    for n, run, is_sign in listed.iter_rows():
        hit = next((phrase for phrase, part in forbidden if part in run), None)
        if n < least:
            found.append("too short")
        elif n > most:
            found.append("too long")
        elif is_sign:
            found.append("starts with a sign")
        else:
            found.append(None if hit is None else f"asks for the impossible: {hit}")
    return found


def openings_of(instructions: Sequence[str]) -> list[str]:
    """The first two tokens of each instruction, in lower case: mostly its verb and object.

    Example:
        >>> openings_of(["Write a poem.", "写一首诗", "Go"])
        ['write a', '写 一', 'go']
    """
    rows = pl.DataFrame({"text": pl.Series(instructions, dtype=pl.String)})
    first = tokens(folded(pl.col("text"))).list.head(2).list.join(" ")
    return rows.select(first)["text"].to_list()


def is_classification(text: str) -> bool | None:
    """Read a yes or no, in English or Chinese, at the start of an answer; None is neither.

    Example:
        >>> [is_classification(text) for text in ("Yes.", "**no**, since", "不是", "Maybe")]
        [True, False, False, None]
    """
    return True if _YES.match(text) else False if _NO.match(text) else None


def type_of(instruction: str, *, classifies: bool) -> Type:
    """Name what an instruction asks for: a label, the answer to a question, or a text.

    A question ends with a question mark, or begins with an English question word or auxiliary, or
    with a Chinese question word.

    Example:
        >>> [type_of(t, classifies=False) for t in ("Why is it so", "Name it.", "天为什么蓝？")]
        ['question', 'generation', 'question']
    """
    if classifies:
        return "classification"
    text = instruction.strip()
    asks = text.endswith(("?", "？")) or _ASKS.match(text) or text.startswith(_ASKS_ZH)
    return "question" if asks else "generation"


def instances_in(text: str, *, label_first: bool, is_cut: bool) -> tuple[list[Instance], str]:
    r"""Read the examples of an answer.

    Args:
        text: The answer: `Input:` and `Output:` in turn, or `Label:` and `Input:` in turn.
        label_first: Which of the two.
        is_cut: Whether the answer was cut at its longest, so that its last field is not whole.

    Returns:
        The examples, and what is wrong where there is none: `unreadable` or `cut`.

    Example:
        >>> instances_in("Input: none\nOutput: Rain\nand wind.", label_first=False, is_cut=False)
        ([Instance(input='', output='Rain\nand wind.')], '')
        >>> instances_in("标签：好\n输入：真甜\n标签：坏", label_first=True, is_cut=False)
        ([Instance(input='真甜', output='好')], '')
    """
    fields = _fields_of(text)
    if is_cut and fields:
        fields = fields[:-1]
    found, held = [], {"input": "", "label": ""}
    last = "input" if label_first else "output"
    for name, value in fields:
        if name == last:
            given = "" if _NO_INPUT.match(held["input"] if not label_first else value) else None
            if label_first:
                if held["label"]:
                    found.append(Instance(value if given is None else given, held["label"]))
            else:
                found.append(Instance(held["input"] if given is None else given, value))
            held = {"input": "", "label": ""}
        else:
            held[name] = value
    if found:
        return found, ""
    return [], "cut" if is_cut else "unreadable"


def _fields_of(text: str) -> list[tuple[str, str]]:
    """The fields of an answer in order; a field ends at the next one, or at a heading."""
    starts = list(_FIELD.finditer(text))
    ends = [*(found.start() for found in starts[1:]), len(text)]
    fields = []
    for start, end in zip(starts, ends, strict=False):  # without a field the text ends nothing
        value = _HEADING.split(text[start.end() : end], maxsplit=1)[0].strip()
        fields.append((_FIELDS[start["name"].lower()], value))
    return fields


def instance_faults(instruction: str, instances: Sequence[Instance]) -> list[str | None]:
    """Say which rule each example of an instruction breaks, the first of them, or None.

    Texts are compared after NFKC, lower-casing and reading white space as one space. Of examples
    with the same input and other outputs none can be trusted, so all fall; of several answers
    without an input the first is kept.

    Example:
        >>> made = [Instance("2", "4"), Instance("3", ""), Instance("2", "5")]
        >>> instance_faults("Double it.", made)
        ['same input, other output', 'empty output', 'same input, other output']
    """
    outputs: dict[str, set[str]] = {}
    plain = [Instance(_plain(one.input), _plain(one.output)) for one in instances]
    for one in plain:
        outputs.setdefault(one.input, set()).add(one.output)
    found: list[str | None] = []
    seen: set[str] = set()
    for one in plain:
        found.append(_fault(_plain(instruction), one, outputs[one.input], seen))
        if found[-1] is None:
            seen.add(one.input)
    return found


def _fault(instruction: str, one: Instance, outputs: set[str], seen: set[str]) -> str | None:
    again = "same example" if one.input else "another answer"
    rules = {
        "empty output": not one.output,
        "output is the input": one.output == one.input,
        "output is the instruction": one.output == instruction,
        "ends with a colon": one.output.endswith(":") or one.input.endswith(":"),
        "same input, other output": bool(one.input) and len(outputs - {""}) > 1,
        again: one.input in seen,
    }
    return next((fault for fault, is_broken in rules.items() if is_broken), None)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())
