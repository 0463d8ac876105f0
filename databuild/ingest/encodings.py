"""Which encoding a text file has, and its text as UTF-8.

The rule is fixed, so that a file is read alike everywhere. A byte-order mark decides. Zeros in only
every second byte are UTF-16. Bytes that are valid UTF-8 are UTF-8, and so is a file with more valid
characters than broken bytes: its broken records fail. Else the first MiB is GB18030 if it decodes
strictly, nearly all characters are Chinese or its punctuation, and common ones are frequent; else
Windows-1252 if nearly all bytes above 127 are letters beside letters, or typographic marks; else
what `ingest.legacy` is sure of (Big5, Shift JIS, EUC-JP, EUC-KR, KOI8-R, Windows-1250, -1251, -1253
to -1256). What is none of them is read as UTF-8, fails record by record, and is counted.
"""

from __future__ import annotations

import codecs
import re
from itertools import chain
from typing import TYPE_CHECKING

from databuild.ingest.legacy import LEAST_BYTES, guess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UTF8 = "utf-8"
UNKNOWN = "unknown"
"""Most of what is not ASCII is no UTF-8, and no other encoding is sure."""
HEAD_BYTES = 1 << 20
_MARKS = {
    codecs.BOM_UTF8: UTF8,
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# The most frequent characters of Chinese text, and its punctuation.
_COMMON = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年"
    "，。、：；？！“”（）"
)
_CHINESE = re.compile("[\u4e00-\u9fa5\u3000-\u303f\uff00-\uffef\u2010-\u203f\u00b7]+")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")
_HIGH = bytes(range(128, 256))
_LETTERS = re.compile(
    rb"(?<=[A-Za-z])[\xc0-\xff]|[\xc0-\xff](?=[A-Za-z])"
    rb"|[\x80\x85\x91-\x97\xa0\xa3\xa7\xa9\xab\xae\xb0\xb4\xb7\xbb\xbf]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOSTLY = 0.9


def detect(head: bytes) -> str:
    """Name the encoding of a file from its first MiB; `UNKNOWN` if no rule is sure.

    Raises:
        StepError: charset-normalizer is needed and not installed.

    Example:
        >>> detect("这是一个例子。".encode("gb18030")), detect("déjà vu".encode("cp1252"))
        ('gb18030', 'cp1252')
    """
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    head = head[:HEAD_BYTES]
    if b"\0" in head:
        return _wide(head)
    text = head.decode(UTF8, "ignore")
    n_good = len(text) - len(text.encode("ascii", "ignore"))
    n_high = len(head) - len(head.translate(None, _HIGH))
    n_broken = n_high - (len(text.encode()) - len(text) + n_good)
    if n_broken <= n_good or n_broken == 0:
        return UTF8
    if _is_chinese(head):
        return "gb18030"
    if len(_LETTERS.findall(head)) >= _MOSTLY * n_high and _decoded(head, "cp1252"):
        return "cp1252"
    return guess(head) or (UNKNOWN if n_high >= LEAST_BYTES else UTF8)


def known(name: str) -> str:
    """The name under which an encoding is kept.

    Raises:
        ValueError: Python knows no such encoding of text.

    Example:
        >>> known("GB2312"), known("UTF8"), known("latin1")
        ('gb18030', 'utf-8', 'iso8859-1')
    """
    try:
        found = codecs.lookup(name).name
        "".encode(found)
    except LookupError:
        msg = (
            f"unknown encoding {name!r}; known are utf-8, utf-16, gb18030, big5, cp1252 and others"
        )
        raise ValueError(msg) from None
    same = {"utf-8-sig": UTF8, "ascii": UTF8, "gb2312": "gb18030", "gbk": "gb18030"}
    return same.get(found, found)


def as_utf8(
    blocks: Iterator[bytes], encoding: str, count_repairs: Callable[[int], None]
) -> Iterator[bytes]:
    """Yield the text of `blocks` as UTF-8; bytes that are no text stay as they are.

    Raises:
        ValueError: UTF-16 or UTF-32 that ends within a character, or has an impossible one.
    """
    if encoding == UTF8:
        yield from blocks
        return
    is_wide = encoding.startswith(("utf-16", "utf-32"))
    errors = "surrogatepass" if is_wide else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    is_first = True
    for block in chain(blocks, [None]):
        text = decoder.decode(block or b"", final=block is None)
        if is_first and text:
            text, is_first = text.removeprefix("\ufeff"), False
        if is_wide:
            text, n = _SURROGATE.subn("\ufffd", text)
            count_repairs(n)
        yield from filter(None, [text.encode(UTF8, "surrogateescape")])


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: text has zeros in the high bytes of its ASCII, and nowhere else."""
    low, high = head[0::2].count(0), head[1::2].count(0)
    for name, much, little in (("utf-16-le", high, low), ("utf-16-be", low, high)):
        if much > max(8, 4 * little, len(head) / 100) and _decoded(
            head[: len(head) // 2 * 2], name
        ):
            return name
    return UTF8


def _is_chinese(head: bytes) -> bool:
    text = _decoded(head, "gb18030")
    others = "".join(_BEYOND_ASCII.findall(text or ""))
    if not others:
        return False
    usual = sum(len(piece) for piece in _CHINESE.findall(others))
    common = sum(map(others.count, _COMMON))
    # In a few words a common character may be missing; in a page of Chinese it is not.
    return usual >= _MOSTLY * len(others) and (len(others) < 40 or common >= 0.05 * len(others))


def _decoded(head: bytes, encoding: str) -> str | None:
    """The text, if all of it is valid; a character that the head cuts through is no fault."""
    try:
        errors = "surrogatepass" if encoding.startswith("utf-16") else "strict"
        return codecs.getincrementaldecoder(encoding)(errors).decode(head)
    except UnicodeDecodeError:
        return None
