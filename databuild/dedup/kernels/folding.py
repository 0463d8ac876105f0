"""Texts to tokens to shingles: one pass over the bytes of an Arrow column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from databuild.dedup.folding_table import (
    LENGTH_SHIFT,
    MANY,
    MARK,
    SEPARATOR,
    SINGLE,
    STABLE,
    WORD,
    FoldingTable,
)
from databuild.dedup.kernels.jit import (
    ONE,
    U64,
    array,
    compiled,
    inlined,
    load64,
    store32,
    store64,
    zeros_below,
)
from databuild.dedup.kernels.numbering import is_known

DONE, IS_SLOW, IS_NULL, IS_BARE, IS_KNOWN = 0, 1, 2, 3, 4

_LOW, _HIGH = U64(0x0101010101010101), U64(0x8080808080808080)
_SEED = U64(0x9E3779B97F4A7C15)
_M1, _M2 = U64(0xBF58476D1CE4E5B9), U64(0x94D049BB133111EB)
_S1, _S2 = U64(32), U64(29)
_BASE = U64(0xD6E8FEB86659FD93)  # 3 modulo 4: differences of its powers lose few low bits
_SHORT = U64(0xA0761D6478BD642F)
_F1, _F2 = U64(0xFF51AFD7ED558CCD), U64(0xC4CEB9FE1A85EC53)
_ALL = U64(0xFFFFFFFFFFFFFFFF)

TEXTS = (array("uint8"), array("int64"), array("uint8"))  # bytes, offsets, is_null (or empty)
TABLE = types.NamedTuple(
    (
        array("uint8"),  # ascii: the folded byte, 0 for a separator
        array("uint8"),  # kind of every code point
        array("uint32"),  # its folded UTF-8, or the place in `many`
        array("uint8"),  # combining class of marks
        array("int64"),  # where the bytes of a MANY begin
        array("uint8"),  # those bytes
    ),
    FoldingTable,
)


@inlined
def mixed(x: Any) -> Any:
    """A bijection of 64 bits in which every bit counts."""
    x = x * _M1
    x = x ^ (x >> _S1)
    x = x * _M2
    return x ^ (x >> _S2)


@inlined
def at_least(x: Any, bound: int) -> Any:
    """The high bit of each of 8 ASCII bytes that is not below a bound."""
    return x + _LOW * U64(0x80 - bound)


@inlined
def folded8(x: Any) -> Any:
    """8 ASCII characters at once: lower-cased; 0 where one is no letter, digit or underscore."""
    upper = at_least(x, 0x41) & ~at_least(x, 0x5B) & _HIGH
    x = x | (upper >> U64(2))
    word = at_least(x, 0x61) & ~at_least(x, 0x7B)
    word |= at_least(x, 0x30) & ~at_least(x, 0x3A)
    word |= at_least(x, 0x5F) & ~at_least(x, 0x60)
    return x & (((word & _HIGH) >> U64(7)) * U64(0xFF))


@inlined
def fold_ascii(data: Any, start: int, end: int, out: Any, at: int) -> int:
    """Fold ASCII from `start` on, eight characters at a time; how many."""
    size = 0
    while start + size + 8 <= end and load64(data, start + size) & _HIGH == U64(0):
        size += 8
    for k in range(size // 8):
        store64(out, at + 8 * k, folded8(load64(data, start + 8 * k)))
    return size


@inlined
def decoded(data: Any, i: int) -> Any:
    """The code point of more than one byte of UTF-8 that begins at i, and its bytes."""
    first = np.int64(data[i])
    if first < 0xE0:
        return ((first & 0x1F) << 6) | (np.int64(data[i + 1]) & 0x3F), 2
    if first < 0xF0:
        point = ((first & 0x0F) << 12) | ((np.int64(data[i + 1]) & 0x3F) << 6)
        return point | (np.int64(data[i + 2]) & 0x3F), 3
    point = ((first & 0x07) << 18) | ((np.int64(data[i + 1]) & 0x3F) << 12)
    return point | ((np.int64(data[i + 2]) & 0x3F) << 6) | (np.int64(data[i + 3]) & 0x3F), 4


@inlined
def put_single(out: Any, at: Any, form: Any, size: Any) -> Any:
    """Write a character that is a token by itself; where the next one goes."""
    if at > 0 and out[at - 1] != 0:
        out[at] = 0
        at += 1
    store32(out, at, form)
    out[at + size] = 0
    return at + size + 1


@inlined
def fold(data: Any, start: int, end: int, table: Any, out: Any, origin: Any) -> int:
    """Write the folded tokens of a text, zero bytes between them; their length, -1 if slow.

    Where `origin` is not empty it tells of every byte written at which byte its character began.
    """
    ascii_, kinds, forms, classes, many_at, many = table
    traced = origin.size > 0
    o: Any = 0
    last: Any = 0
    i, stable = start, True
    while i < end:
        if not traced:
            plain = fold_ascii(data, i, end, out, o)
            if plain > 0:
                i, o = i + plain, o + plain
                last, stable = 0, True
                continue
        first = np.int64(data[i])
        if first < 0x80:
            out[o] = ascii_[first]
            if traced:
                origin[o] = i
            o += 1
            i += 1
            last, stable = 0, True
            continue
        at = i
        point, width = decoded(data, i)
        i += width
        flags = np.int64(kinds[point])
        kind = flags & 7
        before = o
        if flags & MARK:
            # In canonical order after a character that NFKC leaves alone, a mark stays as it is.
            combining = np.int64(classes[point])
            if not stable or combining < last:
                return -1
            last = combining
        else:
            last, stable = 0, (flags & STABLE) != 0
        if kind == SINGLE:
            o = put_single(out, o, forms[point], (flags >> LENGTH_SHIFT) + 1)
        elif kind == WORD:
            store32(out, o, forms[point])
            o += (flags >> LENGTH_SHIFT) + 1
        elif kind == SEPARATOR:
            out[o] = 0
            o += 1
        elif kind == MANY:
            which = np.int64(forms[point])
            for k in range(many_at[which], many_at[which + 1]):
                out[o] = many[k]
                o += 1
        else:
            return -1
        if traced:
            for k in range(before, o):
                origin[k] = at
    return int(o)


@inlined
def hash_tokens(out: Any, length: int, tokens: Any, ends: Any) -> int:
    """Hash the tokens between zero bytes; 16 zero bytes follow. Their number.

    Where `ends` is not empty it tells where each token ends.
    """
    count, h, begun = 0, _SEED, False
    p: Any = 0
    while p < length:
        x = load64(out, p)
        zero = (x - _LOW) & ~x & _HIGH
        if zero == U64(0):
            h = mixed(h ^ x)
            begun = True
            p += 8
            continue
        bits = zeros_below(zero) & ~U64(7)
        if bits == U64(0) and not begun:
            p += 1
            continue
        x &= (ONE << bits) - ONE
        tokens[count] = mixed(h ^ x)
        p += np.int64(bits >> U64(3))
        if ends.size > 0:
            ends[count] = p
        count += 1
        p += 1
        h, begun = _SEED, False
    if begun:
        tokens[count] = mixed(h)
        if ends.size > 0:
            ends[count] = length
        count += 1
    return count


@inlined
def sort_distinct(raw: Any, n: int, out: Any, at: int, counts: Any) -> int:
    """Sort n well-mixed numbers into `out` from `at` on, each once; how many there are."""
    if n > 12:
        bits = 3
        while (1 << bits) * 2 < n and bits < 16:
            bits += 1
        shift = U64(64 - bits)
        size = 1 << bits
        for k in range(size + 1):
            counts[k] = 0
        for k in range(n):
            counts[np.int64(raw[k] >> shift) + 1] += 1
        for k in range(size):
            counts[k + 1] += counts[k]
        for k in range(n):
            bucket = np.int64(raw[k] >> shift)
            out[at + counts[bucket]] = raw[k]
            counts[bucket] += 1
    else:
        for k in range(n):
            out[at + k] = raw[k]
    for k in range(at + 1, at + n):
        value = out[k]
        j = k - 1
        while j >= at and out[j] > value:
            out[j + 1] = out[j]
            j -= 1
        out[j + 1] = value
    kept = 0
    for k in range(at, at + n):
        if k == at or out[k] != out[at + kept - 1]:
            out[at + kept] = out[k]
            kept += 1
    return kept


@inlined
def roll(tokens: Any, count: int, ngram: int, raw: Any) -> int:
    """Hash every run of `ngram` tokens; all of them as one run where there are fewer."""
    top = ONE
    for _ in range(ngram):
        top = top * _BASE
    h, made = U64(0), 0
    for t in range(count):
        h = h * _BASE + tokens[t]
        if t >= ngram:
            h = h - top * tokens[t - ngram]
        if t >= ngram - 1:
            raw[made] = mixed(h)
            made += 1
    if made == 0:
        raw[0] = mixed(h + _SHORT * U64(count))
        made = 1
    return made


@inlined
def longest(offsets: Any) -> int:
    """The longest text, in bytes."""
    most = 0
    for r in range(offsets.size - 1):
        most = max(most, offsets[r + 1] - offsets[r])
    return most


@compiled(
    types.int64,
    *TEXTS,
    types.boolean,
    types.int64,
    TABLE,
    array("uint64", ndim=2),
    array("uint64", writable=True),
    array("int64", writable=True),
    array("uint64", writable=True, ndim=2),
    array("uint8", writable=True),
)
def shingle_texts(
    data: Any, offsets: Any, nulls: Any, folded: bool, ngram: int, table: Any, known: Any,
    hashes: Any, counts: Any, form: Any, state: Any,
) -> int:  # fmt: skip
    """The sorted distinct shingles of every text whose form is not known; how many in all."""
    most = longest(offsets)
    out = np.empty(4 * most + 64, np.uint8)
    tokens = np.empty(most + 2, np.uint64)
    raw = np.empty(most + 2, np.uint64)
    places = np.empty((1 << 16) + 2, np.int64)
    nothing = np.empty(0, np.int64)
    at = 0
    for r in range(offsets.size - 1):
        counts[r] = 0
        form[r, 0] = form[r, 1] = U64(0)
        state[r] = DONE
        if nulls.size > 0 and nulls[r] != 0:
            state[r] = IS_NULL
            continue
        if folded:
            length = offsets[r + 1] - offsets[r]
            for k in range(length):
                out[k] = data[offsets[r] + k]
        else:
            length = fold(data, offsets[r], offsets[r + 1], table, out, nothing)
        if length < 0:
            state[r] = IS_SLOW
            continue
        for k in range(16):
            out[length + k] = 0
        count = hash_tokens(out, length, tokens, nothing)
        if count == 0:
            state[r] = IS_BARE
            continue
        one, two = U64(count), _SEED
        for t in range(count):
            one = (one ^ tokens[t]) * _F1
            one = (one << U64(23)) | (one >> U64(41))
            two = ((two << U64(31)) | (two >> U64(33))) * _F2 + tokens[t]
        form[r, 0], form[r, 1] = mixed(one), mixed(two)
        if is_known(known, form[r, 0], form[r, 1]):
            state[r] = IS_KNOWN
            continue
        made = roll(tokens, count, ngram, raw)
        counts[r] = sort_distinct(raw, made, hashes, at, places)
        at += counts[r]
    return at


@compiled(
    types.int64,
    *TEXTS,
    types.boolean,
    TABLE,
    array("uint64", writable=True),
    array("int64", writable=True),
    array("uint8", writable=True),
    array("int64", writable=True, ndim=2),
)
def token_texts(
    data: Any, offsets: Any, nulls: Any, folded: bool, table: Any,
    hashes: Any, counts: Any, state: Any, spans: Any,
) -> int:  # fmt: skip
    """The token hashes of every text in order; with `spans` of 2 columns, their bytes in it."""
    most = longest(offsets)
    out = np.empty(4 * most + 64, np.uint8)
    traced = spans.size > 0
    origin = np.empty(4 * most + 64 if traced else 0, np.int64)
    ends = np.empty(most + 2 if traced else 0, np.int64)
    tokens = np.empty(most + 2, np.uint64)
    at = 0
    for r in range(offsets.size - 1):
        counts[r] = 0
        state[r] = DONE
        if nulls.size > 0 and nulls[r] != 0:
            state[r] = IS_NULL
            continue
        start, end = offsets[r], offsets[r + 1]
        if folded:
            length = end - start
            for k in range(length):
                out[k] = data[start + k]
        else:
            length = fold(data, start, end, table, out, origin)
        if length < 0:
            state[r] = IS_SLOW
            continue
        for k in range(16):
            out[length + k] = 0
        count = hash_tokens(out, length, tokens, ends)
        counts[r] = count
        for t in range(count):
            hashes[at + t] = tokens[t]
        if traced and not folded:
            for t in range(count):
                stop = ends[t]
                begin = stop
                while begin > 0 and out[begin - 1] != 0:
                    begin -= 1
                spans[at + t, 0] = origin[begin] - start
                past = origin[stop - 1] + 1
                while past < end and (data[past] & 0xC0) == 0x80:
                    past += 1
                spans[at + t, 1] = past - start
        at += count
    return at
