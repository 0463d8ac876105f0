"""generate.related: the texts of the table that are most related to each one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import Field

from databuild.engine.step import Reported, step
from databuild.errors import SchemaError
from databuild.generate.related_vectors import PAIRS, nearest
from databuild.recipe.options import Column, StepConfig
from databuild.text.borders import UNSPACED
from databuild.text.tokens import folded, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

RELATED = pl.List(pl.Struct({"row_id": pl.String, "text": pl.String, "score": pl.Float64}))
_K1, _B = 1.2, 0.75
_TERMS, _MOST_TEXTS, _MOST_PAIRS = 24, 1000, 2000
_BLOCK = 1024


class RelatedConfig(StepConfig):
    """Options of `generate.related`."""

    column: Column = "text"
    """The text column; the new column begins with its name."""
    n: int = Field(default=2, ge=1)
    """The most related texts of each row."""
    embedding: Column | None = None
    """A column of vectors (see `measure.embedding`): related is what has a similar vector. Without
    it related is what shares rare words."""
    min_score: float = Field(default=0.0, ge=0)
    """The least score that counts: a cosine (up to 1) with `embedding`, else a BM25 score, which
    has no upper bound."""
    exact_up_to: int = Field(default=50_000, ge=0)
    """With `embedding`: up to so many different texts each is compared with all others. Beyond that
    an index (FAISS) proposes which, and some related texts are missed, one in five where the
    vectors have no clear groups; their share is estimated and told."""


@step(
    "generate.related",
    kind="measure",
    sees="table",
    version=4,
    adds=lambda config: (f"{config.column}_related",),
)
def find_related(rows: pl.DataFrame, config: RelatedConfig) -> pl.DataFrame | Reported:
    """Find for every text the `n` other texts that are most related to it.

    With `embedding`, by the cosine of the vectors, each with each, or beyond `exact_up_to` texts
    each with those that an index finds. Without it by BM25 (Robertson
    and Zaragoza 2009, section 3.4; k1 = 1.2, b = 0.75; the idf of Lucene, ln(1 + (N - df + 0.5) /
    (df + 0.5))) over words and, in scripts without spaces, pairs of characters, after NFKC and
    lower-casing. A text asks with its rarest terms: as many as stand in 2,000 texts together, at
    least one and at most 24; terms of one text alone or of more than 1,000 texts do not count.
    Equal texts are one text, named by the first row_id; a text is not
    related to itself.

    Args:
        rows: n rows with `row_id`, `config.column: str`, and with `embedding` lists of floats.
        config: See `RelatedConfig`.

    Returns:
        n rows with `row_id` and `<column>_related`, a list of (`row_id`, `text`, `score`), the most
        related first, shorter where nothing is related; null where the text is null or blank, or
        has no vector. Scores are rounded to four places; equal ones come in order of row_id. Facts,
        where an index was asked: `texts`, `search` ("cells"), and `missed_ratio`: the share of the
        `n` nearest texts that it missed, estimated from 256 texts that are compared with all.

    Raises:
        SchemaError: A column has the wrong type, or the vectors differ in length.
        StepError: More vectors than `exact_up_to`, and FAISS is not installed.

    Cost:
        Linear in the different texts without `embedding`; with it quadratic up to `exact_up_to`,
        beyond it about n ** 1.5; see tests/bench/chunks.json and related.json.

    Example:
        >>> texts = ["Elm rots slowly in water", "The wheel is of elm", "Tea is picked in April"]
        >>> rows = pl.DataFrame({"row_id": list("abc"), "text": texts})
        >>> found = find_related(rows, RelatedConfig(n=1))["text_related"]
        >>> [[one["row_id"] for one in row] for row in found.to_list()]
        [['b'], ['a'], ['a']]
    """
    _check_types(rows, config)
    held = _held(rows, config)
    unique = held.sort("row_id").unique("text", keep="first", maintain_order=True)
    unique = unique.with_row_index("at")
    facts: dict[str, Any] = {}
    if config.embedding is None:
        pairs = _by_words(unique, config.n)
    else:
        vectors_ND = _vectors(unique)
        pairs, facts = nearest(vectors_ND, config.n, exact_up_to=config.exact_up_to)
    by_text = _related(pairs, unique, config)
    table = (
        rows.select("row_id")
        .join(held.select("row_id", "text"), on="row_id", how="left", maintain_order="left")
        .join(by_text, on="text", how="left", maintain_order="left")
        .select("row_id", pl.col("related").cast(RELATED).alias(f"{config.column}_related"))
    )
    return Reported(table, facts) if facts else table


def _related(pairs: pl.DataFrame, unique: pl.DataFrame, config: RelatedConfig) -> pl.DataFrame:
    """For each text those that are related to it, best first."""
    others = unique.select(other="at", row_id="row_id", text="text")
    one = pl.struct("row_id", "text", "score")
    found = (
        pairs.with_columns(pl.col("score").round(4))
        .filter(pl.col("score") > 0, pl.col("score") >= config.min_score)
        .rename({"text": "at"})
        .join(others, on="other", how="left")
        .sort("at", "score", "row_id", descending=[False, True, False])
        .group_by("at", maintain_order=True)
        .agg(one.head(config.n).alias("related"))
    )
    return unique.join(found, on="at", how="left").select(
        "text", related=pl.col("related").fill_null([])
    )


def _held(rows: pl.DataFrame, config: RelatedConfig) -> pl.DataFrame:
    """The rows that have a text, and a vector where those are compared."""
    text = pl.col(config.column).cast(pl.String)
    asked: list[Any] = ["row_id", text.alias("text")]
    if config.embedding is None:
        return rows.select(*asked).filter(pl.col("text").str.contains(r"\S"))
    vector = pl.col(config.embedding).cast(pl.List(pl.Float32)).alias("vector")
    held = rows.select(*asked, vector).filter(pl.col("text").str.contains(r"\S"))
    return held.filter(pl.col("vector").is_not_null())


def _check_types(rows: pl.DataFrame, config: RelatedConfig) -> None:
    text = rows.schema[config.column]
    if text not in {pl.String, pl.Null}:
        what = f"the column {config.column!r} is {text}, not text"
        raise SchemaError("generate.related", what, fix="name a column of text")
    if config.embedding is None:
        return
    kind: Any = rows.schema[config.embedding]
    if kind != pl.Null and not (isinstance(kind, pl.List | pl.Array) and kind.inner.is_float()):
        what = f"the column {config.embedding!r} is {kind}, not a list of floats"
        raise SchemaError("generate.related", what, fix="name a column of measure.embedding")


def _by_words(unique: pl.DataFrame, n: int) -> pl.DataFrame:
    """The `n` best others of every text by BM25, more where scores are equal in four places."""
    terms = _terms(unique)
    lengths = terms.group_by("at").agg(length=pl.col("n").sum())
    total, mean = unique.height, lengths["length"].mean() or 1.0
    counts = terms.group_by("term").agg(df=pl.len()).filter(pl.col("df").is_between(2, _MOST_TEXTS))
    times, length, df = pl.col("n"), pl.col("length"), pl.col("df")
    # Numbers for terms, so that texts are told apart once; in the order of terms, for ties.
    postings = (
        terms.join(counts.sort("term").with_row_index("id"), on="term")
        .join(lengths, on="at")
        .select(
            "at",
            "id",
            "df",
            weight=(1 + (total - df + 0.5) / (df + 0.5)).log()
            * (times * (_K1 + 1) / (times + _K1 * (1 - _B + _B * length / mean))),
        )
        .sort("id", "at")
    )
    place = pl.int_range(pl.len()).over("at")
    reach = pl.col("df").cum_sum().over("at")
    asked = (
        postings.select("at", "id", "df")
        .sort("at", "df", "id")
        .filter((place == 0) | ((place < _TERMS) & (reach <= _MOST_PAIRS)))
    )
    return pl.concat([pl.DataFrame(schema=PAIRS), *_best_pairs(postings, asked, n)])


def _best_pairs(postings: pl.DataFrame, asked: pl.DataFrame, n: int) -> Iterator[pl.DataFrame]:
    """Score the texts that share a term that is asked with, some texts at a time.

    What is in memory at once is the pairs of one block, at most a few million.
    """
    others, weights = postings["at"].to_numpy(), postings["weight"].to_numpy()
    firsts = postings["id"].search_sorted(asked["id"]).to_numpy()
    texts, sizes = asked["at"].to_numpy(), asked["df"].to_numpy()
    ends = np.searchsorted(texts, np.arange(_BLOCK, int(texts.max(initial=0)) + 1, _BLOCK))
    for part in np.split(np.arange(len(texts)), ends):
        size = sizes[part].astype(np.int64)
        before = np.cumsum(size) - size
        at = np.repeat(firsts[part] - before, size) + np.arange(size.sum())
        pairs = pl.DataFrame(
            {"text": np.repeat(texts[part], size), "other": others[at], "score": weights[at]},
            schema=PAIRS,
        )
        scored = (
            pairs.lazy()
            .filter(pl.col("text") != pl.col("other"))
            .group_by("text", "other")
            .agg(pl.col("score").sum().round(4))
            .collect()
        )
        least = scored.group_by("text").agg(least=pl.col("score").top_k(n).min())
        yield scored.join(least, on="text").filter(pl.col("score") >= pl.col("least")).drop("least")


def _terms(unique: pl.DataFrame) -> pl.DataFrame:
    """How often each term stands in each text: `at`, `term`, `n`."""
    listed = unique.select("at", term=tokens(folded(pl.col("text")))).explode("term").drop_nulls()
    term, after = pl.col("term"), pl.col("term").shift(-1)
    is_single = term.str.contains(f"^[{UNSPACED}]$")
    goes_on = is_single.shift(-1) & (pl.col("at") == pl.col("at").shift(-1))
    pair = pl.when(goes_on).then(term + after)
    return (
        listed.select("at", term=pl.when(is_single).then(pair).otherwise(term))
        .drop_nulls()
        .group_by("at", "term")
        .agg(n=pl.len())
    )


def _vectors(unique: pl.DataFrame) -> np.ndarray[Any, Any]:
    """The vectors of the texts, as a matrix."""
    lengths = unique["vector"].list.len().unique()
    if lengths.len() > 1:
        what = f"the vectors have {sorted(lengths.to_list())} numbers"
        raise SchemaError("generate.related", what, fix="embed all rows with one model")
    if unique.is_empty():
        return np.zeros((0, 1), dtype=np.float32)
    return unique["vector"].cast(pl.Array(pl.Float32, lengths[0])).to_numpy()
