"""Detectors of card and phone numbers."""

from __future__ import annotations

import re

from databuild.text import check_digits
from databuild.text.check_digits import digits
from databuild.text.pii_detector import Detector, Place, words_before

D = "[0-9０-９]"
START = r"(?<![0-9０-９A-Za-z_.\-])"


def first(chars: str, not_after: str = r"0-9０-９A-Za-z_.\-") -> str:
    """A pattern of one of `chars` that does not follow one of `not_after`.

    The same as a look-behind and the character, and several times as fast: a search can skip to
    the next of `chars` where the pattern begins with them.
    """
    return f"[{chars}](?<![{not_after}][{chars}])"


END = r"(?![0-9０-９A-Za-z_]|[.\-][0-9０-９])"

_CARD = re.compile(
    rf"{first('0-9０-９')}(?:{D}{{11,18}}|{D}{{3}}([ \-]){D}{{4}}\1{D}{{4}}\1{D}{{4}}"
    rf"(?:\1{D}{{3}})?|{D}{{3}}([ \-]){D}{{6}}\2{D}{{4,5}}){END}"
)
_CARD_WORD = re.compile(r"card|\bcc\b|visa|master|maestro|amex|diners|\bjcb\b|credit|debit|卡")
OTHER = re.compile(
    r"order|invoice|track|isbn|\bean\b|\bupc\b|serial|ticket|\bref\b|reference|barcode|timestamp"
    r"|订单|运单|单号|流水|编号|条码"
)
# Issuer ranges of ISO/IEC 7812: (first, last, digits of the prefix, lengths).
_ISSUERS = (
    (4, 4, 1, {16, 19}), (51, 55, 2, {16}), (2221, 2720, 4, {16}), (34, 34, 2, {15}),
    (37, 37, 2, {15}), (6011, 6011, 4, {16, 19}), (644, 659, 3, {16, 19}),
    (300, 305, 3, {14}), (36, 36, 2, {14}), (38, 39, 2, {14, 16}), (3528, 3589, 4, {16, 19}),
    (62, 62, 2, {16, 17, 18, 19}),
)  # fmt: skip
# As common among other numbers as among cards: only where a word says that it is one.
_RARE_ISSUERS = (
    (4, 4, 1, {13}), (1800, 1800, 4, {15}), (2131, 2131, 4, {15}), (35, 35, 2, {15, 16}),
    (50, 50, 2, set(range(12, 20))), (56, 69, 2, set(range(12, 20))),
)  # fmt: skip


def _is_card(match: re.Match[str]) -> Place | bool:
    number = digits(match[0])
    if len(set(number)) < 3 or not check_digits.luhn(number):
        return False
    before = words_before(match, chars=48)
    said = bool(_CARD_WORD.search(before))
    ranges = _ISSUERS + _RARE_ISSUERS if said else _ISSUERS
    fits = any(
        low <= int(number[:n]) <= high and len(number) in lengths
        for low, high, n, lengths in ranges
    )
    return match.span() if fits and (said or not OTHER.search(before)) else False


_CALLING_CODES = frozenset(
    map(str, [1, 7, 20, *range(22, 28), *range(30, 70), 81, 82, 84, 85, 86, 88, *range(90, 100),
              211, 212, 213, 216, 218, 290, 291, 297, 298, 299])
)  # fmt: skip
"""E.164 assignments; two digits where most of a block of ten is assigned."""
_EXT = r"(?: ?(?:x|ext\.? ?|转)[0-9]{1,5})?"
_INTERNATIONAL = re.compile(
    rf"{first('+＋0', '0-9０-９A-Za-z_.+-')}(?:(?<=0)0|(?<!0) ?)"
    rf"[1-9](?:[ .()/\-]{{0,2}}{D}){{6,14}}{_EXT}{END}"
)
_AMERICAN = re.compile(
    rf"{first('(1-9')}(?:(?<=1)[ .\-](?:\([2-9]{D}{{2}}\) ?|[2-9]{D}{{2}}[.\-])"
    rf"|(?<=\()[2-9]{D}{{2}}\) ?|(?<=[2-9]){D}{{2}}[.\-])[2-9]{D}{{2}}[.\-]{D}{{4}}{_EXT}{END}"
)
_NOT_AFTER = "0-9０-９A-Za-z_.+-"
_CHINESE = re.compile(
    rf"{first('+＋81１', _NOT_AFTER)}"
    r"(?:(?<=[+＋])86[ \-]?[1１]|(?<=8)6[ \-]?[1１]|(?<=[1１]))"
    rf"(?:[38３８]{D}|4[5-9]|[59５９][0-35-9０-９]|6[2567]|[7７][0-8０-８])"
    rf"([ \-]?){D}{{4}}\1{D}{{4}}{END}"
)
_CHINESE_LANDLINE = re.compile(rf"{first('0', _NOT_AFTER)}[1-9]{D}{{1,2}}-[2-8]{D}{{6,7}}{END}")
_NATIONAL = re.compile(  # 0 and groups: France, Britain, Australia, Switzerland ...
    rf"{first('0')}(?:[1-9](?:([ .\-])[0-9]{{2}})(?:\1[0-9]{{2}}){{3}}"
    rf"|[1-9][0-9]{{1,3}} [0-9]{{2,4}} [0-9]{{2,4}}(?: [0-9]{{2,4}})?){_EXT}{END}"
)
_CALLED = re.compile(
    rf"({first('+＋(0-9０-９', '0-9０-９+＋(')}(?:[ .()\-]{{0,2}}{D}){{6,15}}{_EXT}){END}"
)
_CALL_WORD = re.compile(
    r"(?:(?i:\b(?:tele)?phone|\btel\b|\bmobile|\bcell\b|\bfax|\bwhats ?app|\bdial"
    r"|\bcall(?:ed|ing)?(?: me| us| him| her| them)?(?: back)?(?: at| on|:)"
    r"|\b(?:my|his|her|our|contact) number|\b(?:desk|office|home|work):"
    r"|\b(?:reach (?:me|us|him|her|them)|answering|answer) (?:at|on))"
    r"|电话|手机|致电|拨打|联系方式|传真|座机)[^0-9０-９\n+＋(]{0,30}$"
)
_LABELLED = re.compile(  # as signatures have it: 416 60 039 office
    rf"({first('(0-9０-９')}(?:[ .()\-]{{0,2}}{D}){{6,13}})"
    r"(?=[ \-,]{1,2}(?i:office|fax|mobile|cell|desk|direct|switchboard)\b)"
)


def _is_fictional(number: str) -> bool:
    """555-0100 to 555-0199, which the NANPA keeps for fiction."""
    return re.fullmatch(r"1?[0-9]{3}55501[0-9]{2}", number) is not None


def _is_international(match: re.Match[str]) -> bool:
    head = re.split(r" ?(?:x|ext|转)", match[0])[0]
    number = digits(head)
    if head.startswith("00"):
        number = number[2:]
    known = any(number[:n] in _CALLING_CODES for n in (1, 2, 3))
    fits = len(number) == 11 if number[:1] == "1" else 8 <= len(number) <= 15
    before = words_before(match).rstrip()[-1:]
    is_sum = before.isdigit() or before in {"=", "*", "^", ")", "/"}
    return known and fits and not is_sum and len(set(number)) > 3 and not _is_fictional(number)


def _is_phone(match: re.Match[str]) -> bool:
    number = digits(re.split(r" ?(?:x|ext|转)", match[0])[0])
    return not _is_fictional(number) and not OTHER.search(words_before(match))


def _is_called(match: re.Match[str]) -> bool:
    """Like `_is_number`, behind a word that says what it is."""
    return bool(_CALL_WORD.search(words_before(match, chars=64))) and _is_number(match)


def _is_number(match: re.Match[str]) -> bool:
    """7 to 15 digits in groups of two or more, whatever the country."""
    head = re.split(r" ?(?:x|ext|转)", match[1])[0]
    number = digits(head)
    in_groups = all(len(g) > 1 or g == "0" for g in re.findall(rf"{D}+", head)[1:])
    return (
        in_groups and 7 <= len(number) <= 15 and len(set(number)) > 2 and not _is_fictional(number)
    )


NUMBERS = (
    Detector("credit_card", "long", _CARD, _is_card),
    Detector("phone", "digits", _CHINESE, lambda m: m.span() if _is_phone(m) else False),
    Detector("phone", "digits", _CHINESE_LANDLINE, _is_phone),
    Detector("phone", "digits", _INTERNATIONAL, _is_international),
    Detector("phone", "digits", _AMERICAN, _is_phone),
    Detector("phone", "digits", _NATIONAL, lambda m: m.span() if _is_phone(m) else False),
    Detector("phone", "digits", _CALLED, _is_called),
    Detector("phone", "digits", _LABELLED, _is_number),
)
