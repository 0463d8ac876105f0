"""Where in a journal's file each key stands: 28 bytes of memory per entry, found in bulk.

A journal's lines begin with `["`, the key as 32 hexadecimal digits, and `", {`. So the keys of a
file can be read as one matrix of bytes, without parsing a line; a line is parsed when it is asked
for. Lines of any other form are named, for somebody to parse them one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


KEY_DIGITS = 32
HEAD_BYTES = 2 + KEY_DIGITS + 3
"""What stands before a line's value: bracket, quote, key, quote, comma, blank."""
_SHORTEST = HEAD_BYTES + 3
_WINDOW = 4 << 20
_LINES = 1 << 16
_NO_DIGIT = 255
_DIGITS = np.full(256, _NO_DIGIT, dtype=np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16, dtype=np.uint8)
_BEFORE, _AFTER = np.frombuffer(b'["', np.uint8), np.frombuffer(b'", {', np.uint8)


class KeyIndex:
    """The keys of a file's lines, each with where the last line that has it begins and ends.

    Args:
        file: The bytes of the file, up to its last newline.

    Example:
        >>> line = b'["0123456789abcdef0123456789abcdef", {"n": 1}]' + bytes([10])
        >>> index = KeyIndex(np.frombuffer(line + b"[3]" + bytes([10]), np.uint8))
        >>> len(index), index.odd
        (1, [(47, 50)])
        >>> index.places(bytes.fromhex("0123456789abcdef" * 2) + bytes(16)).tolist()
        [0, -1]
        >>> index.line(0)
        (0, 46)
    """

    def __init__(self, file: NDArray[np.uint8]) -> None:
        ends = _newlines(file)
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: len(ends)]
        keys, is_plain = _keys(file, starts, ends)
        self.odd = list(zip(starts[~is_plain].tolist(), ends[~is_plain].tolist(), strict=True))
        """Begin and end of every line that is of another form."""
        starts, ends, keys = starts[is_plain], ends[is_plain], keys[is_plain]
        # Stable, so that of equal keys the one that came last stands last.
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        ordered = keys[order]
        is_last = np.ones(len(order), dtype=bool)
        is_last[:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
        order = order[is_last]
        self._high, self._low = ordered[is_last, 0].copy(), ordered[is_last, 1].copy()
        self._starts, self._lengths = starts[order], (ends - starts)[order]

    def __len__(self) -> int:
        return len(self._high)

    def places(self, keys: bytes) -> NDArray[np.int64]:
        """The place of every key, for `line`; -1 for a key that is not there.

        Args:
            keys: Keys of 16 bytes each, one after another.
        """
        wanted = np.frombuffer(keys, dtype=">u8").reshape(-1, 2).astype(np.uint64)
        n = len(self)
        if not n:
            return np.full(len(wanted), -1, dtype=np.int64)
        places = np.searchsorted(self._high, wanted[:, 0])
        while True:  # keys that agree in their first half stand side by side, in order
            at = np.minimum(places, n - 1)
            is_near = (places < n) & (self._high[at] == wanted[:, 0])
            is_before = is_near & (self._low[at] < wanted[:, 1])
            if not is_before.any():
                break
            places[is_before] += 1
        return np.where(is_near & (self._low[at] == wanted[:, 1]), places, -1)

    def line(self, place: int) -> tuple[int, int]:
        """Begin and end (without the newline) of the line at a place."""
        start = int(self._starts[place])
        return start, start + int(self._lengths[place])

    def lines(self, places: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Begin and end of many lines."""
        starts = self._starts[places]
        ends = starts + self._lengths[places]
        return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _newlines(file: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where the newlines stand; a window at a time, which stays in the processor's cache."""
    found = [
        np.flatnonzero(file[start : start + _WINDOW] == ord("\n")) + start
        for start in range(0, len(file), _WINDOW)
    ]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _keys(
    file: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The two halves of every line's key, and whether the line is of the plain form."""
    keys = np.zeros((len(starts), 2), dtype=np.uint64)
    is_plain = ends - starts >= _SHORTEST
    for first in range(0, len(starts), _LINES):
        some = np.flatnonzero(is_plain[first : first + _LINES]) + first
        heads = file[starts[some][:, None] + np.arange(HEAD_BYTES + 1)]
        digits = _DIGITS[heads[:, 2 : 2 + KEY_DIGITS]]
        is_plain[some] = (
            (heads[:, :2] == _BEFORE).all(axis=1)
            & (heads[:, 2 + KEY_DIGITS :] == _AFTER).all(axis=1)
            & (digits != _NO_DIGIT).all(axis=1)
            & (file[ends[some] - 2] == ord("}"))
            & (file[ends[some] - 1] == ord("]"))
        )
        whole = np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2])
        keys[some] = whole.view(">u8")
    return keys, is_plain
