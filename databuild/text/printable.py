"""Text as it may be shown: nothing in it steers a terminal or turns what stands around it."""

from __future__ import annotations

# C0 and DEL have visible pictures (U+2400 ...); C1, which some terminals obey like ESC, and the
# signs that turn the direction of writing have none.
_SHOWN = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"},
    0x7F: "\u2421",
    **dict.fromkeys(range(128, 160), "�"),
    **dict.fromkeys((*range(8234, 8239), *range(8294, 8298)), "�"),
    0x2028: "\n",
    0x2029: "\n",
}


def printable(text: str) -> str:
    r"""A text in which every control character but line break and tab is replaced by a sign.

    Example:
        >>> printable("red: \x1b[31m, bell: \x07, line\nbreak")
        'red: ␛[31m, bell: ␇, line\nbreak'
    """
    return text.replace("\r\n", "\n").translate(_SHOWN)
