"""What each of the 25 instructions of IFEval asks of a text: one function each.

Definitions are those of the published checker (google-research, instruction_following_eval),
written anew; where this one differs, `text.ifeval` says so.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_WIDE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Han and kana: scripts without spaces, whose characters are counted one by one."""
_WORD = re.compile(rf"[{_WIDE}]|(?:(?![{_WIDE}])\w)+")
_TOKEN = re.compile(r"[^\W_]+(?:['’\-./&_]+[^\W_]+)*")
_CONTRACTION = re.compile(r"(?<=\w)(?=(?:N['’]T|['’](?:S|M|D|RE|VE|LL))$)")
# A run of terminators and what closes behind it; Western ones need white space or the end.
_BORDER = re.compile(r"""[.!?…]+["'”’»)\]}*_]*(?=\s|$)|[。！？!?…]*[。！？]["'”’」』）》*]*""")
_NARROW = rf"[^\W{_WIDE}]"
_NEVER_LAST = frozenset(
    """
    mr mrs ms dr prof rev hon st sr gen col capt sgt lt vs e.g i.e cf fig approx gov sen
    rep
    """.split()  # noqa: SIM905 -- one list, read at a glance
)
_SELDOM_LAST = frozenset(
    """
    etc inc ltd co corp jr sr u.s u.k u.n a.m p.m ph.d b.a m.a dept est no vol jan feb
    mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun ave al
    """.split()  # noqa: SIM905 -- one list, read at a glance
)
_LIST_MARK = re.compile(r"\s*[*_>#\-(\[]*\s*(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})\.[*_]*$")
_COMMAS = re.compile("[,，、،]")  # the three that Unicode calls comma, besides "," itself
_PAIRS = ('""',)
_WIDE_PAIRS = ('""', "“”", "「」", "『』")
CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def is_wide(text: str) -> bool:
    """Whether a text holds Han or kana."""
    return re.search(f"[{_WIDE}]", text) is not None


def count_words(text: str) -> int:
    """Words: runs of letters, digits and underscores; Han and kana characters one by one.

    Example:
        >>> count_words("It's a well-known fact"), count_words("用Python写三行")
        (6, 5)
    """
    return sum(1 for _ in _WORD.finditer(text))


def count_sentences(text: str) -> int:
    """Sentences: pieces that hold a letter or digit, cut at borders.

    A border is a run of `.`, `!`, `?` or `…`, and what closes behind it, before white space or the
    end of the text; those of Chinese are borders anywhere. Line ends are none. A lone full stop is
    no border after a title ("Dr."), an initial ("J. Doe") or the mark of a list item at the
    beginning of a line or sentence ("1."), nor after other common abbreviations ("etc.", "U.S.")
    unless a capital follows; three dots or `…` are none before a small letter.

    Example:
        >>> count_sentences("Dr. Ay sat, e.g. here. 3.5 hours... or so! And then")
        3
        >>> count_sentences("好。走吧！")
        2
    """
    n, start = 0, 0
    for border in _BORDER.finditer(text):
        if _is_border(text, start, border):
            n += _says_something(text[start : border.end()])
            start = border.end()
    return n + _says_something(text[start:])


def _says_something(piece: str) -> bool:
    return any(char.isalnum() for char in piece)


def _is_border(text: str, start: int, border: re.Match[str]) -> bool:
    marks = border[0].rstrip("\"'”’»)]}*_")
    following = text[border.end() :].lstrip().lstrip("\"'“‘«([{*_")[:1]
    if len(marks) > 1 or marks == "…":
        return not (set(marks) <= {".", "…"} and following.islower())
    if marks != ".":
        return True
    line = text[max(start, text.rfind("\n", 0, border.start()) + 1) : border.end()]
    if _LIST_MARK.fullmatch(line) and following:
        return False
    word = line.rstrip("\"'”’»)]}*_")[:-1].rsplit(None, 1)[-1:]
    last = word[0].lstrip("\"'“‘«([{*_") if word else ""
    if last.lower() in _NEVER_LAST or (len(last) == 1 and last.isalpha() and last.isupper()):
        return last == "I" or not following
    return last.lower() not in _SELDOM_LAST or not following or following.isupper()


def compare(found: int, relation: str, wanted: int) -> bool:
    """Whether a count is `less than` or `at least` what is wanted."""
    return found < wanted if relation == "less than" else found >= wanted


def _existence(text: str, keywords: Sequence[str]) -> bool:
    folded = text.lower()
    return all(word.lower() in folded for word in keywords)


def _frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    return compare(text.lower().count(keyword.strip().lower()), relation, frequency)


def _forbidden_words(text: str, forbidden_words: Sequence[str]) -> bool:
    return not any(_stands_alone(word, text) for word in forbidden_words)


def _stands_alone(word: str, text: str) -> bool:
    """Whether a word occurs between word borders; beside Han and kana there is always one."""
    before = f"(?<!{_NARROW})" if re.match(_NARROW, word) else ""
    after = f"(?!{_NARROW})" if re.search(_NARROW + r"\Z", word) else ""
    return re.search(before + re.escape(word) + after, text, re.IGNORECASE) is not None


def _letter_frequency(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    return compare(text.lower().count(letter.lower()), let_relation, let_frequency)


def _response_language(text: str, language: str, identify: Callable[[str], str]) -> bool:
    # A text without letters is in no language: it counts as followed, as in the reference.
    return not any(map(str.isalpha, text)) or identify(text) == language


def _number_sentences(text: str, num_sentences: int, relation: str) -> bool:
    return compare(count_sentences(text), relation, num_sentences)


def _number_words(text: str, num_words: int, relation: str) -> bool:
    return compare(count_words(text), relation, num_words)


def _number_paragraphs(text: str, num_paragraphs: int) -> bool:
    filled = [bool(piece.strip()) for piece in text.split("***")]
    return all(filled[1:-1]) and sum(filled) == num_paragraphs


def _first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    pieces = text.split("\n\n")
    if sum(bool(piece.strip()) for piece in pieces) != num_paragraphs:
        return False
    paragraph = pieces[nth_paragraph - 1].strip().lower() if nth_paragraph <= len(pieces) else ""
    wanted = first_word.strip().lower()
    if is_wide(wanted):  # nothing says where a word ends
        return paragraph.lstrip("\"'“‘「『").startswith(wanted)
    word = paragraph.split(None, 1)[0] if paragraph else ""
    return bool(word) and re.split(r"[.,?!'\"]", word.lstrip("'").lstrip('"'))[0] == wanted


def _number_placeholders(text: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[[^\n]*?\]", text)) >= num_placeholders


def _postscript(text: str, postscript_marker: str) -> bool:
    marker = postscript_marker.strip().lower()
    if marker.rstrip(".") == "p.p.s":
        return re.search(r"p\.\s?p\.\s?s", text.lower()) is not None
    if marker.rstrip(".") == "p.s":
        return re.search(r"p\.\s?s\.", text.lower()) is not None
    return marker in text.lower()


def _bullets(text: str, num_bullets: int) -> bool:
    lines = (line.lstrip() for line in text.splitlines())
    return sum(re.match(r"-|\*[^*]", line) is not None for line in lines) == num_bullets


def _constrained(text: str) -> bool:
    return any(choice in text for choice in CHOICES)


def _highlights(text: str, num_highlights: int) -> bool:
    single = re.findall(r"\*([^\n*]*)\*", text)
    double = re.findall(r"\*\*([^\n*]*)\*\*", text)
    return sum(bool(held.strip()) for held in [*single, *double]) >= num_highlights


def _sections(text: str, section_spliter: str, num_sections: int) -> bool:
    number = r"\s?(?:\d+|[一二三四五六七八九十百]+)"
    return len(re.findall(re.escape(section_spliter.strip()) + number, text)) >= num_sections


def _json(text: str) -> bool:
    try:
        json.loads(unfenced(text))
    except (ValueError, RecursionError):
        return False
    return True


def unfenced(text: str) -> str:
    r"""A text without one code fence around it, of JSON or of nothing named.

    Example:
        >>> unfenced("```json\n[1]\n```")
        '[1]'
    """
    bare = re.sub(r"\A```(?:json|Json|JSON)?", "", text.strip())
    return bare.removesuffix("```").strip()


def _title(text: str) -> bool:
    return any(held.strip("<> \t") for held in re.findall(r"<<([^\n]+)>>", text))


def _two_responses(text: str) -> bool:
    pieces = [piece.strip() for piece in text.split("******")]
    said = [piece for piece in pieces if piece]
    return all(pieces[1:-1]) and len(said) == 2 and said[0] != said[1]


def _repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _end(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _capital_words(text: str, capital_frequency: int, capital_relation: str) -> bool:
    found = 0
    for token in _TOKEN.findall(text):
        found += sum(part.isupper() for part in _CONTRACTION.split(token))
    return compare(found, capital_relation, capital_frequency)


def _capital(text: str, identify: Callable[[str], str]) -> bool:
    # The language model has seen few words in capitals.
    return text.isupper() and identify(text.lower()) == "en"


def _lowercase(text: str, identify: Callable[[str], str]) -> bool:
    return text.islower() and identify(text) == "en"


def _no_comma(text: str) -> bool:
    return _COMMAS.search(text) is None


def _quotation(text: str) -> bool:
    bare = text.strip()
    pairs = _WIDE_PAIRS if is_wide(bare) else _PAIRS
    return len(bare) > 1 and bare[0] + bare[-1] in pairs


RULES: Mapping[str, Callable[..., bool]] = {
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _response_language,
    "length_constraints:number_sentences": _number_sentences,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:number_words": _number_words,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _number_placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:end_checker": _end,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _capital,
    "change_case:english_lowercase": _lowercase,
    "punctuation:no_comma": _no_comma,
}
"""The 25 instructions by id."""
NEED_LANGUAGE = frozenset(
    {"language:response_language", "change_case:english_capital", "change_case:english_lowercase"}
)
Kwargs = dict[str, Any]
