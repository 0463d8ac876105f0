"""Talks as token ids, as a reward model reads them. Runs in the scorer's child process.

A chat template renders a talk where the tokenizer has one, as in training. Without one an encoder
(its tokenizer has tokens for a beginning and a separation) reads what was asked and what was
answered as a pair of texts, and a decoder both in a row, with the end-of-text token behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from databuild.models.scorer import Reading, steps_of
from databuild.text.formats.turns import as_template
from databuild.text.formats.values import load_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from databuild.engine.child import Json

Turns = list[dict[str, Any]]
_ENOUGH, _ALIKE = 1024, 0.8
"""Tokens that keep a machine busy, and the share of a batch's longest text that a text must have to
be padded to its length then. Both change the speed alone."""


@dataclass
class Text:
    """One talk in tokens."""

    ids: list[int] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    """Where the steps' rewards are read."""
    is_cut: bool = False
    error: str | None = None


def read_talks(talks: Sequence[Json], tokenizer: Any, reading: Reading, longest: int) -> list[Text]:
    """Tokenise talks; one that the chat template refuses has an error.

    Args:
        talks: See `databuild.models.scorer`.
        tokenizer: A Hugging Face tokenizer.
        reading: Whether answers are read in steps.
        longest: Of a talk of more tokens the beginning is cut off; a text pair is cut as its
            tokenizer does it, the longer text first.
    """
    is_pair = tokenizer.chat_template is None and _is_encoder(tokenizer)
    drawn = [_drawn(talk, tokenizer, reading, is_pair=is_pair) for talk in talks]
    whole = [place for place, text in enumerate(drawn) if isinstance(text, tuple)]
    tokens = _tokens([drawn[place] for place in whole], tokenizer, is_pair=is_pair, longest=longest)
    made = [Text(error=text) if isinstance(text, str) else Text() for text in drawn]
    for place, (ids, is_cut) in zip(whole, tokens, strict=True):
        made[place] = Text(ids, is_cut=is_cut)
    if reading.steps is not None:
        for place in whole:
            answer = str(talks[place]["turns"][-1].get("content") or "")
            made[place] = _with_steps(made[place].ids, answer, tokenizer, reading, longest)
    for place in whole:
        if not made[place].ids and made[place].error is None:
            made[place].error = "the text has no token"
    return made


def _is_encoder(tokenizer: Any) -> bool:
    return tokenizer.cls_token is not None and tokenizer.sep_token is not None


def _drawn(
    talk: Json, tokenizer: Any, reading: Reading, *, is_pair: bool
) -> tuple[str, str | None] | str:
    """What is to be tokenised, one text or two, or why it cannot be: a text alone is an error."""
    turns = as_template([{k: v for k, v in t.items() if v is not None} for t in talk["turns"]])
    before, answer = turns[:-1], turns[-1]
    if tokenizer.chat_template is None:
        asked = "\n".join(str(turn.get("content") or "") for turn in before)
        if reading.steps is not None:
            return asked, None
        said = str(answer.get("content") or "")
        return (asked, said) if is_pair else (asked + said + (tokenizer.eos_token or ""), None)
    from jinja2 import TemplateError

    tools = load_json(talk["tools"]) if talk.get("tools") else None
    try:
        text = tokenizer.apply_chat_template(
            before if reading.steps is not None else turns,
            tools=tools,
            tokenize=False,
            add_generation_prompt=reading.steps is not None,
        )
    except (TemplateError, TypeError, IndexError) as error:
        return f"the chat template refuses it: {error}"
    return str(text), None


def _tokens(
    drawn: list[Any], tokenizer: Any, *, is_pair: bool, longest: int
) -> list[tuple[list[int], bool]]:
    """The ids of all texts in one call, the tokenizer's own threads at work."""
    if not drawn:
        return []
    is_special = tokenizer.chat_template is None
    firsts, seconds = [one for one, _ in drawn], [two for _, two in drawn]
    if is_pair and seconds[0] is not None:
        whole = tokenizer(firsts, seconds)["input_ids"]
        cut = tokenizer(firsts, seconds, truncation=True, max_length=longest)["input_ids"]
        return [(ids, len(all_ids) > longest) for ids, all_ids in zip(cut, whole, strict=True)]
    found = tokenizer(firsts, add_special_tokens=is_special)["input_ids"]
    return [(ids[-longest:], len(ids) > longest) for ids in found]


def _with_steps(
    before: list[int], answer: str, tokenizer: Any, reading: Reading, longest: int
) -> Text:
    """What was asked, then each step and its mark; rewards are read at the marks' last tokens."""
    assert reading.steps is not None
    steps = steps_of(answer, reading.steps)
    mark = _plain(tokenizer, reading.step_mark or reading.steps)
    if not steps or not mark:
        return Text(error="the answer has no step" if mark else "the step mark has no token")
    ids, marks = list(before), []
    for step in steps:
        ids += [*_plain(tokenizer, step), *mark]
        marks.append(len(ids) - 1)
    over = max(len(ids) - longest, 0)
    if over > len(before):
        return Text(error=f"the steps alone have more than {longest} tokens")
    return Text(ids[over:], [place - over for place in marks], is_cut=over > 0)


def _plain(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of the texts that have tokens, the longest first, in batches of `most` padded tokens.

    The longest first: what does not fit into memory shows at once. A batch of some size ends before
    a text that is much shorter than its longest one, which would be half padding.

    Example:
        >>> list(batches([2, 0, 9, 3, 8], 18))
        [[2, 4], [3, 0]]
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not lengths[place]:
            break
        longest = lengths[batch[0]] if batch else 0
        is_short = len(batch) * longest >= _ENOUGH and lengths[place] < _ALIKE * longest
        if batch and (is_short or (len(batch) + 1) * longest > most):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
