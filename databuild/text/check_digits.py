"""Check digits of card, account and identity numbers. Standard library only.

Every function takes the number as it was written; separators do not count.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import date

_IBAN_CHARS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27,
    "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24,
    "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31,
    "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Characters of an IBAN by country: the SWIFT IBAN Registry (ISO 13616)."""

_CN_PROVINCES = frozenset(
    map(str, [*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55),
              *range(61, 66), 71, 81, 82, 83])
)  # fmt: skip
_CN_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_SSN_PUBLISHED = frozenset({"078051120", "219099999", "123456789"})
# What an Italian code's character at an odd place (from 1) is worth; even ones count 0 to 25.
_IT_ODD = (
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
)  # fmt: skip
_VERHOEFF_D = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_P = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def digits(text: str) -> str:
    """Only the digits of a text, those of other scripts as ASCII.

    Example:
        >>> digits("+49 (0)30-１２")
        '4903012'
    """
    return "".join(str(int(c)) for c in text if c.isdecimal())


def luhn(text: str) -> bool:
    """The check digit of card numbers: ISO/IEC 7812-1, annex B.

    Example:
        >>> luhn("4539 1488 0343 6467"), luhn("4539 1488 0343 6468")
        (True, False)
    """
    total = 0
    for place, digit in enumerate(reversed(digits(text))):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban(text: str) -> bool:
    """An IBAN: its country's length, and mod 97 equal to 1 (ISO 13616, ISO 7064).

    Example:
        >>> iban("DE89 3704 0044 0532 0130 00"), iban("DE88 3704 0044 0532 0130 00")
        (True, False)
    """
    compact = text.replace(" ", "").upper()
    if len(compact) != _IBAN_CHARS.get(compact[:2]):
        return False
    try:
        return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
    except ValueError:
        return False


def cn_resident_id(text: str) -> bool:
    """A Chinese resident number: province, a real birthday, mod 11-2 (GB 11643-1999, ISO 7064).

    Example:
        >>> cn_resident_id("11010519491231002X"), cn_resident_id("110105194912310021")
        (True, False)
    """
    body = digits(text[:17])
    if len(body) != 17 or body[:2] not in _CN_PROVINCES or not is_date(body[6:14]):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(body, _CN_WEIGHTS, strict=True))
    last = text[17:].upper()
    return ("X" if last == "X" else digits(last)) == "10X98765432"[total % 11]


def is_date(yyyymmdd: str) -> bool:
    """Eight digits are a day between 1900 and 2099.

    Example:
        >>> is_date("20240229"), is_date("20230229")
        (True, False)
    """
    try:
        return 1900 <= date(int(yyyymmdd[:4]), int(yyyymmdd[4:6]), int(yyyymmdd[6:])).year < 2100
    except ValueError:
        return False


def us_ssn(text: str) -> bool:
    """A US social security number by the rules of the SSA; it has no check digit.

    The area is not 000, 666 or 900 to 999, the group not 00, the serial not 0000, and the number
    not one that is printed everywhere (078-05-1120, 219-09-9999, 123-45-6789).

    Example:
        >>> us_ssn("536-22-8145"), us_ssn("666-22-8145")
        (True, False)
    """
    number = digits(text)
    area, group, serial = number[:3], number[3:5], number[5:]
    return (
        len(number) == 9
        and area not in {"000", "666"}
        and area[0] != "9"
        and group != "00"
        and serial != "0000"
        and number not in _SSN_PUBLISHED
    )


def br_cpf(text: str) -> bool:
    """A Brazilian CPF: two check digits mod 11; eleven equal digits are none.

    Example:
        >>> br_cpf("529.982.247-25"), br_cpf("529.982.247-24")
        (True, False)
    """
    number = [int(digit) for digit in digits(text)]
    if len(number) != 11 or len(set(number)) == 1:
        return False
    for n in (9, 10):
        total = sum(digit * (n + 1 - i) for i, digit in enumerate(number[:n]))
        if number[n] != total * 10 % 11 % 10:
            return False
    return True


def it_fiscal_code(text: str) -> bool:
    """An Italian codice fiscale of 16 characters: its check letter (D.M. 23 December 1976).

    Example:
        >>> it_fiscal_code("RSSMRA85T10A562S"), it_fiscal_code("RSSMRA85T10A562T")
        (True, False)
    """
    code = text.upper()
    values = [int(c, 36) - (10 if c.isalpha() else 0) for c in code[:15]]
    total = sum(_IT_ODD[v] if i % 2 == 0 else v for i, v in enumerate(values))
    return len(code) == 16 and code[15] == chr(ord("A") + total % 26)


def fr_nir(text: str) -> bool:
    """A French social security number (NIR): the key is 97 minus the number mod 97.

    Example:
        >>> fr_nir("2 55 08 14 168 025 38"), fr_nir("2 55 08 14 168 025 39")
        (True, False)
    """
    number = digits(text)
    return len(number) == 15 and 97 - int(number[:13]) % 97 == int(number[13:])


def in_aadhaar(text: str) -> bool:
    """An Indian Aadhaar number: 12 digits, the first 2 to 9, Verhoeff's check digit.

    Example:
        >>> in_aadhaar("2341 2341 2346"), in_aadhaar("2341 2341 2347")
        (True, False)
    """
    number = digits(text)
    check = "0"
    for place, digit in enumerate(reversed(number)):
        check = _VERHOEFF_D[int(check)][int(_VERHOEFF_P[place % 8][int(digit)])]
    return len(number) == 12 and number[0] not in "01" and check == "0"


def entropy_bits(text: str) -> float:
    """Shannon's entropy of the characters of a text, in bits a character.

    Example:
        >>> entropy_bits("aabb"), entropy_bits("aaaa")
        (1.0, 0.0)
    """
    shares = [count / len(text) for count in Counter(text).values()]
    return abs(-sum(share * math.log2(share) for share in shares))
