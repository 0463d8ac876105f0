"""Tokens by the compiled loop are those of text.tokens, whatever the characters."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings

from databuild.dedup.tokenizing import token_hashes
from tests.dedup.plain import TEXTS, series, token_lists


def by_row(found, rows):
    return [found.hashes[found.offsets[r] : found.offsets[r + 1]].tolist() for r in range(rows)]


@settings(max_examples=150, deadline=None)
@given(TEXTS)
@example(["e\u0301te\u0301", "ΑΣ ΑΣΑ", "①½ ﬁn ㍿", "\u0301x", "a\u0327\u0301"])
def test_tokens_are_those_of_text_tokens(texts):
    found = token_hashes(series(texts), threads=1)
    wanted = [cut or [] for cut in token_lists(texts)]
    assert np.diff(found.offsets).tolist() == [len(cut) for cut in wanted]
    flat = [token for cut in wanted for token in cut]
    pairs = set(zip(flat, found.hashes.tolist(), strict=True))
    assert len(pairs) == len(set(flat)) == len(set(found.hashes.tolist()))


@pytest.mark.slow
def test_every_character_by_itself_and_between_letters():
    points = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    points = (
        points[:0x3400]
        + points[0x3400:0xA000:97]
        + points[0xA000:0xAC00]
        + points[0xAC00:0xD800:31]
        + points[0xD800:0x20000]
        + points[0x20000:0x30000:97]
        + points[0x30000::499]
    )
    texts = pl.Series([f"x{chr(p)}y{chr(p)} {chr(p)}" for p in points])
    found = token_hashes(texts)
    cut = pl.Series(token_lists(texts.to_list()), dtype=pl.List(pl.String))
    sizes = cut.list.len().to_numpy()
    wrong = [hex(points[r]) for r in np.flatnonzero(np.diff(found.offsets) != sizes)]
    assert wrong == []
    distinct = pl.DataFrame({"token": cut.explode().drop_nulls(), "hash": found.hashes}).unique()
    assert distinct["token"].n_unique() == len(distinct) == distinct["hash"].n_unique()


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_the_bytes_of_a_token_fold_to_it(texts):
    found = token_hashes(series(texts), spans=True, threads=1)
    assert len(found.spans) == len(found.hashes)
    for r, text in enumerate(texts):
        encoded = (text or "").encode()
        spans = found.spans[found.offsets[r] : found.offsets[r + 1]].tolist()
        assert spans == sorted(spans)
        parts = [encoded[a:b].decode() for a, b in spans]  # whole characters: this decodes
        hashes = found.hashes[found.offsets[r] : found.offsets[r + 1]]
        for part, wanted in zip(parts, hashes, strict=True):
            # Only a final sigma reads otherwise by itself.
            if not set("Σσς\U0001d6ba") & set(part):
                assert wanted in token_hashes(series([part])).hashes


def test_spans_are_places_in_the_text_as_it_came():
    text = "It's ＡＢ 世界 ½ e\u0301te"
    found = token_hashes(series([text]), spans=True)
    parts = [text.encode()[a:b].decode() for a, b in found.spans.tolist()]
    assert parts == ["It", "s", "ＡＢ", "世", "界", "½", "½", "e\u0301te"]
    plain = "It's ＡＢ 世界 ½"
    found = token_hashes(series([plain]), spans=True)
    parts = [plain.encode()[a:b].decode() for a, b in found.spans.tolist()]
    assert parts == ["It", "s", "ＡＢ", "世", "界", "½", "½"]


@pytest.mark.slow
def test_tokens_of_arrow_and_polars_of_slices_and_threads_are_equal():
    texts = ["One two 世界", None, "", "e\u0301", "x" * 70] * 40_000
    whole = token_hashes(series(texts), threads=1)
    for other in (
        token_hashes(series(texts), threads=4),
        token_hashes(pa.array(texts, pa.string()), threads=4),
        token_hashes(pa.array([*texts[:3], *texts], pa.large_string())[3:], threads=1),
        token_hashes(pa.chunked_array([texts[:7], texts[7:]], pa.string()), threads=1),
        token_hashes(pa.array(texts, pa.string_view()), threads=1),
    ):
        assert (other.hashes == whole.hashes).all()
        assert (other.offsets == whole.offsets).all()


@pytest.mark.parametrize("texts", [[], [None], [""], ["?!"], [None, None]])
def test_texts_without_a_token_have_none(texts):
    found = token_hashes(series(texts), spans=True)
    assert found.offsets.tolist() == [0] * (len(texts) + 1)
    assert (len(found.hashes), found.spans.shape) == (0, (0, 2))
