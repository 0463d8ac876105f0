"""Whether a passage supports a question with its answer: pure functions on texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from databuild.schema.identity import digest_text
from databuild.text.blocks import blocks
from databuild.text.borders import UNSPACED, line_ends, sentence_ends
from databuild.text.quotes import find_quote, fold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from databuild.generate.from_documents_answers import Draft

_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
_STOPS = frozenset(
    """
    a about all also an and any are as at be because been but by can could did do does for from
    had has have he her his how if in into is it its may more most no not of on one only or other
    our she should so some such than that the their them then there these they this those to up
    was we were what when where which while who why will with would yes you your
    """.split()  # noqa: SIM905 -- a list of these would be 90 lines long
) | frozenset(
    "的了是在和与及或也都就而被把对从到为以于这那其之有一个中上下它他她们不会可能要用来等着过吗呢什么怎样"
)
_LEAST_WORDS, _LEAST_ASKED = 3, 5
_MARK = re.compile(r"\A(?:[-*+•–]|\d{1,3}[.)、])[ \t]*")
_ENDING = re.compile(r"(?<=[a-z]{3})(?:ingly|edly|ing|ed|es|ly|s|e)\Z")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_REFERS = re.compile(
    r"\b(?:this|the|that) (?:above |following |given |provided )?"
    r"(?:passage|text|paragraph|excerpt|article|document|author|writer|context|section|statement)\b"
    r"|\b(?:mentioned|described|stated|given) (?:above|below|here)\b|\bthe (?:above|following)\b"
    r"|上文|上述|下文|本文|文中|文章|原文|该段|段落|(?:这|此|该)(?:段|篇)|作者|根据(?:以上|材料)",
    re.IGNORECASE,
)
_SAYS_NONE = re.compile(
    r"\b(?:passage|text|document|article|paragraph|it) (?:does|did)(?: not|n['’]t) (?:\w+ly )?"
    r"(?:say|mention|specify|state|provide)\b"
    r"|\bnot (?:\w+ly )?(?:mentioned|specified|stated|provided)(?: (?:in|by) |[. ]*\Z)"
    r"|\bas an ai\b|\bi(?:['’]m| am) sorry\b"
    r"|没有(?:提到|提及|说明)|未(?:提到|提及|说明)|无法(?:回答|确定|得知)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Grounds:
    """Where the quote stands in the passage, and how much of the answer does."""

    start: int
    end: int
    match: float
    """How alike the quote and its span are, 0 to 1: see `text.quotes.find_quote`."""
    support: float
    """The share of the answer's words that stand in the passage: see `support_of`."""


def content_words(text: str) -> list[str]:
    """The words of a text that carry its content, in a form that can be compared.

    Words are runs of letters and digits, and single Chinese, Japanese and Thai characters, after
    the folding of quotes. Some 70 English and 50 Chinese function words are left out; the English
    endings -s, -es, -e, -ed, -ing, -ly are cut off where three letters remain.

    Example:
        >>> content_words("The kilns were firing slowly in 1874")
        ['kiln', 'fir', 'slow', '1874']
    """
    whole = _THOUSANDS.sub("", fold(text).text)
    found = (one for one in _WORD.findall(whole) if one not in _STOPS)
    return [_ENDING.sub("", one) for one in found]


def support_of(answer: str, texts: Iterable[str]) -> float:
    """The share of the answer's content words that stand in the texts, 0 to 1.

    An answer without any content word ("Yes.") has 1: its quote alone must do.

    Example:
        >>> support_of("It burned oil and coal.", ["The lamps burn oil."])
        0.6666666666666666
    """
    wanted = content_words(answer)
    known = {word for text in texts for word in content_words(text)}
    return sum(word in known for word in wanted) / len(wanted) if wanted else 1.0


def strange_number(answer: str, texts: Iterable[str]) -> str | None:
    """The first number of an answer that no text has, or None; `1,000` and `1000` are the same.

    Example:
        >>> strange_number("In 1874, 3 of 1,000", ["1874: 1000 ships"])
        '3'
    """
    known = {number for text in texts for number in _numbers(text)}
    return next((number for number in _numbers(answer) if number not in known), None)


def _numbers(text: str) -> list[str]:
    return _NUMBER.findall(_THOUSANDS.sub("", fold(text).text))


def refers_to_passage(question: str) -> bool:
    """Whether a question speaks of the passage, which its reader may not have.

    Example:
        >>> refers_to_passage("What does the author say?"), refers_to_passage("文中提到了谁？")
        (True, True)
        >>> refers_to_passage("Who wrote a passage about kilns?")
        False
    """
    return _REFERS.search(question) is not None


def ground(
    draft: Draft, passage: str, related: Iterable[str], *, least_match: float, least_support: float
) -> Grounds | str:
    """Find the grounds of an answer, or say why it has none.

    The quote must stand in the passage; where the model gave none, the answer itself is taken as
    the quote. It needs three words. Then `least_support` of the answer's words, and all of its
    numbers, must stand in the passage, the related ones or the question.

    Args:
        draft: The question, answer and quote.
        passage: What the question was written from.
        related: Further texts that the model saw.
        least_match: See `text.quotes.find_quote`.
        least_support: See `support_of`.

    Returns:
        The grounds, with the quote's span in the passage, or a reason. What follows a colon in a
        reason tells rows apart.

    Example:
        >>> from databuild.generate.from_documents_answers import Draft
        >>> passage = "Its lamp burned oil until 1931."
        >>> draft = Draft("What did it burn?", "Oil.", "lamp burned oil")
        >>> ground(draft, passage, (), least_match=0.9, least_support=0.6)
        Grounds(start=4, end=19, match=1.0, support=1.0)
        >>> draft = Draft("Until when?", "Until 1932.", "burned oil until 1931")
        >>> ground(draft, passage, (), least_match=0.9, least_support=0.6)
        'a number of the answer does not stand in the passage: 1932'
    """
    if (fault := _fault(draft)) is not None:
        return fault
    quote = draft.quote or draft.answer
    found = find_quote(quote, passage, least=least_match)
    if found is None:
        near = find_quote(quote, passage)
        told = f"{near.ratio:.2f}" if near else "0"
        return f"the quote does not stand in the passage: its best match is {told}"
    known = (passage, *related, draft.question)
    if (number := strange_number(draft.answer, known)) is not None:
        return f"a number of the answer does not stand in the passage: {number}"
    support = support_of(draft.answer, known)
    if support < least_support:
        return f"the passage does not support the answer: {support:.2f} of its words stand there"
    return Grounds(found.start, found.end, found.ratio, round(support, 4))


def sentences_to_ask_about(passage: str, n: int, seed: int) -> list[str]:
    r"""Draw up to `n` different sentences of a passage, each of five content words or more.

    Only paragraphs and lists are looked at. The order is that of a hash of seed and sentence.

    Example:
        >>> text = "# Ink\n\nSoot and gum make the best black ink of all. Mind it."
        >>> sentences_to_ask_about(text, 2, 7)
        ['Soot and gum make the best black ink of all.']
    """
    found: dict[str, None] = {}
    for block in blocks(passage):
        if block.kind not in {"paragraph", "list"}:
            continue
        start = block.start
        ends = {*sentence_ends(passage, block.start, block.end), block.end}
        if block.kind == "list":
            ends |= {*line_ends(passage, block.start, block.end)}
        for end in sorted(ends):
            sentence = _MARK.sub("", " ".join(passage[start:end].split()))
            if len(content_words(sentence)) >= _LEAST_ASKED:
                found[sentence] = None
            start = end
    return sorted(found, key=lambda one: digest_text(f"{seed}:{one}"))[:n]


def _fault(draft: Draft) -> str | None:
    """What is wrong with a question, answer and quote in themselves."""
    if fold(draft.question).text.strip() == fold(draft.answer).text.strip():
        return "the answer repeats the question"
    if _SAYS_NONE.search(draft.answer):
        return "the answer says that there is none"
    quote = draft.quote or draft.answer
    if len(_WORD.findall(quote)) < _LEAST_WORDS:
        return f"the quote is too short: {quote[:80]}"
    return None
