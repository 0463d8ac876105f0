r"""What stands in the last `\boxed{...}` of a text."""

from __future__ import annotations

import re

_OPEN = re.compile(r"\\(?:boxed|fbox)\s*\{")


def last_boxed(text: str) -> str | None:
    r"""The content of the last box that closes, braces within it counted; None without one.

    Example:
        >>> last_boxed(r"So \boxed{1}, no: \boxed{\frac{\sqrt{3}}{2}}!")
        '\\frac{\\sqrt{3}}{2}'
        >>> last_boxed(r"\boxed{1")
    """
    for box in reversed(list(_OPEN.finditer(text))):
        depth = 1
        for brace in re.finditer(r"\\.|[{}]", text[box.end() :], re.DOTALL):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if not depth:
                return text[box.end() : box.end() + brace.start()].strip()
    return None
