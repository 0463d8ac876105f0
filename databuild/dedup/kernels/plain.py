"""Texts in plain normal form, hashed: one pass over the bytes of ASCII texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from databuild.dedup.kernels.folding import longest, mixed
from databuild.dedup.kernels.jit import U64, array, compiled, inlined, load64

KEEP, WHITE, LEFT_OUT = 0, 1, 2
_HIGH = U64(0x8080808080808080)
_SEED = U64(0x2545F4914F6CDD1D)
_F1, _F2 = U64(0xFF51AFD7ED558CCD), U64(0xC4CEB9FE1A85EC53)


@inlined
def is_ascii(data: Any, start: int, end: int) -> bool:
    """Whether all bytes are below 128."""
    i = start
    while i + 8 <= end:
        if load64(data, i) & _HIGH != U64(0):
            return False
        i += 8
    while i < end:
        if data[i] >= 128:
            return False
        i += 1
    return True


@inlined
def reduce(data: Any, start: int, end: int, forms: Any, kinds: Any, whole: int, out: Any) -> int:
    """Write a text with white space collapsed; its length, -1 if nothing but white space is left.

    Where `whole` is 1, characters that are to be left out stay.
    """
    o, pending, seen = 0, False, False
    for i in range(start, end):
        kind = kinds[data[i]]
        if kind == LEFT_OUT and whole == 0:
            continue
        if kind == WHITE:
            pending = True
            continue
        if pending and o > 0:
            out[o] = 32
            o += 1
        pending, seen = False, True
        out[o] = forms[data[i]]
        o += 1
    return o if seen else -1


@compiled(
    types.void,
    array("uint8"),
    array("int64"),
    array("uint8"),
    types.int64,
    array("uint8"),
    array("uint8"),
    array("uint64", writable=True, ndim=2),
    array("uint8", writable=True),
)
def hash_plain(
    data: Any, offsets: Any, nulls: Any, ready: int, forms: Any, kinds: Any, found: Any, slow: Any
) -> None:
    """Hash every text to 128 bits; `slow` tells those that are not ASCII and are not hashed.

    Where `ready` is 1, texts are in normal form already and are hashed as they are.
    """
    most = longest(offsets)
    out = np.zeros(most + 16, np.uint8)
    for r in range(offsets.size - 1):
        slow[r] = 0
        found[r, 0] = found[r, 1] = U64(0)
        if nulls.size > 0 and nulls[r] != 0:
            continue
        start, end = offsets[r], offsets[r + 1]
        if ready == 1:
            length = end - start
            for k in range(length):
                out[k] = data[start + k]
        elif is_ascii(data, start, end):
            length = reduce(data, start, end, forms, kinds, 0, out)
            if length < 0:
                length = max(reduce(data, start, end, forms, kinds, 1, out), 0)
        else:
            slow[r] = 1
            continue
        for k in range(8):
            out[length + k] = 0
        one, two = mixed(U64(length) ^ _SEED), _SEED
        for k in range(0, length, 8):
            word = mixed(load64(out, k) ^ _F1)
            one = (one ^ word) * _F1
            one = (one << U64(23)) | (one >> U64(41))
            two = ((two << U64(31)) | (two >> U64(33))) * _F2 + word
        found[r, 0], found[r, 1] = mixed(one), mixed(two)
