"""dedup.minhash: one row of every group of rows that are nearly the same, verified exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field
from xxhash import xxh32_intdigest

from databuild.engine.step import DROPPED, step
from databuild.errors import StepError
from databuild.recipe.options import Column, Columns, StepConfig
from databuild.text.conversations import with_context
from databuild.text.ranking import best_first
from databuild.text.tokens import folded, tokens, trigrams
from databuild.text.whitespace import collapsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


# 32 bands of 4 find a pair of Jaccard similarity s with probability 1 - (1 - s**4)**32: .9998 at
# .7, .985 at .6, .87 at .5. Verification makes the generous banding free of false positives.
PERMUTATIONS, BANDS, BAND_ROWS = 128, 32, 4
_BATCH = 20_000


class MinhashConfig(StepConfig):
    """Options of `dedup.minhash`."""

    column: Columns = ("prompt",)
    """The text column to compare. Several, such as prompt and response, are compared as one text,
    so that a short prompt does not make equals of different answers."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Of a
    conversation `prompt` is only the last user turn: where it is compared, the contents of all
    turns before the last answer are, as one text."""
    threshold: float = Field(default=0.7, ge=0.5, le=1.0)
    """Jaccard similarity of the 3-gram sets from which on two texts are duplicates."""
    prefer: Column | None = None
    """Keep the row with the highest value of this column; without it, the smallest row_id."""


def _also(config: MinhashConfig) -> tuple[str, ...]:
    return (config.messages,) if config.messages and "prompt" in config.column else ()


@step("dedup.minhash", kind="select", sees="table", version=2, also=_also)
def drop_near_duplicates(rows: pl.DataFrame, config: MinhashConfig) -> pl.DataFrame:
    """Keep the best of every group of rows whose texts share most of their 3-grams.

    The texts are lower-cased after Unicode NFKC and cut into tokens (`text.tokens`: one per
    character in scripts without spaces); the set of runs of three tokens stands for the text, a
    shorter text is one run. Rows are visited best first; a row is dropped if a row kept before it
    has a Jaccard similarity of at least `threshold`, computed exactly on the sets. Candidates are
    found by MinHash (Broder 1997) in 32 bands of 4 of datasketch's 128 permutations. So every
    dropped row has a kept row that is at least as good and verified; at 0.7 about 2 in 10,000
    duplicates are missed. A null text is similar to nothing; texts without a word are compared as
    they are.

    Args:
        rows: n rows with `row_id`, the text column and `config.prefer`.
        config: See `MinhashConfig`.

    Returns:
        n rows with `row_id`, `part`, `reason` ("near duplicate") and `evidence`
        (`{"kept": <row_id>, "jaccard": <similarity to it>}`). The order of the input does not
        matter.

    Cost:
        20,000 rows of 40 words took 9 CPU seconds, most of them datasketch's signatures.

    Raises:
        StepError: datasketch is not installed.

    Example:
        >>> text = "Explain in simple words how a rainbow forms after rain"
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": [text, text.upper() + "!"]})
        >>> drop_near_duplicates(rows, MinhashConfig())["evidence"].to_list()
        [None, '{"kept":"a","jaccard":1.0}']
    """
    ordered = best_first(rows, config.prefer)
    texts = ordered.filter(pl.any_horizontal(pl.col(config.column).is_not_null())).select(
        "row_id", form=folded(_compared(rows, config))
    )
    texts = texts.with_columns(tokens=tokens(pl.col("form"))).with_columns(
        # The same tokens are the same text: collapsed first, since m equal ones make m * m pairs.
        form=pl.when(pl.col("tokens").list.len() > 0)
        .then(pl.col("tokens").list.join("\x1f"))
        .otherwise(pl.concat_str(pl.lit("\x1f"), collapsed(pl.col("form"))))
    )
    texts = texts.with_columns(first=pl.col("row_id").first().over("form"))
    found = _near(texts.filter(pl.col("row_id") == pl.col("first")), config.threshold)
    kept = pl.DataFrame(
        found, schema={"first": pl.String, "kept": pl.String, "jaccard": pl.Float64}, orient="row"
    )
    evidence = texts.join(kept, on="first").filter(pl.col("kept") != pl.col("row_id"))
    return ordered.join(
        evidence.select("row_id", evidence=pl.struct("kept", "jaccard").struct.json_encode()),
        on="row_id", how="left",
    ).select(
        "row_id",
        part=pl.when(pl.col("evidence").is_null()).then(pl.lit("kept")).otherwise(pl.lit(DROPPED)),
        reason=pl.when(pl.col("evidence").is_not_null()).then(pl.lit("near duplicate")),
        evidence="evidence",
    )  # fmt: skip


def _compared(rows: pl.DataFrame, config: MinhashConfig) -> pl.Expr:
    """The columns as one text; the prompt of a conversation after the turns before it."""
    talks = config.messages if _also(config) else None
    compared = [
        with_context(rows, c, talks if c == "prompt" else None).alias(c) for c in config.column
    ]
    return pl.concat_str(compared, separator="\n\n", ignore_nulls=True)


def _near(texts: pl.DataFrame, threshold: float) -> list[tuple[str, str, float]]:
    """The id of every text, best first, that of the kept text that stands for it, their Jaccard."""
    ids = texts["row_id"].to_list()
    kept: dict[int, frozenset[int]] = {}
    bands: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]
    found = []
    for place, (grams, keys) in enumerate(_signed(texts)):
        near = {other for band, key in zip(bands, keys, strict=True) for other in band.get(key, ())}
        similar = [(len(grams & kept[o]) / len(grams | kept[o]), -o) for o in near]
        jaccard, other = max(similar, default=(0.0, 0))
        if jaccard >= threshold:
            found.append((ids[place], ids[-other], jaccard))
            continue
        found.append((ids[place], ids[place], 1.0))
        kept[place] = grams
        for band, key in zip(bands, keys, strict=True):
            band.setdefault(key, []).append(place)
    return found


def _signed(texts: pl.DataFrame) -> Iterator[tuple[frozenset[int], Sequence[bytes]]]:
    """The 3-grams (as exact numbers, not hashes) and the band keys of every text, in order."""
    minhash = _datasketch()
    numbers: dict[str, int] = {}
    for batch in texts.iter_slices(_BATCH):
        grams = trigrams(batch, "tokens").group_by("row", maintain_order=True).agg("gram")
        listed = batch.select("form").with_row_index("row").join(grams, on="row", how="left")
        sets = listed.sort("row").select(
            pl.coalesce("gram", pl.concat_list("form")).list.unique(maintain_order=True)
        )
        shingles: list[list[str]] = sets.to_series().to_list()
        encoded = [[gram.encode() for gram in row] for row in shingles]
        signatures = minhash.generator(
            encoded, num_perm=PERMUTATIONS, seed=1, hashfunc=xxh32_intdigest
        )
        for row, signature in zip(shingles, signatures, strict=True):
            values = signature.hashvalues
            keys = [values[b * BAND_ROWS : (b + 1) * BAND_ROWS].tobytes() for b in range(BANDS)]
            yield frozenset(numbers.setdefault(gram, len(numbers)) for gram in row), keys


def _datasketch() -> Any:
    try:
        from datasketch import MinHash
    except ImportError as error:
        what = "datasketch is not installed"
        raise StepError("dedup.minhash", what, fix="uv add 'databuild[dedup]'") from error
    return MinHash
