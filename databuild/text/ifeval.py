r"""The verifiable instructions of IFEval (Zhou et al. 2023, arXiv:2311.07911, table 1).

An instruction is an id and what it is about (`kwargs`); ids and names are those of the published
prompts, and so are the definitions (google-research, instruction_following_eval), in short:

    keywords:existence
        every one of `keywords` occurs, case ignored, also inside words
    keywords:frequency
        `keyword` occurs `relation` `frequency` times, likewise
    keywords:forbidden_words
        none of `forbidden_words` occurs between word borders
    keywords:letter_frequency
        `letter` occurs `let_relation` `let_frequency` times
    language:response_language
        the language is `language` (ISO 639-1)
    length_constraints:number_sentences
        `relation` `num_sentences`: see `count_sentences`
    length_constraints:number_paragraphs
        `num_paragraphs` between dividers `***`
    length_constraints:number_words
        `relation` `num_words`: see `count_words`
    length_constraints:nth_paragraph_first_word
        `num_paragraphs` between blank lines, the
        `nth_paragraph` beginning with `first_word`
    detectable_content:number_placeholders
        at least `num_placeholders` of `[...]`
    detectable_content:postscript
        `postscript_marker` occurs
    detectable_format:number_bullet_lists
        exactly `num_bullets` lines begin with "-" or "*"
    detectable_format:constrained_response
        "My answer is yes.", "... no." or "... maybe." occurs
    detectable_format:number_highlighted_sections
        at least `num_highlights` of `*...*`, `**...**`
    detectable_format:multiple_sections
        at least `num_sections` of `section_spliter` and a number
    detectable_format:json_format
        the text, a fence around it left out, is JSON
    detectable_format:title
        a title in `<<...>>`
    combination:two_responses
        two different texts with `******` between them
    combination:repeat_prompt
        the text begins with `prompt_to_repeat`
    startend:end_checker
        the text ends with `end_phrase`
    startend:quotation
        the whole text stands in double quotes
    change_case:capital_word_frequency
        words in capitals: `capital_relation` `capital_frequency`
    change_case:english_capital
        no small letter, and English
    change_case:english_lowercase
        no capital, and English
    punctuation:no_comma
        no comma

A relation is "less than" or "at least". Followed loosely means: by the text or by one of its
variants without its first line, its last line, both, and each of the four without asterisks.

Differences from the published checker, all on purpose: keywords and markers are literal, not
regular expressions; any character may be a `letter` (there, another one was drawn by chance); the
language is fastText's guess, not langdetect's, which draws by chance; sentences are cut by a stated
rule, not by a trained one, and "1." before an item of a list is none. For Chinese and Japanese:
characters are words, the full-width comma and "、" are commas, “ ” and 「 」 quote, "第三" is the
number of a section, and a word border needs no space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from databuild.errors import nearest
from databuild.text.ifeval_rules import NEED_LANGUAGE, RULES, Kwargs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

RELATIONS = ("less than", "at least")


def _whole(value: Any, least: int = 0) -> int:
    if isinstance(value, float) and value.is_integer():  # a table of mixed numbers holds floats
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"a whole number from {least}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple) or not value:
        raise ValueError("a list of texts")
    return tuple(map(_text, value))


def _letter(value: Any) -> str:
    if not isinstance(value, str) or len(value.strip()) != 1:
        raise ValueError("one character")
    return value.strip()


def _relation(value: Any) -> str:
    if value not in RELATIONS:
        raise ValueError(" or ".join(map(repr, RELATIONS)))
    return str(value)


def _code(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z]{2,3}(?:-[a-zA-Z]+)?", value):
        raise ValueError("a language code such as 'en' or 'zh'")
    return value.partition("-")[0]


_positive = partial(_whole, least=1)
_TAKES: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "keywords:existence": {"keywords": _texts},
    "keywords:frequency": {"keyword": _text, "frequency": _whole, "relation": _relation},
    "keywords:forbidden_words": {"forbidden_words": _texts},
    "keywords:letter_frequency": {
        "letter": _letter, "let_frequency": _whole, "let_relation": _relation,
    },
    "language:response_language": {"language": _code},
    "length_constraints:number_sentences": {"num_sentences": _whole, "relation": _relation},
    "length_constraints:number_paragraphs": {"num_paragraphs": _positive},
    "length_constraints:number_words": {"num_words": _whole, "relation": _relation},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": _positive, "nth_paragraph": _positive, "first_word": _text,
    },
    "detectable_content:number_placeholders": {"num_placeholders": _whole},
    "detectable_content:postscript": {"postscript_marker": _text},
    "detectable_format:number_bullet_lists": {"num_bullets": _whole},
    "detectable_format:number_highlighted_sections": {"num_highlights": _whole},
    "detectable_format:multiple_sections": {"section_spliter": _text, "num_sections": _whole},
    "combination:repeat_prompt": {"prompt_to_repeat": _text},
    "startend:end_checker": {"end_phrase": _text},
    "change_case:capital_word_frequency": {
        "capital_frequency": _whole, "capital_relation": _relation,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """One instruction, understood."""

    id: str
    kwargs: Kwargs


def read_instruction(name: str | None, kwargs: Mapping[str, Any] | None) -> Instruction:
    """Understand one instruction; a value of null in `kwargs` counts as not given.

    Raises:
        ValueError: The id is unknown; something that it needs is missing, or is no such thing; or
            something is given that it does not take.

    Example:
        >>> read_instruction("keywords:existence", {"keywords": "sun"})
        Traceback (most recent call last):
        ValueError: 'keywords:existence' needs `keywords`: a list of texts, not 'sun'
    """
    if name is None or name not in RULES:
        msg = f"unknown instruction {name!r}; {nearest(str(name), RULES)}"
        raise ValueError(msg)
    takes = _TAKES.get(name, {})
    given = {key: value for key, value in (kwargs or {}).items() if value is not None}
    strange = sorted(given.keys() - takes.keys())
    if strange:
        msg = f"{name!r} takes no `{strange[0]}`; {nearest(strange[0], takes)}"
        raise ValueError(msg)
    understood = {}
    for key, read in takes.items():
        try:
            understood[key] = read(given.get(key))
        except ValueError as error:
            msg = f"{name!r} needs `{key}`: {error}, not {given.get(key)!r}"
            raise ValueError(msg) from error
    if understood.get("nth_paragraph", 0) > understood.get("num_paragraphs", 0):
        msg = f"{name!r} asks for paragraph {understood['nth_paragraph']} of too few"
        raise ValueError(msg)
    return Instruction(name, understood)


def is_followed(instruction: Instruction, text: str, identify: Callable[[str], str]) -> bool:
    """Say whether a text follows an instruction, strictly; a blank text follows none.

    Args:
        instruction: What was asked.
        text: The answer.
        identify: Names the language of a text by its ISO 639-1 code.

    Example:
        >>> asked = read_instruction("keywords:existence", {"keywords": ["sun", "Rain"]})
        >>> is_followed(asked, "Sunny or rainy?", lambda text: "en")
        True
    """
    if not text.strip():
        return False
    more = {"identify": identify} if instruction.id in NEED_LANGUAGE else {}
    return RULES[instruction.id](text, **instruction.kwargs, **more)


def variants(text: str) -> tuple[str, ...]:
    r"""The text and what it is loosely: up to eight texts, without equal ones.

    Example:
        >>> variants("Sure!\n*Sun*")
        ('Sure!\n*Sun*', 'Sure!\nSun', '*Sun*', 'Sun', 'Sure!', '')
    """
    lines = text.split("\n")
    cut = [text, *("\n".join(some).strip() for some in (lines[1:], lines[:-1], lines[1:-1]))]
    return tuple(dict.fromkeys(one for some in cut for one in (some, some.replace("*", ""))))


def judge(
    text: str, asked: Sequence[Instruction], identify: Callable[[str], str]
) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    r"""Say of each instruction whether it is followed: strictly, and loosely.

    Example:
        >>> asked = [read_instruction("punctuation:no_comma", {})]
        >>> judge("Well, here it is:\nSun and rain.", asked, lambda text: "en")
        ((False,), (True,))
    """
    strict = tuple(is_followed(one, text, identify) for one in asked)
    if all(strict):
        return strict, strict
    others = variants(text)[1:]
    loose = tuple(
        met or any(is_followed(one, other, identify) for other in others)
        for one, met in zip(asked, strict, strict=True)
    )
    return strict, loose
