"""Whether a text breaks off in the middle, and where its last whole sentence ends.

For fixes, one text after the other; the measure's own quick look is `text.endings.is_cut`. The two
differ: a fix needs an end to go back to, and so leaves texts alone of which a measure only warns.
"""

from __future__ import annotations

import re

from databuild.text.code import FENCE
from databuild.text.endings import BARE_ENDS_ZH, MENU_ZH, OPEN_WORDS_ZH, SIGNATURE_ZH

_CLOSERS = "\"'”’»）)\\]】》」』*_`"
_END = re.compile(
    rf"(?:[.!?…](?=[{_CLOSERS}]*(?:\s|$))|[。！？](?=.|\s|$))[{_CLOSERS}]*", re.DOTALL
)
_WHOLE = re.compile(rf"[.!?…。！？][{_CLOSERS}]*$")
_ABBREVIATION = re.compile(
    r"(?i)(?:^|[\s(])(?:dr|mr|mrs|ms|prof|st|etc|vs|approx|no|fig|(?:[a-z]\.){0,3}[a-z]|[0-9]{1,3})\.$"
)
# A line may end here without a full stop: lists, headings, tables, signatures, addresses, formulas.
_LINE = re.compile(r"^\s*(?:[-*•–+]|\(?(?:[0-9]{1,3}|[a-zA-Z])[.)]\s|#{1,6}|\||>|={2,}|-{2,})")
_OPEN = re.compile(r"[,:(\[{，、；：（「“—–-]$")
_HANGING = re.compile(
    r"(?:^|\s)(?:and|or|but|the|an?|of|to|in|for|with|that|which|is|are|was|were|because|such as"
    r"|into|by|from|as|at|on|your|their|its)$"
    rf"|(?<=[\u3400-\u9fff]{{3}})(?:{OPEN_WORDS_ZH})$"
)
_NEAR = 16  # characters before an end that are looked at
_ITEM = re.compile(r"^\s*(?:[-*•–+]|\(?[0-9]{1,3}[.)])\s+\S")
_MARK = re.compile(r"\s*(?:[-*•–+]|\(?[0-9]{1,3}[.)])\s*")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_BARE_ZH = re.compile("|".join(BARE_ENDS_ZH).replace("HAN", r"[\u3400-\u9fff]"))
_MARKLESS_ZH = re.compile(rf"(?:{SIGNATURE_ZH}|[#＃][\w&]+$)")
_MENU_ZH = re.compile(MENU_ZH)
_LOOKED_AT = 400


def breaks_off(text: str, *, was_cut: bool | None = None) -> bool:
    r"""Say whether a text ends in the middle of a sentence, of a list's mark or of a code block.

    It does where a code fence never closes; where its last character is a comma, a colon, an
    opening bracket or a dash, or (not in a list) its last word one that nothing ends with ("and",
    "the", "的" ...), in a line of more than four words or of Han; where a list's mark has no item;
    in Chinese, where a paragraph, an item or the rest of a line has no mark and what stands before
    it has (`text.endings.BARE_ENDS_ZH`); and where the last line holds a whole sentence and then
    two words or more that end in a letter or digit without a full stop. Short answers, list items,
    headings, menus, addresses of the web, sums, tags and signatures do not break off.

    Args:
        text: The text.
        was_cut: What is known of its end: True (it met the limit of tokens) counts every end
            without a full stop as broken, False counts none.

    Example:
        >>> breaks_off("It is wet. And then it"), breaks_off("Paris"), breaks_off("你好。然后")
        (True, False, True)
    """
    bare = text.rstrip()
    if was_cut is False or not bare:
        return False
    if text.count(FENCE) % 2 == 1 or _is_mark(bare):
        return True
    if _ends_well(bare):
        return False
    line, tail = _last_line(bare), bare[-_LOOKED_AT:]
    if was_cut or _hangs(line) or _has_begun_another(line):
        return True
    return _BARE_ZH.search(tail) is not None and not _MARKLESS_ZH.search(tail)


def cut_back(text: str) -> str:
    r"""The text up to the end of its last whole sentence, list item or code block.

    What breaks off goes: an open code block, the rest of the line behind its last sentence, a line
    without one. Nothing is left ("") where there is no whole sentence.

    Example:
        >>> cut_back("It is wet. And then it"), cut_back("so the")
        ('It is wet.', '')
        >>> cut_back("Do:\n- one\n- tw")
        'Do:\n- one'
    """
    kept = text
    if text.count(FENCE) % 2 == 1:
        kept = text[: text.rfind(FENCE)].rstrip()
    else:
        kept = _without_last(text.rstrip())
    while kept and not _is_whole(kept):
        kept = _without_last(kept)
    return kept


def _is_whole(kept: str) -> bool:
    ends = _ends_well(kept) or _ITEM.match(_last_line(kept)) is not None
    return ends and not breaks_off(kept)


def _without_last(kept: str) -> str:
    """Without what stands behind the last sentence of the last line, or without that line."""
    line = _last_line(kept)
    start = len(kept) - len(line)
    ends = [end for end in _ends(line) if end < len(line)]
    return kept[: start + ends[-1]] if ends else kept[:start].rstrip()


def _ends_well(bare: str) -> bool:
    return bare.endswith(FENCE) or _WHOLE.search(bare, max(0, len(bare) - _NEAR)) is not None


def _hangs(line: str) -> bool:
    """The line is long enough to be a sentence and ends in what no sentence ends in."""
    if len(line.split(None, 5)) <= 4 and not _HAN.search(line):
        return False
    near = max(0, len(line) - _NEAR)
    hangs = not _LINE.match(line) and _HANGING.search(line, near)
    return bool(hangs or (_OPEN.search(line, near) and not _MENU_ZH.search(line)))


def _has_begun_another(line: str) -> bool:
    """A sentence ends in the line, and another begins and does not end."""
    ends = _ends(line)
    rest = line[ends[-1] :].strip() if ends else ""
    is_other = rest.startswith(("#", "-", "–", "—", "@")) or "=" in rest or "://" in rest
    if _LINE.match(line) or not rest or not rest[-1].isalnum() or is_other:
        return False
    return len(rest.split()) > 1 or (len(rest) > 1 and _HAN.match(rest) is not None)


def _last_line(text: str) -> str:
    return text.rpartition("\n")[2]


def _ends(line: str) -> list[int]:
    """Where sentences end in a line."""
    return [
        end.end()
        for end in _END.finditer(line)
        if not _ABBREVIATION.search(line, max(0, end.start() - _NEAR), end.start() + 1)
    ]


def _is_mark(text: str) -> bool:
    """The last of several lines is a list's mark without an item."""
    return "\n" in text and _MARK.fullmatch(_last_line(text)) is not None
