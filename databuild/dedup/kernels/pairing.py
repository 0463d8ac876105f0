"""From equal keys to pairs, from pairs to similarities, from similarities to what is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from databuild.dedup.kernels.jit import U64, array, compiled, inlined

_LOW32 = U64(0xFFFFFFFF)
_32 = U64(32)
OPEN, DROPPED, FRUITLESS = 0, 1, 2
"""How a row stands: see `databuild.dedup.standing`."""
FEW = 2
"""Rows of a run that a fruitless row is paired with. Two that differ in a word or two share keys
of few rows more often than others do, and are found in those."""


@compiled(
    types.int64,
    array("uint32"),
    array("uint32"),
    types.int64,
    array("uint64", writable=True),
)
def shared_only(keys: Any, names: Any, bits: int, packed: Any) -> int:
    """`key << 32 | names[row]` of the rows whose key may occur twice; how many there are.

    Without names (of size 0) a row's name is its number.

    A table of 2**bits remembers which keys were seen once and which twice, by their lowest bits.
    """
    seen = np.zeros((1 << bits) // 4, np.uint8)  # two bits a key: the table stays in the cache
    mask = np.int64((1 << bits) - 1)
    for r in range(keys.size):
        place = np.int64(keys[r]) & mask
        shift = (place & 3) * 2
        before = (seen[place >> 2] >> shift) & 3
        seen[place >> 2] |= np.uint8((1 + (before & 1)) << shift)
    found: Any = 0
    for r in range(keys.size):
        place = np.int64(keys[r]) & mask
        packed[found] = (U64(keys[r]) << _32) | U64(r)
        found += (np.int64(seen[place >> 2]) >> ((place & 3) * 2 + 1)) & 1
    if names.size > 0:
        for k in range(found):
            packed[k] = (packed[k] & ~_LOW32) | U64(names[np.int64(packed[k] & _LOW32)])
    return int(found)


@compiled(
    types.UniTuple(types.int64, 3),
    array("uint64"),
    types.int64,
    array("uint8"),
    array("uint64", writable=True),
)
def pair_runs(packed: Any, cap: int, standing: Any, pairs: Any) -> Any:
    """Pairs `worse << 32 | better` of rows with one key.

    `packed` is sorted. In a run of more than `cap` rows only those that are not dropped count, and
    each of them is paired with the best `cap // 2` of them. A fruitless row is paired with the best
    two of a run. `pairs` of size 0 is not written: the call counts.

    Returns:
        How many pairs are made; how many are left out in runs of more than `cap` rows, and how many
        in others.
    """
    made, crowded, passed, at, n = 0, 0, 0, 0, packed.size
    best = np.empty(cap, np.uint64)
    while at < n:
        key, end = packed[at] >> _32, at + 1
        while end < n and packed[end] >> _32 == key:
            end += 1
        size = end - at
        is_crowd = size > cap
        most = cap // 2 if is_crowd else cap
        before, heads = made, 0
        for j in range(at, end):
            row = packed[j] & _LOW32
            stands = standing[np.int64(row)] if standing.size > 0 else OPEN
            if is_crowd and stands == DROPPED:
                continue
            partners = min(heads, FEW) if stands == FRUITLESS else heads
            if pairs.size > 0:
                for i in range(partners):
                    pairs[made + i] = (row << _32) | best[i]
            made += partners
            if heads < most:
                best[heads] = row
                heads += 1
        left = size * (size - 1) // 2 - (made - before)
        if is_crowd:
            crowded += left
        else:
            passed += left
        at = end
    return made, crowded, passed


@compiled(
    types.UniTuple(types.int64, 2),
    array("uint32"),
    array("uint32"),
    array("uint64"),
    types.int64,
    array("uint8"),
    array("uint64", writable=True),
)
def pair_across(keys: Any, rows: Any, new: Any, cap: int, standing: Any, pairs: Any) -> Any:
    """Pairs `new row << 32 | old row` of rows with the same key; their number, that of the skipped.

    `keys` of old rows ascend, `rows` are theirs; `new` is sorted `key << 32 | row`. A new row is
    paired with the best `cap` old rows of its key, a fruitless one with the best two. What `pairs`
    has no room for is counted only.
    """
    made, skipped, at, n = 0, 0, 0, keys.size
    for j in range(new.size):
        key, row = np.uint32(new[j] >> _32), new[j] & _LOW32
        step = 1
        while at + step < n and keys[at + step] < key:
            at += step
            step *= 2
        while step > 0:
            if at + step <= n and keys[at + step - 1] < key:
                at += step
            else:
                step //= 2
        is_open = standing.size == 0 or standing[np.int64(row)] != FRUITLESS
        end, most = at, cap if is_open else FEW
        while end < n and end - at < most and keys[end] == key:
            if made < pairs.size:
                pairs[made] = (row << _32) | U64(rows[end])
            made += 1
            end += 1
        if end - at == most and end < n and keys[end] == key:
            low, high = end, n  # the end of the run, by bisection
            while low < high:
                middle = (low + high) // 2
                if keys[middle] <= key:
                    low = middle + 1
                else:
                    high = middle
            skipped += low - end
    return made, skipped


@compiled(types.void, array("uint64"), array("uint64"), array("bool_", writable=True))
def absent(old: Any, new: Any, found: Any) -> None:
    """Whether each of the ascending numbers `new` is not among the ascending numbers `old`.

    The steps in `old` double until they are too long: a few new numbers cost little, and many cost
    one pass.
    """
    at, n = 0, old.size
    for k in range(new.size):
        step = 1
        while at + step < n and old[at + step] < new[k]:
            at += step
            step *= 2
        while step > 0:
            if at + step <= n and old[at + step - 1] < new[k]:
                at += step
            else:
                step //= 2
        found[k] = at == n or old[at] != new[k]


@compiled(types.int64, array("uint64"), array("uint64"), array("uint64", writable=True))
def merge(one: Any, other: Any, both: Any) -> int:
    """Two ascending sets of numbers as one, each number once; how many there are."""
    i, j, n = 0, 0, 0
    while i < one.size and j < other.size:
        a, b = one[i], other[j]
        both[n] = min(a, b)
        n += 1
        i += a <= b
        j += b <= a
    both[n : n + one.size - i] = one[i:]
    n += one.size - i
    both[n : n + other.size - j] = other[j:]
    return int(n + other.size - j)


@compiled(types.void, array("uint64"), types.boolean, array("int32", writable=True))
def count_rows(pairs: Any, both: bool, counts: Any) -> None:
    """Add to `counts` in how many pairs each row is the worse one, or with `both` either one."""
    for k in range(pairs.size):
        counts[np.int64(pairs[k] >> _32)] += 1
        if both:
            counts[np.int64(pairs[k] & _LOW32)] += 1


@inlined
def shared(one: Any, a: int, a_end: int, two: Any, b: int, b_end: int, needed: int) -> int:
    """How many numbers two sorted sets share; -1 once it must be fewer than `needed`."""
    found = 0
    spare_a, spare_b = a_end - a - needed, b_end - b - needed
    while a < a_end and b < b_end:
        x, y = one[a], two[b]
        less, more = x < y, x > y
        found += 1 - (less + more)
        spare_a -= less
        spare_b -= more
        a += 1 - more
        b += 1 - less
        if spare_a < 0 or spare_b < 0:
            return -1
    return found


@compiled(
    types.void,
    array("uint64"),
    array("int64"),
    array("uint64"),
    array("int64"),
    array("uint64"),
    types.float64,
    array("float64", writable=True),
)
def similarities(
    worse: Any, worse_at: Any, better: Any, better_at: Any, pairs: Any, threshold: float, found: Any
) -> None:
    """Jaccard of every pair; 0 where it is below the threshold."""
    for k in range(pairs.size):
        i, j = np.int64(pairs[k] & _LOW32), np.int64(pairs[k] >> _32)
        a, a_end, b, b_end = worse_at[j], worse_at[j + 1], better_at[i], better_at[i + 1]
        both = a_end - a + b_end - b
        found[k] = 0.0
        if a == a_end or b == b_end:
            continue
        # One fewer than the bound, against rounding: what is decided is the quotient below.
        needed = np.int64(threshold * both / (1.0 + threshold)) - 1
        if needed > min(a_end - a, b_end - b):
            continue
        common = shared(worse, a, a_end, better, b, b_end, max(int(needed), 0))
        if common > 0:
            jaccard = common / (both - common)
            if jaccard >= threshold:
                found[k] = jaccard


@compiled(
    types.void,
    array("uint64"),
    array("float64"),
    array("int64", writable=True),
    array("float64", writable=True),
)
def keep_in_order(pairs: Any, jaccards: Any, kept_by: Any, jaccard: Any) -> None:
    """Greedy independent set; `pairs` are sorted, `kept_by[i]` is i and `jaccard[i]` 1 before."""
    for k in range(pairs.size):
        i, j = np.int64(pairs[k] & _LOW32), np.int64(pairs[k] >> _32)
        if kept_by[i] == i and (kept_by[j] == j or jaccards[k] > jaccard[j]):
            kept_by[j], jaccard[j] = i, jaccards[k]


@compiled(types.void, array("uint64"), array("int64", writable=True))
def unite(pairs: Any, label: Any) -> None:
    """Union-find with path halving; `label[i]` is i before, the smallest of its cluster after."""
    for k in range(pairs.size):
        i: Any = np.int64(pairs[k] & _LOW32)
        j: Any = np.int64(pairs[k] >> _32)
        while label[i] != i:
            label[i] = label[label[i]]
            i = label[i]
        while label[j] != j:
            label[j] = label[label[j]]
            j = label[j]
        if i < j:
            label[j] = i
        elif j < i:
            label[i] = j
    for i in range(label.size):
        label[i] = label[label[i]]
