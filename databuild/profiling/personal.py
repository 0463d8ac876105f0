"""Examples without personal data: what a profile shows of columns that hold some."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from databuild.profiling.facts import Example
from databuild.text.masking import RowMask
from databuild.text.pii import TYPES
from databuild.text.pseudonyms import Placeholders

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_SPANS = "_pii"
_Told = TypeVar("_Told")


def personal_columns(names: Iterable[str]) -> frozenset[str]:
    """The columns in which personal data was looked for: those `<c>` with spans in `<c>_pii`.

    Example:
        >>> personal_columns(["prompt", "response", "response_pii"])
        frozenset({'response'})
    """
    return frozenset(name.removesuffix(_SPANS) for name in names if name.endswith(_SPANS))


def without_personal(found: _Told, columns: Collection[str]) -> _Told:
    """A profile or difference in which the examples of some columns are masked.

    Masked is what `text.pii` finds in the text that is shown, by placeholders such as `[EMAIL]`. A
    text that is shown in part loses its last word, of which more may follow. Records that never
    became rows are masked where any column is.

    Args:
        found: What was found out: dataclasses and tuples of them.
        columns: Whose examples are masked.

    Example:
        >>> one = Example("r1", "prompt", "I am ann@lee.org", 16)
        >>> without_personal((one,), {"prompt"})[0].text
        'I am [EMAIL]'
    """
    return _walked(found, columns) if columns else found


def _walked(value: Any, columns: Collection[str]) -> Any:
    if isinstance(value, Example):
        return _masked(value) if value.column in {*columns, "raw"} else value
    if isinstance(value, tuple):
        return tuple(_walked(one, columns) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: getattr(value, f.name) for f in fields(value)}
        return replace(value, **{name: _walked(one, columns) for name, one in changed.items()})
    return value


def _masked(one: Example) -> Example:
    text = one.text
    if one.n_chars > len(text):
        text = re.sub(r"\S+$", "", text)
    texts = [text, one.evidence]
    mask = RowMask(Placeholders(), TYPES, texts)
    text, evidence = (mask.mask(part)[0] for part in texts)
    return replace(one, text=text, evidence=evidence)
