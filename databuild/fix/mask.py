"""fix.mask: personal data and secrets replaced by placeholders or pseudonyms."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha512
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from databuild.engine.step import Produced, step
from databuild.errors import SchemaError
from databuild.fix.record import with_notes
from databuild.fix.talks import mirrors_of, talk_columns
from databuild.recipe.options import Columns, Names, StepConfig
from databuild.text.conversations import has_conversations
from databuild.text.faults import known_names
from databuild.text.masking import RowMask
from databuild.text.nested import CONTENT_AND_MORE, Texts
from databuild.text.pii import TYPES, Span, find_in
from databuild.text.pseudonyms import Placeholders, Pseudonyms, StandIns
from databuild.text.sealing import Seal, secret_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.text.masking import Swap

MAPPING = "pii_mapping"
_KEY_CHARS = 16


class MaskConfig(StepConfig):
    """Options of `fix.mask`."""

    columns: Columns = Field(default=("prompt",), min_length=1)
    """The columns of texts or messages to mask. Equal values of a row have one stand-in in all."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one: with `prompt`, `response`, `chosen` or
    `rejected` every turn is masked, and so is what repeats a turn (`prompt`, `response` and
    `reasoning` of rows with a conversation, `chosen_messages`, `rejected_messages`), whether
    `columns` names it or not. Null (`~`) masks `columns` alone."""
    types: Names = Field(default=TYPES, min_length=1)
    """What to mask; all types that `text.pii` finds."""
    style: Literal["placeholder", "pseudonym"] = "placeholder"
    """`[EMAIL]`, `[EMAIL_2]` ... within a row; or pseudonyms that keep the form of a value and are
    the same for the same value in all rows."""
    key_env: str | None = None
    """Environment variable with the secret (16 characters or more) that pseudonyms depend on;
    without it they depend on the data seed. The secret is no part of the step's key: to mask anew
    with another, delete the step's folder."""
    mapping_key_env: str | None = None
    """Environment variable with a secret (32 characters or more): what was replaced is kept, sealed
    with it, in the column `pii_mapping`, and `databuild unmask` puts it back."""
    spans: Columns = ()
    """Columns of spans that a step of your own found, such as names: lists of `{type, start, end}`
    in code points. The name of each begins with that of the text's column: `prompt_names`. In a row
    with a conversation such a value is masked wherever it stands as a word of its own."""

    @field_validator("types")
    @classmethod
    def _must_be_known(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        return known_names(types, TYPES, "type")


def _adds(config: MaskConfig) -> tuple[str, ...]:
    return (*config.columns, "fixes", *((MAPPING,) if config.mapping_key_env else ()))


@step(
    "fix.mask",
    kind="produce",
    sees="row",
    version=2,
    also=lambda config: talk_columns(config.columns, config.messages),
    mirrors=lambda config: mirrors_of(config.columns, config.messages),
    adds=_adds,
    attributes=("fixes", MAPPING),
    carries=True,
)
def mask_text(rows: pl.DataFrame, config: MaskConfig, *, seed: int) -> Produced:
    """Replace personal data and secrets, in code too, so that `measure.pii` finds none of them.

    What is replaced is what `text.pii` finds, and the spans of the user's own steps. Where a text
    with its stand-ins still reads like data, more of it is replaced until it does not.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `MaskConfig`.
        seed: Pseudonyms depend on it where `key_env` is not set.

    Returns:
        n rows, in order, one parent each. `fixes` notes `mask.<type>` with the number of spans.
        `pii_mapping` is null where nothing was replaced; it holds earlier mappings too.

    Raises:
        StepError: An environment variable is not set or too short, or cryptography is missing.
        SchemaError: A column holds no texts, or spans do not belong to a column that is masked.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["ann@post.org, 81.2.69.142"]})
        >>> mask_text(rows, MaskConfig(), seed=7).rows["prompt"].to_list()
        ['[EMAIL], [IP_ADDRESS]']
    """
    repeating = mirrors_of(config.columns, config.messages)
    others = [*talk_columns(config.columns, config.messages), *repeating]
    others = [column for column in others if column in rows.columns]
    held = {name: Texts(rows[name], CONTENT_AND_MORE, "fix.mask") for name in config.columns}
    held |= _of_talks(rows, config, others)
    stand_ins = _stand_ins(config, seed)
    seal = None
    if config.mapping_key_env:
        seal = Seal(secret_of(config.mapping_key_env, "fix.mask"), "fix.mask")
    work = _Work(held, _found(rows, config, held, others), stand_ins, config.types)
    made = rows.select(pl.concat_list("row_id").alias("parent_ids")).with_columns(
        # A text that repeats no conversation was not looked at, and stays.
        text.put(work.texts[name]).fill_null(rows[name])
        if text.is_flat
        else text.put(work.texts[name])
        for name, text in held.items()
    )
    made = made.with_columns(rows[name] for name in others if name not in held)
    made = made.with_columns(fixes=with_notes(rows, [work.notes()], "fix.mask"))
    if seal is not None:
        made = made.with_columns(_mappings(rows, work.swaps, seal))
    return Produced(rows=made)


def _stand_ins(config: MaskConfig, seed: int) -> StandIns:
    if config.style == "placeholder":
        return Placeholders()
    if config.key_env is None:
        return Pseudonyms(f"seed {seed}".encode())
    secret = secret_of(config.key_env, "fix.mask", _KEY_CHARS)
    return Pseudonyms(sha512(secret.encode()).digest())


def _of_talks(rows: pl.DataFrame, config: MaskConfig, others: Sequence[str]) -> dict[str, Texts]:
    """The conversations beside the columns, and what repeats them: null where there is none."""
    held = {}
    for name in others:
        if has_conversations(rows, name):
            held[name] = Texts(rows[name], CONTENT_AND_MORE, "fix.mask")
        elif rows.schema[name] == pl.String and has_conversations(rows, config.messages):
            repeats = pl.when(pl.col(config.messages or "").is_not_null()).then(name)
            held[name] = Texts(rows.select(repeats.alias(name)).to_series(), where="fix.mask")
    return held


def _found(
    rows: pl.DataFrame, config: MaskConfig, held: dict[str, Texts], others: Sequence[str]
) -> dict[int, dict[tuple[str, int], list[Span]]]:
    """The spans by row, then by column and place in the column's texts."""
    found: dict[int, dict[tuple[str, int], list[Span]]] = {}
    for name, texts in held.items():
        for place, spans in find_in(texts.texts, config.types):
            found.setdefault(int(texts.rows[place]), {})[name, place] = spans
    named: dict[int, set[tuple[str, str]]] = {}
    for own in config.spans:
        name = _column_of(own, config.columns)
        texts = held[name]
        first: dict[tuple[int, int], int] = {}
        for place, who in enumerate(zip(texts.rows.tolist(), texts.items.tolist(), strict=True)):
            first.setdefault(who, place)
        for row, spans in enumerate(rows[own].to_list()):
            for span in spans or ():
                at = first.get((row, span.get("item") or 0))
                text = None if at is None else texts.texts[at]
                if at is None or text is None or not 0 <= span["start"] < span["end"] <= len(text):
                    continue
                more = found.setdefault(row, {}).setdefault((name, at), [])
                more.append(Span(span["start"], span["end"], span["type"]))
                value = text[span["start"] : span["end"]]
                named.setdefault(row, set()).add((value, span["type"]))
    if named and others:
        _add_again(found, {c: text for c, text in held.items() if c in others}, named)
    return found


def _add_again(
    found: dict[int, dict[tuple[str, int], list[Span]]],
    held: Mapping[str, Texts],
    named: Mapping[int, set[tuple[str, str]]],
) -> None:
    """Add the spans of the conversation that hold a value which the user's own step found."""
    for name, texts in held.items():
        for row, places in _places(texts, named).items():
            for place in places:
                text = texts.texts[place] or ""
                for value, kind in sorted(named[row]):
                    spans = [
                        Span(*match.span(), kind)
                        for match in re.finditer(
                            rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", text
                        )
                    ]
                    if spans:
                        found.setdefault(row, {}).setdefault((name, place), []).extend(spans)


def _column_of(own: str, columns: Sequence[str]) -> str:
    fitting = [name for name in columns if own.startswith(f"{name}_")]
    if not fitting:
        what = f"the column {own!r} of spans belongs to none of {list(columns)}"
        fix = "name it after the column of texts, such as prompt_names"
        raise SchemaError("fix.mask", what, fix=fix)
    return max(fitting, key=len)


class _Work:
    """Masked texts of all columns, what was replaced in each row, and how often."""

    def __init__(
        self,
        held: dict[str, Texts],
        found: dict[int, dict[tuple[str, int], list[Span]]],
        stand_ins: StandIns,
        types: tuple[str, ...],
    ) -> None:
        self.swaps: dict[int, dict[str, list[Swap]]] = {}
        self._counts: Counter[tuple[int, str, str]] = Counter()
        changed: dict[str, dict[int, str]] = {name: {} for name in held}
        by_row = {name: _places(texts, found) for name, texts in held.items()}
        for row, spans in found.items():
            mine = [(name, place) for name in held for place in by_row[name].get(row, ())]
            texts = [held[name].texts[place] for name, place in mine]
            mask = RowMask(stand_ins, types, [text for text in texts if text is not None])
            for (name, place), text in zip(mine, texts, strict=True):
                if text is None or (name, place) not in spans:
                    continue
                masked, swaps, kinds = mask.mask(text, spans[name, place])
                changed[name][place] = masked
                self.swaps.setdefault(row, {}).setdefault(name, []).extend(swaps)
                self._counts.update((row, name, f"mask.{kind}") for kind in kinds)
        self.texts = {
            name: texts.texts.clone().scatter(
                list(changed[name]), pl.Series(list(changed[name].values()), dtype=pl.String)
            )
            for name, texts in held.items()
        }

    def notes(self) -> pl.DataFrame:
        schema = {"row": pl.Int64, "column": pl.String, "fix": pl.String, "n": pl.Int64}
        lines = [(*key, n) for key, n in sorted(self._counts.items())]
        return pl.DataFrame(lines, schema=schema, orient="row")


def _places(texts: Texts, rows: Mapping[int, object]) -> dict[int, list[int]]:
    """The places of the texts of some rows."""
    wanted = np.flatnonzero(np.isin(texts.rows, np.fromiter(rows, np.int64, len(rows))))
    places: dict[int, list[int]] = {}
    for place in wanted.tolist():
        places.setdefault(int(texts.rows[place]), []).append(place)
    return places


def _mappings(rows: pl.DataFrame, swaps: dict[int, dict[str, list[Swap]]], seal: Seal) -> pl.Series:
    before = rows[MAPPING].to_list() if MAPPING in rows.columns else [None] * rows.height
    ids = rows["row_id"]
    sealed = [
        ".".join([*([old] if old else []), seal.close(swaps[row], ids[row])])
        if row in swaps
        else old
        for row, old in enumerate(before)
    ]
    return pl.Series(MAPPING, sealed, dtype=pl.String)
