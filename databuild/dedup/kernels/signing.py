"""MinHash signatures of shingles, and the keys of their bands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from databuild.dedup.kernels.folding import (
    IS_NULL,
    IS_SLOW,
    TABLE,
    TEXTS,
    fold,
    longest,
    mixed,
)
from databuild.dedup.kernels.jit import U64, array, compiled, inlined

U32 = np.uint32
_MAX = U32(0xFFFFFFFF)


@inlined
def finished32(x: Any) -> Any:
    """MurmurHash3's finalizer of 32 bits, which datasketch applies before its permutations."""
    x = U32(x ^ (x >> U32(16)))
    x = U32(x * U32(0x85EBCA6B))
    x = U32(x ^ (x >> U32(13)))
    x = U32(x * U32(0xC2B2AE35))
    return U32(x ^ (x >> U32(16)))


@inlined
def less(x: Any, y: Any) -> Any:
    """The smaller one, in 32 bits."""
    return x if x < y else y


@inlined
def take_minima(hashes: Any, count: int, a: Any, b: Any, best: Any) -> None:
    """`best[p] = min(a[p] * h + b[p])` modulo 2**32 over the first hashes; all ones of none.

    Four hashes at a time, since reading and writing `best` costs more than the multiplication.
    """
    for p in range(best.size):
        best[p] = _MAX
    for k in range(0, count, 4):
        h0, h1 = hashes[k], hashes[min(k + 1, count - 1)]
        h2, h3 = hashes[min(k + 2, count - 1)], hashes[min(k + 3, count - 1)]
        for p in range(best.size):
            x, y = a[p], b[p]
            low = less(U32(x * h0 + y), U32(x * h1 + y))
            high = less(U32(x * h2 + y), U32(x * h3 + y))
            best[p] = less(best[p], less(low, high))


@compiled(
    types.void,
    array("uint64"),
    array("int64"),
    array("int64"),
    array("uint32"),
    array("uint32"),
    array("uint32", writable=True, ndim=2),
)
def sign_hashes(hashes: Any, offsets: Any, rows: Any, a: Any, b: Any, signatures: Any) -> None:
    """The minima over the sets of some rows under every permutation of the upper 32 bits."""
    best, few = np.empty(a.size, np.uint32), np.empty(4096, np.uint32)
    for k in range(rows.size):
        at, end = offsets[rows[k]], offsets[rows[k] + 1]
        if few.size < end - at:
            few = np.empty(end - at, np.uint32)
        for i in range(end - at):
            few[i] = U32(hashes[at + i] >> U64(32))
        take_minima(few, end - at, a, b, best)
        for p in range(best.size):
            signatures[k, p] = best[p]


@compiled(
    types.void,
    array("uint32", ndim=2),
    types.int64,
    array("uint32", writable=True, ndim=2),
)
def key_bands(signatures: Any, rows: int, keys: Any) -> None:
    """`keys[band, r]`: one 32-bit hash of `rows` minima of row r."""
    for r in range(signatures.shape[0]):
        for band in range(keys.shape[0]):
            h = U64(rows)
            for k in range(band * rows, (band + 1) * rows):
                h = mixed(h ^ U64(signatures[r, k]))
            keys[band, r] = U32(h >> U64(32))


@compiled(
    types.void,
    array("uint64"),
    array("int64"),
    array("int64"),
    array("uint32"),
    array("uint32"),
    types.int64,
    array("uint32", writable=True, ndim=2),
)
def key_sets(hashes: Any, offsets: Any, rows: Any, a: Any, b: Any, size: int, keys: Any) -> None:
    """As `sign_hashes` and `key_bands` of `size` minima, of one set after the other."""
    best, few = np.empty(a.size, np.uint32), np.empty(4096, np.uint32)
    for r in range(rows.size):
        at, end = offsets[rows[r]], offsets[rows[r] + 1]
        if few.size < end - at:
            few = np.empty(end - at, np.uint32)
        for i in range(end - at):
            few[i] = U32(hashes[at + i] >> U64(32))
        take_minima(few, end - at, a, b, best)
        for band in range(keys.shape[0]):
            h = U64(size)
            for k in range(band * size, (band + 1) * size):
                h = mixed(h ^ U64(best[k]))
            keys[band, r] = U32(h >> U64(32))


@inlined
def turned(x: Any, by: int) -> Any:
    """Rotate 32 bits to the left."""
    return U32((x << U32(by)) | (x >> U32(32 - by)))


@inlined
def sha1_start(data: Any, start: int, size: int, block: Any, w: Any) -> Any:
    """The first 4 bytes of the SHA-1 (FIPS 180-4) of some bytes, read as little-endian."""
    h0, h1, h2 = U32(0x67452301), U32(0xEFCDAB89), U32(0x98BADCFE)
    h3, h4 = U32(0x10325476), U32(0xC3D2E1F0)
    blocks = (size + 8) // 64 + 1
    for which in range(blocks):
        for k in range(64):
            place = which * 64 + k
            byte = np.uint8(0)
            if place < size:
                byte = data[start + place]
            elif place == size:
                byte = np.uint8(0x80)
            block[k] = byte
        if which == blocks - 1:
            for k in range(8):
                block[56 + k] = np.uint8((size * 8) >> (56 - 8 * k))
        for t in range(16):
            w[t] = U32(
                (U32(block[4 * t]) << U32(24))
                | (U32(block[4 * t + 1]) << U32(16))
                | (U32(block[4 * t + 2]) << U32(8))
                | U32(block[4 * t + 3])
            )
        for t in range(16, 80):
            w[t] = turned(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1)
        a, b, c, d, e = h0, h1, h2, h3, h4
        for t in range(80):
            if t < 20:
                f, k32 = U32((b & c) | (~b & d)), U32(0x5A827999)
            elif t < 40:
                f, k32 = U32(b ^ c ^ d), U32(0x6ED9EBA1)
            elif t < 60:
                f, k32 = U32((b & c) | (b & d) | (c & d)), U32(0x8F1BBCDC)
            else:
                f, k32 = U32(b ^ c ^ d), U32(0xCA62C1D6)
            turn = U32(turned(a, 5) + f + e + k32 + w[t])
            a, b, c, d, e = turn, a, turned(b, 30), c, d
        h0, h1, h2 = U32(h0 + a), U32(h1 + b), U32(h2 + c)
        h3, h4 = U32(h3 + d), U32(h4 + e)
    return U32(
        (h0 >> U32(24)) | ((h0 >> U32(8)) & U32(0xFF00)) | ((h0 << U32(8)) & U32(0xFF0000))
        | (h0 << U32(24))
    )  # fmt: skip


@compiled(
    types.void,
    *TEXTS,
    types.boolean,
    types.int64,
    TABLE,
    array("uint32"),
    array("uint32"),
    array("uint32", writable=True, ndim=2),
    array("uint8", writable=True),
)
def sign_texts(
    data: Any, offsets: Any, nulls: Any, folded: bool, ngram: int, table: Any,
    a: Any, b: Any, signatures: Any, state: Any,
) -> None:  # fmt: skip
    """As `sign_hashes`, of the SHA-1 of the tokens of every shingle joined by U+001F.

    A text without a token is left slow. With an `ngram` of 0 texts are hashed as they stand.
    """
    most = longest(offsets)
    out = np.empty(4 * most + 64, np.uint8)
    line = np.empty(4 * most + 64, np.uint8)
    starts = np.empty(most + 2, np.int64)
    block, w = np.empty(64, np.uint8), np.empty(80, np.uint32)
    best = np.empty(a.size, np.uint32)
    nothing = np.empty(0, np.int64)
    hashed = np.empty(most + 2, np.uint32)
    for r in range(offsets.size - 1):
        made, length = 0, 0
        state[r] = 0
        if nulls.size > 0 and nulls[r] != 0:
            state[r] = IS_NULL
        elif folded:
            length = offsets[r + 1] - offsets[r]
            for k in range(length):
                out[k] = data[offsets[r] + k]
        else:
            length = fold(data, offsets[r], offsets[r + 1], table, out, nothing)
            if length < 0:
                state[r] = IS_SLOW
        if state[r] == 0 and ngram == 0:
            hashed[0] = finished32(sha1_start(out, 0, length, block, w))
            made = 1
        elif state[r] == 0:
            count, size, within = 0, 0, False
            for k in range(length):
                if out[k] == 0:
                    within = False
                    continue
                if not within:
                    if count > 0:
                        line[size] = 0x1F
                        size += 1
                    starts[count] = size
                    count += 1
                    within = True
                line[size] = out[k]
                size += 1
            if count == 0:
                state[r] = IS_SLOW
            starts[count] = size + 1
            made = max(count - ngram + 1, min(count, 1))
            for t in range(made):
                last = min(t + ngram, count)
                h = sha1_start(line, starts[t], starts[last] - 1 - starts[t], block, w)
                hashed[t] = finished32(h)
        take_minima(hashed, made, a, b, best)
        for p in range(best.size):
            signatures[r, p] = best[p]
