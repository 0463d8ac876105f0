"""Texts by number: the same one for texts of one normal form, found in a table of all forms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from databuild.dedup.kernels.jit import U64, array, compiled, inlined

_NO_TEXT = np.uint32(0xFFFFFFFF)


@inlined
def place_of(forms: Any, one: Any, two: Any) -> Any:
    """Where a form stands in the table, or the empty place where it would."""
    mask = forms.shape[0] - 1
    place = np.int64(one & U64(mask))
    while (forms[place, 0] | forms[place, 1]) != U64(0):
        if forms[place, 0] == one and forms[place, 1] == two:
            break
        place = (place + 1) & mask
    return place


@inlined
def is_known(forms: Any, one: Any, two: Any) -> bool:
    """Whether a form is in the table.

    Another thread may just be writing to it: both halves agree only once they are there, and what
    is overlooked is merely shingled again.
    """
    if forms.shape[0] == 0:
        return False
    place = place_of(forms, one, two)
    return bool(forms[place, 0] == one and forms[place, 1] == two)


@compiled(
    types.int64,
    array("uint64", ndim=2),
    types.int64,
    array("uint64", writable=True, ndim=2),
    array("uint32", writable=True),
    array("uint32", writable=True),
    array("uint8", writable=True),
)
def number_forms(form: Any, begin: int, forms: Any, numbers: Any, text: Any, is_new: Any) -> int:
    """Number the forms, new ones from `begin` on; how many are known then. (0, 0) has no number.

    `forms` and `numbers` are the table, of 2**k places of which at most half are taken.
    """
    known = begin
    for r in range(form.shape[0]):
        one, two = form[r, 0], form[r, 1]
        is_new[r] = 0
        text[r] = _NO_TEXT
        if (one | two) == U64(0):
            continue
        place = place_of(forms, one, two)
        if (forms[place, 0] | forms[place, 1]) == U64(0):
            numbers[place] = known
            forms[place, 0], forms[place, 1] = one, two
            is_new[r] = 1
            known += 1
        text[r] = numbers[place]
    return known


@compiled(
    types.int64,
    array("uint64", writable=True),
    array("int64"),
    array("uint8"),
)
def close_up(flat: Any, counts: Any, stays: Any) -> int:
    """Of lists that stand one after the other, move those that stay together; their length."""
    at, made = 0, 0
    for r in range(counts.size):
        if stays[r] != 0:
            if made != at:
                for k in range(counts[r]):
                    flat[made + k] = flat[at + k]
            made += counts[r]
        at += counts[r]
    return made


@compiled(
    types.void,
    array("uint64"),
    array("int64"),
    array("int64"),
    array("uint64", writable=True),
)
def gather(flat: Any, starts: Any, places: Any, out: Any) -> None:
    """Copy lists: the k-th one from `starts[k]` on to `places[k]`, as long as up to the next."""
    for k in range(starts.size):
        for i in range(places[k + 1] - places[k]):
            out[places[k] + i] = flat[starts[k] + i]
