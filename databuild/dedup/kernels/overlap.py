"""Where rows of tokens share runs with the items of an exam.

Arrays carry their axes: `T` tokens of all rows, `R` rows, `I` items, `E` tokens of all items, `G`
grams, `P` postings, `H` slots of a hash table, `B` words of a bitmap.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from databuild.dedup.kernels.ascii import ascii_tokens, is_masked
from databuild.dedup.kernels.folding import DONE, IS_SLOW, TABLE, TEXTS, fold, hash_tokens, longest
from databuild.dedup.kernels.jit import ONE, U64, array, compiled, inlined

# Odd constants of good spread: the base of the polynomial over token hashes, and a mixer.
_BASE, _MIX = U64(0xD1342543DE82EF95), U64(0x9E3779B97F4A7C15)
_63 = U64(63)
# Where in a key the three numbers stand that say which bits of a word of the filter are its own.
_B1, _B2, _B3 = U64(20), U64(26), U64(32)
# A walk crosses at most so many tokens of either side that differ. A copy in which a tenth of the
# words is edited has gaps of one or two; a phrase that was put in is rarely longer.
GAP = 8
NEARBY = 3
# Twice its own length of the row: walks so near belong to one copy of an item.
REACH = 2
FIELDS = 6
_SPACE, _LINE = 0x20, 0x0A


class Index(NamedTuple):
    """Everything that the scan knows about the items."""

    length: int
    """Of the grams that are looked up."""
    top: np.uint64
    """The base to the power of `length`."""
    shift: np.uint64
    """By so many bits a gram's key is shifted to find its word of the filter."""
    filter_B: Any
    """u64: three bits of one word for each gram (a blocked Bloom filter: Putze, Sanders, Singler
    2007), so that nearly all that are no gram cost one look."""
    keys_H: Any
    """u64: open addressing; 0 is free."""
    gram_H: Any
    """i32: the gram of each slot."""
    postings_G: Any
    """i64: gram g stands at the postings `postings_G[g]:postings_G[g + 1]`."""
    item_P: Any
    """i32."""
    place_P: Any
    """i32: where in the item."""
    starts_I: Any
    """i64: item i has the tokens `starts_I[i]:starts_I[i + 1]`."""
    tokens_E: Any
    """u64: their hashes."""
    counts_E: Any
    """u8: 1 where a token counts, 0 where it is the exam's own wording."""
    need_I: Any
    """i64: how many tokens that count a row must have."""
    run_I: Any
    """i64: how many tokens it must have without a difference between."""


def _held(dtype: str) -> Any:
    return array(dtype, writable=True)  # parts of a tuple must be of the very type


_INDEX = types.NamedTuple(
    (
        types.int64, types.uint64, types.uint64, _held("uint64"), _held("uint64"), _held("int32"),
        _held("int64"), _held("int32"), _held("int32"), _held("int64"), _held("uint64"),
        _held("uint8"), _held("int64"), _held("int64"),
    ),
    Index,
)  # fmt: skip
_TOKENS = array("uint64")


@inlined
def _top(length: int) -> Any:
    top = ONE
    for _ in range(length):
        top = top * _BASE
    return top


@compiled(types.uint64, types.int64)
def power(length: int) -> Any:
    """The base of the polynomial to the power of `length`."""
    return _top(length)


@compiled(types.void, _TOKENS, types.int64, array("uint64", writable=True))
def gram_keys(tokens: Any, length: int, keys: Any) -> None:
    """The keys of all runs of `length` tokens, from left to right."""
    top, value = _top(length), U64(0)
    for i in range(tokens.size):
        value = value * _BASE + tokens[i]
        if i >= length:
            value -= tokens[i - length] * top
        if i >= length - 1:
            keys[i - length + 1] = (value * _MIX) | ONE


@inlined
def _bits(key: Any) -> Any:
    """The bits of a gram in its word of the filter."""
    return (
        (ONE << ((key >> _B1) & _63))
        | (ONE << ((key >> _B2) & _63))
        | (ONE << ((key >> _B3) & _63))
    )


@compiled(
    types.void,
    array("uint64"),
    types.uint64,
    array("uint64", writable=True),
    array("uint64", writable=True),
    array("int32", writable=True),
)
def fill_table(keys_G: Any, shift: Any, filter_B: Any, keys_H: Any, gram_H: Any) -> None:
    """Put different keys into the empty filter and the empty table."""
    mask = U64(keys_H.size - 1)
    for g in range(keys_G.size):
        key = keys_G[g]
        filter_B[key >> shift] |= _bits(key)
        slot = (key >> ONE) & mask
        while keys_H[slot] != U64(0):
            slot = (slot + ONE) & mask
        keys_H[slot] = key
        gram_H[slot] = g


@compiled(
    types.int64,
    array("int64"),
    array("bool_"),
    types.int64,
    types.int64,
    array("int64", writable=True),
)
def choose_places(spread: Any, is_rare: Any, window: int, crowd: int, places: Any) -> int:
    """One place in every rare window of so many grams: where none is yet, the rarest, the last.

    A gram that stands in more items than `crowd` is never chosen. How many there are.
    """
    n, last = 0, -1
    for begin in range(is_rare.size):
        if not is_rare[begin] or last >= begin:
            continue
        last = begin
        for place in range(begin, begin + window):
            if spread[place] <= spread[last]:
                last = place
        if spread[last] <= crowd:
            places[n] = last
            n += 1
    return n


@inlined
def _gram_of(key: Any, keys_H: Any, gram_H: Any) -> Any:
    mask = U64(keys_H.size - 1)
    slot = (key >> ONE) & mask
    while keys_H[slot] != U64(0):
        if keys_H[slot] == key:
            return np.int64(gram_H[slot])
        slot = (slot + ONE) & mask
    return np.int64(-1)


@inlined
def _same(row: Any, i: int, item: Any, j: int) -> Any:
    return 0 <= i < row.size and 0 <= j < item.size and row[i] == item[j]


@inlined
def _resumed(row: Any, i: int, item: Any, j: int, step: int) -> Any:
    """Where row and item agree again behind a difference at (i, j): how far on, or (-1, -1).

    After up to `NEARBY` tokens that were replaced one by one a single equal token is enough, and so
    it is at the item's end; else the nearest place counts where two agree.
    """
    for k in range(1, NEARBY + 1):
        if _same(row, i + step * k, item, j + step * k):
            return k, k
    for total in range(1, 2 * GAP + 1):
        for x in range(max(0, total - GAP), min(total, GAP) + 1):
            a, b = i + step * x, j + step * (total - x)
            if not _same(row, a, item, b):
                continue
            is_last = b + step < 0 or b + step >= item.size
            if is_last or _same(row, a + step, item, b + step):
                return x, total - x
    return -1, -1


@inlined
def _walk(row: Any, i: int, item: Any, j: int, step: int, cover: Any) -> Any:
    """Mark the tokens of the item that the row has from (i, j) on; the last place in the row."""
    last = i - step
    while 0 <= i < row.size and 0 <= j < item.size:
        if row[i] == item[j]:
            cover[j] = 1
            last = i
            i += step
            j += step
            continue
        x, y = _resumed(row, i, item, j, step)
        if x < 0:
            break
        i += step * x
        j += step * y
    return last


@inlined
def _visit(row: Any, r: int, i: int, t: Any, j: Any, index: Any, at: Any, cover_E: Any) -> Any:
    """Take in a gram that row r has at i and item t at j. True when the row is new to the item.

    `at[t]`: the row met last; in it where the copy at hand begins, where its last walk ended, its
    first and its last token, its longest run; then tokens, run, first and last of the best copy.
    """
    low, high = index.starts_I[t], index.starts_I[t + 1]
    item, cover = index.tokens_E[low:high], cover_E[low:high]
    is_new = at[t, 0] != r
    if not is_new and i <= at[t, 2]:
        return False  # the last walk went over it
    begin, end = 0, index.length
    while _same(row, i + begin - 1, item, j + begin - 1):
        begin -= 1
    while _same(row, i + end, item, j + end):
        end += 1
    if end - begin < index.run_I[t]:
        return False
    if is_new or i - at[t, 1] > REACH * item.size:
        if is_new:
            at[t, 0], at[t, 6], at[t, 7] = r, 0, 0
        cover[:] = 0
        at[t, 1], at[t, 3], at[t, 4], at[t, 5] = i, i, i, 0
    at[t, 2] = _walk(row, i, item, j, 1, cover)
    at[t, 3] = min(at[t, 3], _walk(row, i - 1, item, j - 1, -1, cover))
    at[t, 4] = max(at[t, 4], at[t, 2])
    at[t, 5] = max(at[t, 5], end - begin)
    n_covered = 0
    for k in range(item.size):
        n_covered += cover[k] & index.counts_E[low + k]
    if n_covered > at[t, 6]:
        at[t, 6], at[t, 7], at[t, 8], at[t, 9] = n_covered, at[t, 5], at[t, 3], at[t, 4]
    return is_new


@inlined
def _grown(found: Any) -> Any:
    wider = np.empty((found.shape[0] * 2, FIELDS), np.int64)
    wider[: found.shape[0]] = found
    return wider


@inlined
def _likely(tokens: Any, count: int, index: Any, places: Any, keys: Any) -> Any:
    """Where the grams of a row of tokens are that the filter lets through, and their keys.

    This loop sees every token of every text and nearly always finds nothing: it does not branch.
    """
    length, shift, filter_B, top = index.length, index.shift, index.filter_B, index.top
    value, old = U64(0), U64(0)
    n = np.int64(0)
    for i in range(min(length - 1, count)):
        value = value * _BASE + tokens[i]
    for i in range(count - length + 1):
        value = value * _BASE + (tokens[i + length - 1] - old * top)
        old = tokens[i]
        key = (value * _MIX) | ONE
        bits = _bits(key)
        places[n], keys[n] = i, key
        n += np.int64((filter_B[key >> shift] & bits) == bits)
    return n


@inlined
def _scan_row(
    row: Any, r: int, places: Any, keys: Any, index: Any, at: Any, cover_E: Any, active: Any
) -> int:
    """Take in the shared grams of a row; how many items are `active`: share a long enough run."""
    n_active = 0
    for k in range(places.size):
        gram = _gram_of(keys[k], index.keys_H, index.gram_H)
        if gram < 0:
            continue
        i = places[k]
        for p in range(index.postings_G[gram], index.postings_G[gram + 1]):
            t = np.int64(index.item_P[p])
            if _visit(row, r, i, t, np.int64(index.place_P[p]), index, at, cover_E):
                active[n_active] = t
                n_active += 1
    return n_active


@inlined
def _tokens(
    data: Any, start: Any, end: Any, folded: Any, table: Any, masking: Any, out: Any, tokens: Any
) -> Any:
    """Hash the tokens of a text; their number, -1 if it must be unmasked or folded first.

    ASCII is hashed as it stands. From the token on in which something else is the text is folded,
    up to the next space or the end of a line.
    """
    nothing = np.empty(0, np.int64)
    count: Any = 0
    in_place = not folded and end + 8 <= data.size
    while start < end:
        stop = end
        if in_place:
            count, start = ascii_tokens(data, start, end, tokens, count)
            stop = min(start + 1, end)
            while stop < end and data[stop] != _SPACE and data[stop] != _LINE:
                stop += 1
        length: Any = stop - start
        if folded:
            out[:length] = data[start:stop]
        elif length > 0:
            is_hidden = masking.size > 0 and is_masked(data, start, stop, masking)
            length = -1 if is_hidden else fold(data, start, stop, table, out, nothing)
        if length < 0:
            return -1
        out[length : length + 16] = 0
        count += hash_tokens(out, length, tokens[count:], nothing)
        start = stop
    return count


@inlined
def _settle(r: int, active: Any, index: Any, at: Any, found: Any, n_found: int) -> Any:
    """Note the items of which row r has enough."""
    for t in active:
        if at[t, 6] >= index.need_I[t]:
            if n_found == found.shape[0]:
                found = _grown(found)
            found[n_found, 0], found[n_found, 1] = r, t
            found[n_found, 2:] = at[t, 6:10]
            n_found += 1
    return found, n_found


@compiled(
    array("int64", writable=True, ndim=2),
    *TEXTS,
    types.boolean,
    TABLE,
    array("uint8"),
    _INDEX,
    array("uint8", writable=True),
)
def scan_texts(
    data: Any, offsets: Any, nulls: Any, folded: Any, table: Any, masking: Any, index: Any,
    state: Any,
) -> Any:  # fmt: skip
    """Find the items that texts hold.

    A token of an item counts as there when it lies on a walk from a shared run; walks in a stretch
    of `REACH` times the item's length belong together, so that answers to choose from may change
    places. Of each text and item the stretch with the most tokens stands.

    Returns:
        Per text and item: text, item, tokens that count, longest run, the first and the last token
        of the stretch, as numbers within the text. In `state` which texts must be unmasked or
        folded first.
    """
    n_items = index.starts_I.size - 1
    cover_E = np.zeros(index.tokens_E.size, np.uint8)
    at = np.full((n_items, 10), -1, np.int64)
    active = np.empty(n_items, np.int64)
    found, n_found = np.empty((64, FIELDS), np.int64), 0
    most = longest(offsets)
    out = np.empty(4 * most + 64, np.uint8)
    tokens = np.empty(most + 2, np.uint64)
    places, keys = np.empty(most + 2, np.int64), np.empty(most + 2, np.uint64)
    for r in range(offsets.size - 1):
        state[r] = DONE
        if nulls.size > 0 and nulls[r] != 0:
            continue
        start, end = offsets[r], offsets[r + 1]
        count = _tokens(data, start, end, folded, table, masking, out, tokens)
        if count < 0:
            state[r] = IS_SLOW
            continue
        n = _likely(tokens, count, index, places, keys)
        if n == 0:
            continue
        n_active = _scan_row(tokens[:count], r, places[:n], keys[:n], index, at, cover_E, active)
        found, n_found = _settle(r, active[:n_active], index, at, found, n_found)
    return found[:n_found].copy()
