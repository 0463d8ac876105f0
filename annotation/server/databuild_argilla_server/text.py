"""How text becomes searchable words: the same for what is stored and for what is asked."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from typing import Any

# Scripts that write no spaces between words: each character becomes a word, and a run of them a
# phrase. Han, Kana, Hangul, Bopomofo, Thai, Lao, Tibetan, Myanmar, Khmer.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff"
    "\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])"
)
_WORD = re.compile(r"\w")


def searchable(text: str) -> str:
    """Text as it is indexed: NFKC, with a space around each character of an unspaced script.

    Example:
        >>> searchable("Ask ＡＩ 你好!")
        'Ask AI  你  好 !'
    """
    if text.isascii():
        return text
    return _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFKC", text))


def has_words(text: str) -> bool:
    """Whether anything of it is searched for; punctuation alone is not.

    Example:
        >>> has_words("?!"), has_words("a!"), has_words("你")
        (False, True, True)
    """
    return _WORD.search(text) is not None


def column_text(fields: str | None, names: str | None, column: int, last: int) -> str:
    """The searchable text of one column of the index; called by SQLite's triggers.

    Args:
        fields: A record's fields as JSON.
        names: The names of the data set's fields as a JSON array, in the order of the columns.
        column: Which column; -1 for the fields that have none.
        last: The last column holds its own field and all further ones.
    """
    texts = _texts(fields or "{}", names or "[]")
    return "\n".join(texts[column:]) if column == last else "".join(texts[column : column + 1])


@lru_cache(maxsize=8)  # one record is asked for once a column
def _texts(fields: str, names: str) -> list[str]:
    values = json.loads(fields) or {}
    return [searchable(_plain(values.get(name))) for name in json.loads(names)]


def _plain(value: Any) -> str:
    """The words that a person sees in a field; of a chat the turns and not their roles."""
    if value is None:
        return ""
    if isinstance(value, str):
        # A picture is stored as data and has no words.
        return "" if value.startswith("data:") else value
    if isinstance(value, list):
        return "\n".join(_plain(item) for item in value)
    if isinstance(value, dict):
        if set(value) == {"role", "content"}:
            return _plain(value["content"])
        return "\n".join(_plain(item) for item in value.values())
    return str(value)
