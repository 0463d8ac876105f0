"""The program in an answer: what stands between its code fences."""

from __future__ import annotations

import re
from typing import Literal

Block = Literal["first", "last", "all"]
_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.M | re.S
)
_PYTHON = frozenset({"", "python", "py", "python3", "py3"})


def find_code(text: str, block: Block = "first") -> str:
    r"""The Python code of an answer.

    What stands between fences (three or more backticks or tildes at the beginning of a line) that
    name Python or nothing: the `first` such block, the `last`, or `all` of them, joined by line
    feeds. A fence that never closes reaches to the end. Without such a block, the whole text.

    Example:
        >>> text = "Run:\n```sh\nls\n```\n```python\nx = 1\n```\nor\n```\nx = 2\n"
        >>> find_code(text), find_code(text, "last"), find_code("x = 3")
        ('x = 1\n', 'x = 2\n', 'x = 3')
    """
    blocks = [found[3] for found in _FENCE.finditer(text) if found[2].lower() in _PYTHON]
    if not blocks:
        return text
    return "\n".join(blocks) if block == "all" else blocks[0 if block == "first" else -1]
