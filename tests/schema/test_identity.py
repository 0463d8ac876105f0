from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from databuild.schema.identity import (
    add_digests,
    canonical,
    content_ids,
    derive_seed,
    digest_rows,
    occurrences,
    row_ids,
)

ROWS = pl.DataFrame(
    {
        "text": ["a", "ü|=1:x", None],
        "n": [1, None, 3],
        "x": [0.5, float("nan"), 1e-9],
        "tags": [[{"kind": "k", "value": "v"}], [], None],
    },
    schema_overrides={"tags": pl.List(pl.Struct({"kind": pl.String, "value": pl.String}))},
)
GOLDEN = [
    "774c469eb57595846618d9ca8e6edc25",
    "ec295e51b4a00be4496f4f85c35b3fa8",
    "f8507a29e4f28792a022a864c26726bb",
]


def test_ids_are_the_same_on_every_machine_and_in_every_version() -> None:
    """Stored ids must be found again: a change here needs another IDENTITY_VERSION."""
    assert content_ids(ROWS, ROWS.columns).to_list() == GOLDEN


def test_a_column_of_nulls_changes_nothing() -> None:
    wider = ROWS.with_columns(empty=pl.lit(None, dtype=pl.String))
    assert content_ids(wider, wider.columns).equals(content_ids(ROWS, ROWS.columns))


def test_column_order_changes_nothing() -> None:
    assert content_ids(ROWS, ROWS.columns[::-1]).equals(content_ids(ROWS, ROWS.columns))


@given(st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), min_size=2, max_size=8))
def test_different_content_has_different_canonical_text(pairs: list[tuple[str, str]]) -> None:
    rows = pl.DataFrame(pairs, schema={"a": pl.String, "b": pl.String}, orient="row")
    assert canonical(rows, ["a", "b"]).n_unique() == len(set(pairs))


def test_equal_rows_are_numbered_and_get_different_ids() -> None:
    rows = pl.DataFrame(
        {"content_id": ["x", "x", "y", "x"], "parent_ids": [["p"], ["p"], ["p"], ["q"]]}
    )
    numbers = occurrences(rows)
    assert numbers.to_list() == [0, 1, 0, 0]
    assert row_ids(rows, numbers).n_unique() == 4


@given(st.lists(st.text(max_size=5), max_size=12), st.integers(0, 12))
def test_a_digest_ignores_order_and_shards(texts: list[str], cut: int) -> None:
    rows = pl.DataFrame({"t": texts}, schema={"t": pl.String})
    whole = digest_rows(rows, ["t"])
    assert digest_rows(rows.reverse(), ["t"]) == whole
    assert add_digests([digest_rows(rows[:cut], ["t"]), digest_rows(rows[cut:], ["t"])]) == whole


def test_seeds_differ_by_every_part_and_fit_31_bits() -> None:
    seeds = {derive_seed(7, "answers@1", row, k) for row in "abc" for k in range(4)}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert derive_seed("a", "bc") != derive_seed("ab", "c")


def _said_one_by_one(row: tuple[str | None, ...], names: str) -> bytes:
    """The canonical text as its definition reads: name, length in bytes, text; nulls left out."""
    held = [(name, text) for name, text in zip(names, row, strict=True) if text is not None]
    return b"\x1f".join(f"{n}={len(t.encode())}:{t}".encode() for n, t in sorted(held))


@given(st.lists(st.tuples(*[st.none() | st.text("aé\x1f", max_size=2)] * 3), max_size=5))
def test_canonical_text_is_what_its_definition_says(
    rows: list[tuple[str | None, str | None, str | None]],
) -> None:
    """Columns that are full, equal in all rows, of one length or null here and there."""
    frame = pl.DataFrame(rows, schema=dict.fromkeys("bac", pl.String), orient="row")
    assert canonical(frame, "bac").to_list() == [_said_one_by_one(row, "bac") for row in rows]
    prefixed = [b"1:" + _said_one_by_one(row, "bac") for row in rows]
    assert canonical(frame, "bac", "1:").to_list() == prefixed
