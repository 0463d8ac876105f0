"""What every Unicode character becomes in a token, as arrays for the compiled loops."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from databuild.dedup.folding_store import stored
from databuild.text.tokens import UNSPACED, tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What a character does (the low 3 bits of its kind), and what else is told of it.
SEPARATOR, WORD, SINGLE, MANY, SLOW = 0, 1, 2, 3, 4
STABLE, MARK, LENGTH_SHIFT = 8, 16, 5

# Beyond these nothing is assigned but private use; what the table does not know goes to Polars.
_ASSIGNED = ((0, 0xD800), (0xE000, 0x323B0), (0xE0000, 0xE0200))
_SIGMA = "Σ"  # lower-cased by its place in the word


class FoldingTable(NamedTuple):
    """The form of every character after NFKC and lower-casing, cut as `text.tokens` cuts it."""

    ascii: NDArray[np.uint8]
    """Of 128 characters: the folded byte, 0 for a separator."""
    kinds: NDArray[np.uint8]
    """Of 0x110000: SEPARATOR; WORD and SINGLE (a token by itself), of one character, with the
    length of its UTF-8 less one in bits 5 and 6; MANY characters; SLOW: Polars must see the whole
    text. STABLE: NFKC leaves it as it is; MARK: its combining class is in `classes`."""
    forms: NDArray[np.uint32]
    """Of 0x110000: the UTF-8 of its form, the first byte lowest; of MANY: which of `many_at`."""
    classes: NDArray[np.uint8]
    """Of 0x110000: the canonical combining class of a MARK."""
    many_at: NDArray[np.int64]
    """Where in `many` the form of each MANY begins, and the end of the last."""
    many: NDArray[np.uint8]
    """The forms of all MANY, zero bytes between tokens."""


@cache
def folding_table() -> FoldingTable:
    """What each character becomes, asked of Polars (0.4 CPU seconds), so that the loops agree.

    Python's own tables tell which characters can change their neighbours; one that Python does not
    know is SLOW.
    """
    made = stored((__file__, tokens.__code__.co_filename), lambda: _asked()._asdict())
    table = FoldingTable(**made)
    for part in table:
        part.flags.writeable = False
    return table


def _asked() -> FoldingTable:
    characters = [c for a, b in _ASSIGNED for c in map(chr, range(a, b))]
    # What Python does not know yet may change its neighbours: it stays SLOW.
    known = _kinds([c for c in characters if unicodedata.category(c) != "Cn"])
    kinds, forms = np.full(0x110000, SLOW, np.uint8), np.zeros(0x110000, np.uint32)
    points = np.frombuffer("".join(known["c"].to_list()).encode("utf-32-le"), np.uint32)
    kinds[points] = known["kind"].to_numpy()
    forms[points] = known["packed"].to_numpy()
    classes = np.zeros(0x110000, np.uint8)
    for character, combining in _marks().items():
        classes[ord(character)] = combining
        is_mark = combining and character not in _joining() and kinds[ord(character)] & STABLE
        kinds[ord(character)] = kinds[ord(character)] | MARK if is_mark else SLOW
    cuts = known.filter(pl.col("kind") == MANY).get_column("cut").to_list()
    ascii_ = [ord(chr(p).lower()) if chr(p).isalnum() or p == ord("_") else 0 for p in range(128)]
    sizes = [0, *(len(cut.encode()) for cut in cuts)]
    return FoldingTable(
        np.array(ascii_, np.uint8),
        kinds,
        forms,
        classes,
        np.cumsum(sizes, dtype=np.int64),
        np.frombuffer("".join(cuts).encode() + b"\0", np.uint8),
    )


def _kinds(characters: list[str]) -> pl.DataFrame:
    """`c`, `kind: u8`, `packed: u32` (see `FoldingTable.forms`) and `cut` of the characters."""
    c, form, kind = pl.col("c"), pl.col("form"), pl.col("kind")
    rows = pl.DataFrame({"c": characters}, schema={"c": pl.String}).with_columns(
        normal=c.str.normalize("NFKC")
    )
    rows = rows.with_columns(form=pl.col("normal").str.to_lowercase())
    is_one = form.str.len_chars() == 1
    of_one = (
        pl.when(form.str.contains(f"[{UNSPACED}]")).then(SINGLE)
        .when(form.str.contains(r"\w")).then(WORD).otherwise(SEPARATOR)
    )  # fmt: skip
    length = (form.str.len_bytes() - 1).cast(pl.UInt8) * (1 << LENGTH_SHIFT)
    stable = (pl.col("normal") == c).cast(pl.UInt8) * STABLE
    is_slow = pl.col("normal").str.contains(_SIGMA, literal=True)
    rows = rows.with_columns(
        kind=pl.when(is_slow).then(SLOW).when(is_one).then(of_one + stable + length).otherwise(MANY)
    ).join(_cuts(rows.filter(~is_one & ~is_slow)), on="c", how="left", maintain_order="left")
    rows = rows.with_columns(
        kind=pl.when((kind == MANY) & pl.col("cut").is_null()).then(SLOW).otherwise(kind)
    )
    which = (kind == MANY).cum_sum() - 1
    packed = pl.when(kind == MANY).then(which).otherwise(_packed(rows["form"]))
    return rows.select("c", "cut", kind=kind.cast(pl.UInt8), packed=packed.cast(pl.UInt32))


def _cuts(rows: pl.DataFrame) -> pl.DataFrame:
    """The forms of `c` that are of several characters, zero characters between tokens.

    Without the longest ones, which are rare: for a text the loops have room for four times its
    bytes, and for as many tokens as it has bytes.
    """
    cut, c = pl.col("cut"), pl.col("c")
    word = pl.col("form").str.replace_all(rf"[^\w{UNSPACED}]", "\0")
    cuts = rows.select("c", cut=word.str.replace_all(f"([{UNSPACED}])", "\0$1\0"))
    tokens = cut.str.strip_chars("\0").str.split("\0").list.len()
    return cuts.filter(cut.str.len_bytes() <= 3 * c.str.len_bytes(), tokens <= c.str.len_bytes())


def _packed(forms: pl.Series) -> pl.Series:
    """The first four bytes of the UTF-8 of every text as one number, the first byte lowest."""
    joined = np.frombuffer("".join(forms.to_list()).encode() + bytes(4), np.uint8)
    sizes = forms.str.len_bytes().to_numpy().astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    found = np.zeros(len(sizes), np.uint32)
    for k in range(4):
        byte = np.where(sizes > k, joined[starts + np.minimum(k, sizes)], 0)
        found |= byte.astype(np.uint32) << np.uint32(8 * k)
    return pl.Series(found)


@cache
def _joining() -> frozenset[str]:
    """Characters that compose with one before them (NFC_Quick_Check=Maybe, UAX #15)."""
    found = {
        chr(p) for p in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
    }  # Hangul vowels, ends
    for character, parts in _decompositions().items():
        if not parts.startswith("<") and " " in parts:
            second = chr(int(parts.split(" ")[1], 16))
            if unicodedata.normalize("NFC", unicodedata.normalize("NFD", character)) == character:
                found.add(second)
    return frozenset(found)


@cache
def _marks() -> dict[str, int]:
    """Characters whose decomposition begins with one that can change what is before it.

    With its own combining class; 0 for those that have none.
    """
    found = {
        c: unicodedata.combining(c)
        for c in map(chr, range(0x300, 0x20000))
        if unicodedata.combining(c)
    }
    found |= dict.fromkeys(_joining() - set(found), 0)
    for character in _decompositions():
        first = unicodedata.normalize("NFKD", character)[0]
        if unicodedata.combining(first) or first in _joining():
            found[character] = unicodedata.combining(character)
    return found


@cache
def _decompositions() -> dict[str, str]:
    found = ((c, unicodedata.decomposition(c)) for c in map(chr, range(0x80, 0x30000)))
    return {c: parts for c, parts in found if parts}


def opens(character: str) -> bool:
    """Whether NFKC never joins a character with what is before it.

    Example:
        >>> opens("e"), opens("\u0301")
        (True, False)
    """
    return character not in _marks() and unicodedata.category(character) != "Cn"
