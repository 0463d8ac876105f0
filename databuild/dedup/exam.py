"""The items of benchmark test sets, and the index by which rows that hold them are found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.dedup.tokenizing import token_hashes
from databuild.errors import SchemaError
from databuild.text.lookalikes import unmasked
from databuild.text.tokens import UNSPACED, folded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from databuild.dedup.kernels.overlap import Index

    Ints = NDArray[np.int64]
    Hashes = NDArray[np.uint64]
    Flags = NDArray[np.bool_]

_EDITED = 10  # of so many words one may be another
_LOST = 15  # percent of the tokens that such edits cost at most: "$2,300" is two, "isn't" too
# Short items are much alike ("Write a function to find the ... of a ..."): where less than so many
# tokens agree, all but the edited must.
_ENOUGH = 20
_FILTER_BITS = 32  # bits of the filter per gram: one of a thousand others passes
_CROWD = 64  # a gram that stands in more items than this is no help in finding them
PLACE = ("source_file", "source_record")


@dataclass(frozen=True)
class Rules:
    """When a row holds an item; see `ContaminationConfig`."""

    n: int
    min_share: float
    min_tokens: int
    max_items: int
    edited: bool


@dataclass(frozen=True)
class Exam:
    """All items and their index.

    `items` has one row per item of a set and column: `set`, `item` (its row_id), `source_file`,
    `source_record`, `column`, `text`, and `number`: its number in the index, the same for the same
    tokens, null where it is too short to be looked for. In the order of the sets, then by id.
    """

    items: pl.DataFrame
    index: Index
    n_own_I: Ints
    """How many tokens of each item of the index count."""

    @cached_property
    def first(self) -> dict[int, dict[str, Any]]:
        """Of each number the first item."""
        known = self.items.drop_nulls("number").unique("number", keep="first")
        return {row["number"]: row for row in known.iter_rows(named=True)}

    @cached_property
    def sizes(self) -> pl.DataFrame:
        """Of each set, in order: `set`, `items`, and how many of them are too short."""
        is_short = pl.col("number").is_null().all().over("set", "item")
        return (
            self.items.with_columns(is_short=is_short).unique(["set", "item"], maintain_order=True)
            .group_by("set", maintain_order=True)
            .agg(pl.len().alias("items"), pl.col("is_short").sum())
        )  # fmt: skip


def read_exam(tables: Mapping[str, pl.DataFrame], columns: Sequence[str], rules: Rules) -> Exam:
    """Cut the items of all test sets into tokens and index their runs.

    Args:
        tables: The sets by name, each with `row_id` and `columns`.
        columns: The columns of texts, or of lists of texts; each value is an item of its own.
        rules: What is to be found.

    Raises:
        SchemaError: A column holds neither texts nor lists of texts.
    """
    listed = [_listed(table, name, at, c) for at, (name, table) in enumerate(tables.items())
              for c in columns]  # fmt: skip
    items = pl.concat(listed).sort("place", "item", "column", maintain_order=True).drop("place")
    plain = unmasked(items["text"])
    tokens = token_hashes(plain)
    starts, lengths = tokens.offsets, np.diff(tokens.offsets)
    unspaced = folded(pl.col("text")).str.count_matches(f"[{UNSPACED}]").fill_null(0)
    n_unspaced = plain.alias("text").to_frame().select(unspaced).to_series().to_numpy()
    words = lengths - n_unspaced / 2
    is_sought = (words >= rules.min_tokens) & (lengths > 0)
    forms = [
        tokens.hashes[starts[i] : starts[i + 1]].tobytes() if is_sought[i] else None
        for i in range(items.height)
    ]
    numbers: dict[bytes, int] = {}
    number = [None if form is None else numbers.setdefault(form, len(numbers)) for form in forms]
    items = items.with_columns(number=pl.Series(number, dtype=pl.Int64))
    index, n_own_I = _index([np.frombuffer(form, dtype=np.uint64) for form in numbers], rules)
    return Exam(items, index, n_own_I)


def _listed(table: pl.DataFrame, name: str, place: int, column: str) -> pl.DataFrame:
    dtype = table.schema[column]
    if dtype == pl.List(pl.String):
        text = pl.col(column).list.join("\n", ignore_nulls=True)
    elif dtype in {pl.String, pl.Null}:
        text = pl.col(column).cast(pl.String)
    else:
        what = f"the column {column!r} of {name!r} holds {dtype}, not text"
        raise SchemaError("dedup.contamination", what, fix="name columns of text in `in_columns`")
    where = [pl.col(c) if c in table.columns else pl.lit(None).alias(c) for c in PLACE]
    return table.select(
        pl.lit(place).alias("place"), pl.lit(name).alias("set"), pl.col("row_id").alias("item"),
        where[0].cast(pl.String), where[1].cast(pl.Int64),
        pl.lit(column).alias("column"), text.alias("text"),
    )  # fmt: skip


def _index(items: Sequence[Hashes], rules: Rules) -> tuple[Index, Ints]:
    lengths_I = np.array([len(item) for item in items], dtype=np.int64)
    counts = _counting(items, rules)
    n_own_I = np.array([int(one.sum()) for one in counts], dtype=np.int64)
    edits_I = n_own_I // _EDITED
    lost_I = np.where(edits_I > 0, n_own_I * _LOST // 100, 0)
    # k edits leave k + 1 runs, one of which has at least this length.
    run_I = np.minimum(rules.n, -(-(n_own_I - lost_I) // (edits_I + 1)))
    run_I = run_I if rules.edited else np.full_like(n_own_I, rules.n)
    # What is too short, or nearly all the exam's own wording, must be there word for word.
    is_whole_I = (n_own_I < rules.min_tokens) | (lengths_I < run_I)
    run_I = np.where(is_whole_I, lengths_I, run_I)
    seeds = _seeds(items, run_I, is_whole_I, rules)
    need_I = np.ceil(rules.min_share * n_own_I - 1e-9).astype(np.int64)
    need_I = np.maximum(need_I, np.minimum(_ENOUGH, n_own_I - lost_I))
    for whole in np.flatnonzero(is_whole_I):
        counts[whole][:] = 1
    made = _table(items, seeds, int(min(rules.n, run_I.min(initial=rules.n))))
    need_I, run_I, n_own_I = (
        np.where(is_whole_I, lengths_I, one) for one in (need_I, run_I, n_own_I)
    )
    flat = np.concatenate([np.empty(0, np.uint8), *counts])
    return made._replace(counts_E=flat, need_I=need_I, run_I=run_I), n_own_I


def _keys(items: Sequence[Hashes], length: int) -> list[Hashes]:
    """The keys of all runs of one length, item by item."""
    from databuild.dedup.kernels.overlap import gram_keys

    made = [np.empty(max(len(item) - length + 1, 0), dtype=np.uint64) for item in items]
    for item, keys in zip(items, made, strict=True):
        gram_keys(item, length, keys)
    return made


def _spread(keys: Sequence[Hashes]) -> list[Ints]:
    """In how many items each run stands, in the shape of the runs."""
    sizes = [len(one) for one in keys]
    flat = pl.DataFrame({
        "key": np.concatenate([np.empty(0, np.uint64), *keys]),
        "item": np.repeat(np.arange(len(keys)), sizes),
    })  # fmt: skip
    found = flat.select(pl.col("item").n_unique().over("key"))["item"].to_numpy().astype(np.int64)
    return np.split(found, np.cumsum(sizes)[:-1]) if keys else []


def _counting(items: Sequence[Hashes], rules: Rules) -> list[NDArray[np.uint8]]:
    """0 for the tokens of runs of n that stand in too many items, else 1."""
    counting = [np.ones(len(item), dtype=np.uint8) for item in items]
    for counts, spread in zip(counting, _spread(_keys(items, rules.n)), strict=True):
        for place in np.flatnonzero(spread > rules.max_items):
            counts[place : place + rules.n] = 0
    return counting


def _seeds(items: Sequence[Hashes], run_I: Ints, is_whole_I: Flags, rules: Rules) -> pl.DataFrame:
    """The grams of the items by which they are found: `key`, `item`, `place`.

    Every run of `run_I` tokens that is not in too many items has one of them, the one that is in
    the fewest. An item that has none is from now on whole: its rarest gram stands for it.
    """
    from databuild.dedup.kernels.overlap import choose_places

    length = int(min(rules.n, run_I.min(initial=rules.n)))
    keys = _keys(items, length)
    spread = _spread(keys)
    spreads = {int(run): _spread(_keys(items, int(run))) for run in np.unique(run_I[~is_whole_I])}
    found = []
    for t in range(len(items)):
        places, n = np.empty(len(items[t]), dtype=np.int64), 0
        if not is_whole_I[t]:
            is_rare = spreads[int(run_I[t])][t] <= rules.max_items
            window = int(run_I[t]) - length + 1
            n = choose_places(spread[t], is_rare, window, _CROWD, places)
        if n == 0:
            is_whole_I[t] = True
            places[0], n = np.argmin(spread[t]), 1
        found.append((keys[t][places[:n]], np.full(n, t), places[:n]))
    none = (np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64))
    columns = [np.concatenate(parts) for parts in zip(none, *found, strict=True)]
    return pl.DataFrame(dict(zip(("key", "item", "place"), columns, strict=True)))


def _table(items: Sequence[Hashes], seeds: pl.DataFrame, length: int) -> Index:
    from databuild.dedup.kernels.overlap import Index, fill_table, power

    postings = seeds.sort("key", "item", "place").unique(
        ["key", "item"], keep="first", maintain_order=True
    )
    grams = postings.group_by("key", maintain_order=True).len()
    n_slots = 1 << max(4, (4 * grams.height).bit_length())
    n_bits = max(10, (_FILTER_BITS * grams.height).bit_length())
    keys_H, gram_H = np.zeros(n_slots, dtype=np.uint64), np.zeros(n_slots, dtype=np.int32)
    filter_B, shift = np.zeros(1 << n_bits - 6, dtype=np.uint64), np.uint64(64 - (n_bits - 6))
    fill_table(grams["key"].to_numpy(), shift, filter_B, keys_H, gram_H)
    none = np.empty(0, dtype=np.int64)
    return Index(
        length=length, top=np.uint64(power(length)), shift=shift,
        filter_B=filter_B, keys_H=keys_H, gram_H=gram_H,
        postings_G=np.concatenate([[0], np.cumsum(grams["len"].to_numpy())]).astype(np.int64),
        item_P=postings["item"].cast(pl.Int32).to_numpy(writable=True),
        place_P=postings["place"].cast(pl.Int32).to_numpy(writable=True),
        starts_I=np.concatenate([[0], np.cumsum([len(one) for one in items])]).astype(np.int64),
        tokens_E=np.concatenate([np.empty(0, np.uint64), *items]),
        counts_E=np.empty(0, np.uint8), need_I=none, run_I=none,
    )  # fmt: skip
