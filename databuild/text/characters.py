"""Counts of kinds of characters per text, as NumPy kernels over all code points of a batch at once.

The tables come from the `unicodedata` of the running Python (Unicode 14.0 in 3.11, 15.0 in 3.12).
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    from numpy.typing import NDArray

    Table = NDArray[np.uint8]

# A slice of this many characters takes about 100 MB while it is counted.
_SLICE_CHARS = 4_000_000
KINDS = ("upper", "lower", "letter", "digit", "punctuation", "symbol", "space", "control")
_CASED = {"Lu": 0, "Lt": 0, "Ll": 1}
_GROUPS = {"L": 2, "M": 2, "N": 3, "P": 4, "S": 5, "Z": 6, "C": 7}
_ASSIGNED = (range(0x34000), range(0xE0000, 0xE1000))
"""Where Unicode has characters: beyond, all is unassigned or private, which is one kind here."""
_NO_CONTROL = {0x200C: 2, 0x200D: 2, 0x09: 6, 0x0A: 6, 0x0D: 6}

SCRIPTS = (
    "none", "Latin", "Cyrillic", "Arabic", "Devanagari", "Han", "Kana", "Hangul", "Thai", "Greek",
    "Hebrew", "Armenian", "Georgian", "Bengali", "Gurmukhi", "Gujarati", "Tamil", "Telugu",
    "Kannada", "Malayalam", "Sinhala", "Lao", "Tibetan", "Myanmar", "Ethiopic", "Khmer",
)  # fmt: skip
# Scripts whose characters count one by one, because no spaces stand between words.
UNSPACED = ("Han", "Kana", "Thai", "Lao", "Tibetan", "Myanmar", "Khmer")
# First and last code point; only letters and marks inside count. Unicode, Scripts.txt, by blocks.
_BLOCKS: tuple[tuple[int, int, str], ...] = (
    (0x41, 0x24F, "Latin"), (0x250, 0x2AF, "Latin"), (0x1E00, 0x1EFF, "Latin"),
    (0xFF21, 0xFF5A, "Latin"), (0x370, 0x3FF, "Greek"), (0x1F00, 0x1FFF, "Greek"),
    (0x400, 0x52F, "Cyrillic"), (0x531, 0x58F, "Armenian"), (0x591, 0x5F4, "Hebrew"),
    (0x600, 0x6FF, "Arabic"), (0x750, 0x77F, "Arabic"), (0xFB50, 0xFEFC, "Arabic"),
    (0x900, 0x97F, "Devanagari"), (0x980, 0x9FF, "Bengali"), (0xA00, 0xA7F, "Gurmukhi"),
    (0xA80, 0xAFF, "Gujarati"), (0xB80, 0xBFF, "Tamil"), (0xC00, 0xC7F, "Telugu"),
    (0xC80, 0xCFF, "Kannada"), (0xD00, 0xD7F, "Malayalam"), (0xD80, 0xDFF, "Sinhala"),
    (0xE00, 0xE7F, "Thai"), (0xE80, 0xEFF, "Lao"), (0xF00, 0xFFF, "Tibetan"),
    (0x1000, 0x109F, "Myanmar"), (0x10A0, 0x10FF, "Georgian"), (0x1200, 0x137F, "Ethiopic"),
    (0x1780, 0x17FF, "Khmer"), (0x1100, 0x11FF, "Hangul"), (0xAC00, 0xD7A3, "Hangul"),
    (0x3041, 0x30FF, "Kana"), (0x31F0, 0x31FF, "Kana"), (0xFF66, 0xFF9F, "Kana"),
    (0x3005, 0x3007, "Han"), (0x3400, 0x4DBF, "Han"), (0x4E00, 0x9FFF, "Han"),
    (0xF900, 0xFAFF, "Han"), (0x20000, 0x323AF, "Han"),
)  # fmt: skip


def kind_counts(texts: pl.Series) -> NDArray[np.int64]:
    """Count the characters of every kind in every text; a null text has none.

    Upper case is Lu and Lt, lower case Ll; letter the rest of L, marks (M), and the joiners U+200C
    and U+200D; digit N; punctuation P; symbol S (emoji too); space Z, tab, line feed, carriage
    return; control all of C (control and format characters such as U+200B, private use,
    unassigned) but the joiners.

    Returns:
        counts[row, kind], in the order of `KINDS`.

    Example:
        >>> import polars as pl
        >>> kind_counts(pl.Series(["Ab 1!", None])).tolist()
        [[1, 1, 0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
    """
    counts = np.zeros((len(texts), len(KINDS)), dtype=np.int64)
    for rows, codes, owners in _slices(texts):
        places = owners * len(KINDS) + _kind_table()[codes]
        size = (rows.stop - rows.start) * len(KINDS)
        counts[rows] = np.bincount(places, minlength=size).reshape(-1, len(KINDS))
    return counts


def script_counts(texts: pl.Series) -> NDArray[np.int64]:
    """Count the words of every script in every text; a null text has none.

    A word is a run of letters and marks of one script; in the scripts of `UNSPACED` every
    character is one.

    Returns:
        counts[row, script], in the order of `SCRIPTS`; the first is always 0.

    Example:
        >>> import polars as pl
        >>> counts = script_counts(pl.Series(["Say 你好 twice"]))[0]
        >>> dict(zip(SCRIPTS[1:6], counts[1:6].tolist()))
        {'Latin': 2, 'Cyrillic': 0, 'Arabic': 0, 'Devanagari': 0, 'Han': 2}
    """
    table, unspaced = _script_table(), np.isin(SCRIPTS, UNSPACED)
    counts = np.zeros((len(texts), len(SCRIPTS)), dtype=np.int64)
    for rows, codes, owners in _slices(texts):
        scripts = table[codes]
        begins = np.ones(len(codes), dtype=bool)
        begins[1:] = (scripts[1:] != scripts[:-1]) | (owners[1:] != owners[:-1])
        words = (scripts > 0) & (begins | unspaced[scripts])
        places = owners[words] * len(SCRIPTS) + scripts[words]
        size = (rows.stop - rows.start) * len(SCRIPTS)
        counts[rows] = np.bincount(places, minlength=size).reshape(-1, len(SCRIPTS))
    return counts


def _slices(texts: pl.Series) -> Iterator[tuple[slice, NDArray[np.uint32], NDArray[np.int64]]]:
    """Yield slices of rows with their code points and, for each, the row's place in the slice."""
    lengths = texts.str.len_chars().fill_null(0).to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    start = 0
    while start < len(texts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _SLICE_CHARS, side="right")))
        joined = "".join(texts[start:stop].fill_null("").to_list())
        codes = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
        yield slice(start, stop), codes, np.repeat(np.arange(stop - start), lengths[start:stop])
        start = stop


@functools.cache
def _kind_table() -> Table:
    table = np.full(sys.maxunicode + 1, _GROUPS["C"], dtype=np.uint8)
    for codes in _ASSIGNED:
        categories = map(unicodedata.category, map(chr, codes))
        kinds = (_CASED.get(c, _GROUPS[c[0]]) for c in categories)
        table[codes.start : codes.stop] = np.fromiter(kinds, np.uint8, len(codes))
    for code, kind in _NO_CONTROL.items():
        table[code] = kind
    return table


@functools.cache
def _script_table() -> Table:
    table = np.zeros(sys.maxunicode + 1, dtype=np.uint8)
    for first, last, script in _BLOCKS:
        table[first : last + 1] = SCRIPTS.index(script)
    table[~np.isin(_kind_table(), (0, 1, 2))] = 0
    table[[0x200C, 0x200D]] = 0
    table[0x3007] = SCRIPTS.index("Han")  # the numeral zero, which Unicode calls a number
    return table
