"""128-bit hashes of texts in plain normal form: what `dedup.exact` compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from databuild.dedup.tokenizing import as_bytes
from databuild.text.whitespace import collapsed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WHITE = b"\t\n\x0b\x0c\r "
IN_NEED, READY = 0, 1
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Plain(NamedTuple):
    """Which differences between texts do not count."""

    width: bool
    case: bool
    whitespace: bool
    punctuation: bool


def form_hashes(columns: list[pl.Series], plain: Plain) -> NDArray[np.uint64]:
    """Hash several texts of each row together.

    Args:
        columns: One or more columns of N texts. Their borders count, and so does which is null.
        plain: Which differences do not count.

    Returns:
        N rows of two numbers, equal where all texts are equal in their normal form. Two different
        ones agree with a probability of about 2**-120.

    Example:
        >>> found = form_hashes([pl.Series(["Hi  all", " hi ALL"])], Plain(True, True, True, False))
        >>> bool((found[0] == found[1]).all())
        True
    """
    found = np.zeros((len(columns[0]), 2), np.uint64)
    for column in columns:
        found = (found ^ (found >> np.uint64(29))) * _MIX + _hashed(column, plain)
    return found


def normal_form(text: pl.Expr, plain: Plain) -> pl.Expr:
    """The normal form as Polars makes it: for texts that are not ASCII."""
    text = text.str.normalize("NFKC" if plain.width else "NFC")
    if plain.case:
        text = text.str.to_lowercase()
    if plain.punctuation:
        bare = text.str.replace_all(r"[\p{P}\p{S}]", "")
        # "?" and "!" must not become equal because nothing is left of either.
        text = pl.when(bare.str.contains(r"\S")).then(bare).otherwise(text)
    return collapsed(text) if plain.whitespace else text


def _hashed(texts: pl.Series, plain: Plain) -> NDArray[np.uint64]:
    from databuild.dedup.kernels.plain import hash_plain

    texts = texts.cast(pl.String)
    found, slow = np.empty((len(texts), 2), np.uint64), np.empty(len(texts), np.uint8)
    hash_plain(*as_bytes(texts), IN_NEED, *_tables(plain), found, slow)
    place = np.flatnonzero(slow)
    if len(place):
        some = texts.gather(place).alias("text").to_frame()
        ready = some.select(normal_form(pl.col("text"), plain)).to_series()
        hashes, not_slow = np.empty((len(ready), 2), np.uint64), np.empty(len(ready), np.uint8)
        hash_plain(*as_bytes(ready), READY, *_tables(plain), hashes, not_slow)
        found[place] = hashes
    return found


def _tables(plain: Plain) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What each ASCII byte becomes, and whether it is white space or left out."""
    forms, kinds = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
    if plain.case:
        forms[65:91] += 32
    if plain.punctuation:
        signs = [c for c in range(33, 127) if not chr(c).isalnum()]
        kinds[signs] = 2  # all of them are of Unicode's classes P and S
    if plain.whitespace:
        kinds[list(_WHITE)] = 1
    return forms, kinds
