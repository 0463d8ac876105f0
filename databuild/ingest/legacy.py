"""Which legacy encoding a text has that is neither UTF-8, GB18030 nor Windows-1252.

charset-normalizer (a measure of mess for every candidate, and one of coherence: how usual the
frequent letters are in a language) ranks the candidates; what is taken must also be sure. Two that
the sample cannot tell apart are none: the user says which with `encoding`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from databuild.errors import StepError

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

SAMPLE_BYTES = 1 << 16
LEAST_BYTES = 10
"""Of bytes above 127: fewer tell no encoding."""
_SCRIPTS = {
    "big5": ("[\u4e00-\u9fff]", 0.7), "cp949": ("[\uac00-\ud7a3]", 0.7),
    "cp932": ("[\u3040-\u30ff]", 0.2), "euc_jp": ("[\u3040-\u30ff]", 0.2),
}  # fmt: skip
"""Encodings of several bytes a character: the script, and its least share beyond ASCII."""
_ALPHABETS = ("cp1251", "koi8_r", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256")
_RIVALS = ("cp1252", "iso8859_2", "gb18030")
"""Looked at, never taken: two of them have rules of their own (`ingest.encodings`)."""
_MOST_MESS, _LEAST_COHERENCE, _MARGIN = 0.05, 0.25, 0.02
_BEYOND = re.compile("[^\x00-\x7f]")
_HIGH_LINES = re.compile(rb"[^\n]*[\x80-\xff][^\n]*\n?")


def guess(head: bytes) -> str | None:
    """Name the encoding of a text from 64 KiB of its lines that are not ASCII; None if unsure.

    Sure is: at least 10 bytes above 127; a mess of at most 0.05; for an alphabet a coherence of
    0.25 or more, for Big5, Shift JIS, EUC-JP and EUC-KR the share of their script; and no other
    candidate that reads the sample as another text with as little mess and as much coherence (to
    0.02).

    Raises:
        StepError: charset-normalizer is not installed.

    Example:
        >>> guess("Сегодня хорошая погода, и дети играют в парке.".encode("koi8_r"))
        'koi8_r'
        >>> guess(bytes(range(128, 256))) is None
        True
    """
    sample = _sample(head)
    if len(sample) - len(sample.decode("ascii", "ignore")) < LEAST_BYTES:
        return None
    ranked = _ranked(sample)
    if not ranked:
        return None
    best, *others = ranked
    if best.encoding in _RIVALS or not _is_sure(best):
        return None
    is_rivalled = any(
        other.chaos <= best.chaos + _MARGIN
        and other.coherence >= best.coherence - _MARGIN
        and str(other) != str(best)
        for other in others
    )
    return None if is_rivalled else best.encoding


def _sample(head: bytes) -> bytes:
    """Whole lines with bytes above 127, up to 64 KiB; of one long line its beginning."""
    lines: list[bytes] = []
    n_bytes = 0
    for match in _HIGH_LINES.finditer(head):
        n_bytes += len(match[0])
        if n_bytes > SAMPLE_BYTES and lines:
            break
        lines.append(match[0])
    is_cut = len(lines) == 1 and lines[0][-1:] != b"\n"
    return _cut(lines[0]) if is_cut else b"".join(lines)


def _cut(line: bytes) -> bytes:
    """A line without its end, which may be half a character: up to the last ASCII character."""
    if len(line) <= SAMPLE_BYTES:
        return line
    start = line[:SAMPLE_BYTES]
    ends = max(start.rfind(mark) for mark in (b" ", b'"', b",", b"."))
    return start[: ends + 1] if ends > 0 else start


def _ranked(sample: bytes) -> list[CharsetMatch]:
    """The candidates that read the whole sample, in their script, the best first."""
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        what = "a text is in none of UTF-8, UTF-16, GB18030 and Windows-1252, and telling others "
        what += "needs the package charset-normalizer"
        fix = "uv add 'databuild[encodings]', or set `encoding`"
        raise StepError("ingest.files", what, fix=fix) from error
    candidates = [*_SCRIPTS, *_ALPHABETS, *_RIVALS]
    every = from_bytes(sample, cp_isolation=candidates, enable_fallback=False)
    found = [one for one in every if one.encoding not in _SCRIPTS or _is_in_script(one)]
    return sorted(found, key=lambda one: (one.chaos, -one.coherence, one.encoding))


def _is_sure(match: CharsetMatch) -> bool:
    is_coherent = match.encoding in _SCRIPTS or match.coherence >= _LEAST_COHERENCE
    return bool(match.chaos <= _MOST_MESS and is_coherent)


def _is_in_script(match: CharsetMatch) -> bool:
    script, least = _SCRIPTS[match.encoding]
    beyond = "".join(_BEYOND.findall(str(match)))
    return len(re.findall(script, beyond)) >= least * len(beyond)
