"""Detectors of account, identity and machine numbers."""

from __future__ import annotations

import ipaddress
import re

from databuild.text import check_digits
from databuild.text.pii_detector import Detector, Place, words_before
from databuild.text.pii_numbers import END, D, first

_CN_ID = re.compile(
    rf"{first('1-9１-９', '0-9０-９A-Za-z')}{D}{{16}}[0-9０-９Xx](?![0-9０-９A-Za-z])"
)
_SSN = re.compile(rf"{first('0-9')}[0-9]{{2}}(?:-[0-9]{{2}}-|( ?)[0-9]{{2}}\1)[0-9]{{4}}{END}")
_SSN_WORD = re.compile(r"(?:\bssn|social security(?: number| no\.?)?)\W{0,2}(?: ?is)?\W{0,2}$")
_CPF = re.compile(rf"{first('0-9')}[0-9]{{2}}\.[0-9]{{3}}\.[0-9]{{3}}-[0-9]{{2}}{END}")
_NIR = re.compile(
    rf"{first('12')}( ?)[0-9]{{2}}\1(?:0[1-9]|1[0-2])\1[0-9]{{2}}\1[0-9]{{3}}\1[0-9]{{3}}\1"
    rf"[0-9]{{2}}{END}"
)
_AADHAAR = re.compile(rf"{first('2-9')}[0-9]{{3}}([ \-]?)[0-9]{{4}}\1[0-9]{{4}}{END}")
_FISCAL_CODE = re.compile(
    r"(?<![0-9A-Za-z])[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-7][0-9][A-Z][0-9]{3}[A-Z](?![0-9A-Za-z])"
)
_NINO = re.compile(
    r"(?<![0-9A-Za-z])(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
    r" ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?![0-9A-Za-z])"
)
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]){11,30}(?![0-9a-z])")
_PASSPORT = re.compile(
    r"(?i:passport)(?i:(?: no\.?| number| num\.?| ?#)?)(?: is| was|:|：){0,2} {0,2}"
    r"([A-Z]{0,2}[0-9]{6,9})(?![0-9A-Za-z])"
    r"|护照(?:号码|号)?[是为：: ]{0,3}([A-Z]{0,2}[0-9]{6,9})(?![0-9A-Za-z])"
)
_MONTH = (
    r"(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DATE = (
    r"[0-9]{4}[\-/.年] ?[0-9]{1,2}[\-/.月] ?[0-9]{1,2}日?"
    r"|[0-9]{1,2}[\-/.][0-9]{1,2}[\-/.][0-9]{2,4}"
    rf"|{_MONTH} [0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}}"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th)? {_MONTH},? [0-9]{{4}}"
)
_BIRTH = re.compile(
    r"(?:(?i:date of birth|birth ?date|\bdob\b|\bd\.o\.b\.?|\bI was born on|\bmy birthday is)"
    r"|出生日期|出生年月日?|我生于|我出生于|我的生日)"
    rf"[^0-9A-Za-z\n]{{0,6}}(?:is|was|on)?[^0-9A-Za-z\n]{{0,3}}({_DATE})(?![0-9])"
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][ ·•・\-]?"
    r"(?=[A-HJ-NP-Z]{0,5}[0-9])[A-HJ-NP-Z0-9]{5,6}(?![0-9A-Za-z])"
)


def _is_ssn(match: re.Match[str]) -> Place | bool:
    said = "-" in match[0] or _SSN_WORD.search(words_before(match))
    return match.span() if said and check_digits.us_ssn(match[0]) else False


def _is_aadhaar(match: re.Match[str]) -> bool:
    said = re.search(r"aadhaa?r|\buid\b", words_before(match, chars=48))
    return bool(said) and check_digits.in_aadhaar(match[0])


def _place_of_iban(match: re.Match[str]) -> Place | bool:
    """The candidate may run on into capital words: it ends where its country says."""
    text = match[0]
    while len(text) >= 15:
        if check_digits.iban(text):
            return match.start(), match.start() + len(text)
        text = text[:-1].rstrip()
    return False


def _place_of_passport(match: re.Match[str]) -> Place:
    return match.span(1 if match[1] else 2)


def _is_birth(match: re.Match[str]) -> bool:
    years = [int(year) for year in re.findall(r"[0-9]{4}", match[1])]
    return not years or 1900 <= years[0] <= 2099


_IPV4 = re.compile(
    rf"{first('0-9', '0-9A-Za-z_.-')}[0-9]{{0,2}}\.(?:[0-9]{{1,3}}\.){{2}}[0-9]{{1,3}}"
    r"(?![0-9A-Za-z_]|\.[0-9]|-[0-9A-Za-z])"
)
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z_:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z_:])"
)
_VERSION = re.compile(
    r"\bv(?:er)?\.?$|version|release|firmware|build|section|chapter|clause|版本|==|>=|<="
)
_ADDRESS = re.compile(r"\bip|address|host|server|ping|dns|地址|服务器")


# Public resolvers are in every manual and are no one's.
_RESOLVERS = frozenset(
    {
        *("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222"),
        *("208.67.220.220", "114.114.114.114", "223.5.5.5", "223.6.6.6", "119.29.29.29"),
    }
)


def _is_ipv4(match: re.Match[str]) -> bool:
    """A global address; four small numbers are one only where a word says so."""
    before = words_before(match)
    try:
        address = ipaddress.IPv4Address(match[0])
    except ValueError:  # above 255, or a leading zero
        return False
    if not address.is_global or address.is_multicast or match[0] in _RESOLVERS:
        return False
    said = bool(_ADDRESS.search(before))
    small = max(address.packed) < 20
    return said or not (small or _VERSION.search(before))


def _is_ipv6(match: re.Match[str]) -> bool:
    try:
        address = ipaddress.IPv6Address(match[0])
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and len(match[0]) >= 8


ACCOUNTS = (
    Detector("iban", "codes", _IBAN, _place_of_iban),
    Detector("cn_id", "long", _CN_ID, lambda m: check_digits.cn_resident_id(m[0])),
    Detector("fr_nir", "long", _NIR, lambda m: m.span() if check_digits.fr_nir(m[0]) else False),
)
IDENTITIES = (
    Detector("us_ssn", "digits", _SSN, _is_ssn),
    Detector("br_cpf", "digits", _CPF, lambda m: check_digits.br_cpf(m[0])),
    Detector("in_aadhaar", "long", _AADHAAR, lambda m: m.span() if _is_aadhaar(m) else False),
    Detector("it_fiscal_code", "codes", _FISCAL_CODE, lambda m: check_digits.it_fiscal_code(m[0])),
    Detector("uk_nino", "codes", _NINO),
    Detector("passport", "labels", _PASSPORT, _place_of_passport),
    Detector("birth_date", "labels", _BIRTH, _is_birth),
    Detector("ip_address", "ip", _IPV4, _is_ipv4),
    Detector("ip_address", "ip", _IPV6, _is_ipv6),
    Detector("plate", "codes", _PLATE),
)
