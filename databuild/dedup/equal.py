"""Equal texts among hashed ones: the phases of `dedup.exact`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.dedup import audit
from databuild.dedup.forms import Forms
from databuild.dedup.near import Clock, find_exact
from databuild.dedup.numbers import as_bytes_column, as_flat_bytes, as_order, as_texts
from databuild.dedup.plain_forms import form_hashes
from databuild.dedup.signing import HEAD_CHARS, Signed
from databuild.engine.step import DROPPED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databuild.dedup.near import Found
    from databuild.dedup.plain_forms import Plain
    from databuild.dedup.signing import Texts
    from databuild.engine.checkpoints import Checkpoints
    from databuild.engine.resources import Progress


def hash_texts(texts: Texts, plain: Plain, kept: Checkpoints, progress: Progress | None) -> Signed:
    """Hash the texts part by part; parts that were hashed before a kill are not hashed again."""
    met = Forms()
    made: list[Mapping[str, Any]] = []
    for index in range(texts.n_parts):

        def hash_it(index: int = index) -> Mapping[str, Any]:
            return _hash_part(texts.read(index), plain, met)

        part = kept.arrays(f"part-{index:05d}", hash_it)
        if len(met) == sum(len(one["form"]) for one in made):
            met.number(np.asarray(part["form"]))  # hashed before a kill
        made.append(part)
        if progress is not None:
            progress.tick(len(part["text"]), "hashing")
    return Signed(kept.folder, tuple(made))


def _hash_part(rows: pl.DataFrame, plain: Plain, met: Forms) -> dict[str, Any]:
    names = [name for name in rows.columns if name.startswith("text:")]
    has_text = rows.select(pl.all_horizontal(pl.col(names).is_not_null())).to_series().to_numpy()
    forms = form_hashes([rows[name] for name in (*names, "before")], plain)
    forms[~has_text] = 0
    number, is_new = met.number(forms)
    head, head_ends = as_flat_bytes(rows[names[0]].str.head(HEAD_CHARS))
    made = {
        "text": number, "form": forms[is_new != 0],
        "id": as_bytes_column(rows["id"]), "head": head, "head_ends": head_ends,
    }  # fmt: skip
    if "prefer" in rows.columns:
        made["prefer"], made["has_prefer"] = as_order(rows["prefer"])
    return made


def find_equal(signed: Signed) -> Found:
    """Find the rows that equal a better one."""
    clock = Clock()
    found = find_exact(signed)
    clock.lap("order and exact")
    found.seconds = clock.seconds
    return found


def equal_verdicts(signed: Signed, found: Found) -> Iterator[pl.DataFrame]:
    """One frame for each part: `row_id`, `part`, `reason`, and `evidence` of what is dropped."""
    names, sizes = np.unique(found.cluster, return_counts=True)
    for index in range(len(signed.parts)):
        start, end = signed.row_starts[index : index + 2]
        lo, hi = np.searchsorted(found.dropped, [start, end])
        kept = found.kept[lo:hi]
        told = pl.DataFrame({
            "kept": as_texts(signed.column("id", kept)),
            "rows": pl.Series(sizes[np.searchsorted(names, kept)], dtype=pl.Int64),
        }).select(pl.struct(pl.all()).struct.json_encode()).to_series()  # fmt: skip
        evidence = audit.placed(told, found.dropped[lo:hi] - start, end - start)
        is_dropped = pl.col("evidence").is_not_null()
        ids = as_texts(signed.parts[index]["id"])
        yield pl.DataFrame({"row_id": ids, "evidence": evidence}).select(
            "row_id",
            part=pl.when(is_dropped).then(pl.lit(DROPPED)).otherwise(pl.lit("kept")),
            reason=pl.when(is_dropped).then(pl.lit("duplicate")),
            evidence="evidence",
        )


def equal_facts(signed: Signed, found: Found) -> dict[str, Any]:
    """The accounting, as plain JSON for the manifest."""
    told = audit.facts(signed, found)
    return {name: told[name] for name in ("rows", "exact", "largest_clusters", "cpu_seconds")}
