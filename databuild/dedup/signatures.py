"""MinHash signatures (Broder 1997) under datasketch's `affine32` permutations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.dedup.folding_table import folding_table
from databuild.dedup.shingles import bare_texts
from databuild.dedup.tokenizing import as_bytes, chosen, fold_slowly, in_slices
from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from databuild.dedup.shingles import Shingles
    from databuild.dedup.tokenizing import Texts

PERMUTATIONS, SEED = 128, 1
_SLICE_ROWS = 4096


@cache
def permutations(number: int = PERMUTATIONS) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The factors a (odd) and the terms b of `a * h + b mod 2**32`, as datasketch draws them."""
    generator = np.random.RandomState(SEED)
    a = generator.randint(0, 1 << 31, number, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return a, generator.randint(0, 1 << 32, number, dtype=np.uint32)


def signatures(
    shingles: Shingles,
    number: int = PERMUTATIONS,
    *,
    rows: NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> NDArray[np.uint32]:
    """Sign every set: the minimum of each permutation over the 32-bit hashes of its shingles.

    The permutations are datasketch's `affine32` with seed 1, the hash is our own (the upper half of
    the 64-bit hash), so that no text is read again; `datasketch_signatures` has its hash too.

    Args:
        shingles: N sets.
        number: How many permutations.
        rows: Which sets, in which order; by default all N.
        threads: How many threads; by default as many as Polars has. The result is the same.

    Returns:
        One signature of `number` minima per row. An empty set (a null text) has 2**32 - 1
        everywhere.

    Example:
        >>> from databuild.dedup.shingles import shingle
        >>> one, two = signatures(shingle(pl.Series(["a b c d", "A B, c d."])))
        >>> bool((one == two).all())
        True
    """
    from databuild.dedup.kernels.signing import sign_hashes

    hashes, offsets = np.asarray(shingles.hashes), np.asarray(shingles.offsets)
    rows = np.arange(len(offsets) - 1) if rows is None else np.ascontiguousarray(rows, np.int64)
    a, b = permutations(number)
    found = np.empty((len(rows), number), np.uint32)

    def sign(at: int) -> None:
        here = slice(at, at + _SLICE_ROWS)
        sign_hashes(hashes, offsets, rows[here], a, b, found[here])

    starts = range(0, len(rows), _SLICE_ROWS)
    threads = threads or pl.thread_pool_size()
    if threads == 1 or len(starts) < 2:
        for at in starts:
            sign(at)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(sign, starts))
    return found


def datasketch_signatures(
    texts: Texts, ngram: int = 3, number: int = PERMUTATIONS, *, threads: int | None = None
) -> NDArray[np.uint32]:
    r"""Sign every text as `datasketch.MinHash(num_perm=number, seed=1)` of datasketch 2.0 would.

    Bit for bit: scheme `affine32`, SHA-1 as the hash. A shingle's bytes are its tokens' UTF-8
    joined by U+001F; of a text without a token, U+001F and the folded, collapsed text. A null text
    has the signature of an empty MinHash.

    Args:
        texts: N texts.
        ngram: Tokens of a shingle.
        number: How many permutations (`num_perm`).
        threads: How many threads; by default as many as Polars has. The result is the same.

    Returns:
        N x `number`.

    Example:
        >>> from datasketch import MinHash
        >>> theirs = MinHash(num_perm=128, seed=1)
        >>> theirs.update_batch([b"a\x1fb\x1fc", b"b\x1fc\x1fd"])
        >>> ours = datasketch_signatures(pl.Series(["A b c, D"]))
        >>> bool((ours[0] == theirs.hashvalues).all())
        True
    """
    assert ngram >= 1, ngram
    made = in_slices(lambda part: _signed(part, ngram, number), texts, threads)
    return np.concatenate([np.empty((0, number), np.uint32), *made])


def _signed(texts: Texts, ngram: int, number: int) -> NDArray[np.uint32]:
    from databuild.dedup.kernels.folding import IS_SLOW
    from databuild.dedup.kernels.signing import sign_texts

    def run(texts: Texts, ngram: int, *, is_folded: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        found = np.empty((len(texts), number), np.uint32)
        state = np.empty(len(texts), np.uint8)
        part, drawn = as_bytes(texts), permutations(number)
        sign_texts(*part, is_folded, ngram, folding_table(), *drawn, found, state)
        return found, state

    found, state = run(texts, ngram, is_folded=False)
    slow = np.flatnonzero(state == IS_SLOW)
    if len(slow):
        found[slow], bare = run(fold_slowly(chosen(texts, slow)), ngram, is_folded=True)
        slow = slow[bare == IS_SLOW]
        if len(slow):
            found[slow], _ = run(bare_texts(chosen(texts, slow)), 0, is_folded=True)
    return found


def to_lsh(found: NDArray[np.uint32], ids: Sequence[Hashable], bands: int, rows: int) -> Any:
    """Put signatures of `datasketch_signatures` into a `datasketch.MinHashLSH`.

    Args:
        found: N signatures.
        ids: N keys under which the library stores them.
        bands: Bands of the index.
        rows: Minima of a band; `bands * rows` is at most the number of permutations.

    Raises:
        StepError: datasketch is not installed.
    """
    library = _datasketch()
    index = library.MinHashLSH(num_perm=found.shape[1], params=(bands, rows))
    with index.insertion_session() as session:
        for key, values in zip(ids, found, strict=True):
            signature = library.MinHash(
                num_perm=found.shape[1], seed=SEED, hashvalues=values, scheme="affine32"
            )
            session.insert(key, signature)
    return index


def from_lsh(index: Any) -> tuple[list[Hashable], NDArray[np.uint32]]:
    """Take the keys and the minima out of a `datasketch.MinHashLSH` of scheme `affine32`.

    Returns:
        The keys, and for each the `b * r` minima that the index holds (the first of its
        permutations), as `banding.band_keys` reads them with the same bands and rows.

    Raises:
        StepError: The index was made with another scheme or with a hash of its bands.
    """
    scheme = getattr(index, "_minhash_scheme", None)
    if scheme not in (None, "affine32") or index.hashfunc is not None:
        what = f"the index is of scheme {scheme!r} with hashfunc {index.hashfunc}"
        fix = "make it anew with datasketch 2.0's default scheme and without a hashfunc"
        raise StepError("dedup.minhash", what, fix=fix)
    ids = list(index.keys)
    rows = [b"".join(index.keys.get(key)) for key in ids]
    width = index.b * index.r
    minima = np.frombuffer(b"".join(rows), ">u4")
    return ids, minima.reshape(-1, width).astype(np.uint32)


def _datasketch() -> Any:
    try:
        import datasketch
    except ImportError as error:
        what = "datasketch is not installed"
        raise StepError("dedup.minhash", what, fix="uv add 'databuild[dedup]'") from error
    return datasketch
