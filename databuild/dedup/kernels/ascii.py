"""Texts of ASCII to token hashes, eight bytes at a time, and the code points that forbid it."""

from __future__ import annotations

from typing import Any

import numpy as np

from databuild.dedup.kernels.folding import _HIGH, _LOW, _SEED, mixed
from databuild.dedup.kernels.jit import ONE, U64, inlined, load64, zeros_below


@inlined
def ascii_tokens(data: Any, p: Any, end: Any, tokens: Any, count: Any) -> Any:
    """Hash the tokens of a text as `folding` does, up to the one before what is not ASCII.

    They go to `tokens` from `count` on. The number of tokens then, and the place from where on is
    to be folded. Eight bytes at a time: letters,
    digits and `_` are found by additions that carry into the highest bit of each byte (Warren,
    Hacker's Delight, 2nd edition, section 6.1).
    """
    h, begun, token_at = _SEED, False, p
    while p < end:
        if not begun:
            token_at = p
        x = load64(data, p)
        if p + 8 > end:
            x &= (ONE << U64(8 * (end - p))) - ONE
        if x & _HIGH != U64(0):
            return count, token_at
        small = x | (_LOW * U64(0x20))
        letter = (small + _LOW * U64(0x1F)) & ~(small + _LOW * U64(0x05)) & _HIGH
        digit = (x + _LOW * U64(0x50)) & ~(x + _LOW * U64(0x46))
        line = ~((x ^ (_LOW * U64(0x5F))) + _LOW * U64(0x7F))
        word = (letter | digit | line) & _HIGH
        if word == _HIGH:
            h = mixed(h ^ (x | (letter >> U64(2))))
            begun = True
            p += 8
            continue
        if not begun and word & U64(0x80) == U64(0):
            p += 8 if word == U64(0) else np.int64(zeros_below(word) >> U64(3))
            continue
        bits = zeros_below(~word & _HIGH) & ~U64(7)
        tokens[count] = mixed(h ^ ((x | (letter >> U64(2))) & ((ONE << bits) - ONE)))
        count += 1
        p += np.int64(bits >> U64(3)) + 1
        h, begun = _SEED, False
    if begun:
        tokens[count] = mixed(h)
        count += 1
    return count, end


@inlined
def is_masked(data: Any, p: int, end: int, masking: Any) -> bool:
    """Whether a text of UTF-8 has a code point of this table."""
    while p < end:
        first = np.int64(data[p])
        if first < 0x80:
            p += 8 if p + 8 <= end and load64(data, p) & _HIGH == U64(0) else 1
            continue
        if first < 0xE0:
            point = ((first & 0x1F) << 6) | (np.int64(data[p + 1]) & 0x3F)
            p += 2
        elif first < 0xF0:
            point = ((first & 0x0F) << 12) | ((np.int64(data[p + 1]) & 0x3F) << 6)
            point |= np.int64(data[p + 2]) & 0x3F
            p += 3
        else:
            point = ((first & 0x07) << 18) | ((np.int64(data[p + 1]) & 0x3F) << 12)
            point |= ((np.int64(data[p + 2]) & 0x3F) << 6) | (np.int64(data[p + 3]) & 0x3F)
            p += 4
        if masking[point] != 0:
            return True
    return False
