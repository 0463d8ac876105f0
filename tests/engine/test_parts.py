"""Steps that see parts: laws part by part, and what a table step returned cut by one join."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.engine.batch import run_parts
from databuild.engine.parts import Parts
from databuild.engine.step import Reported, Step, Streamed, step
from databuild.errors import LawError
from databuild.recipe.options import StepConfig
from tests.engine.harness import Toy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FRAMES = [
    pl.DataFrame({"row_id": ["a", "b"], "text": ["x", "yy"]}),
    pl.DataFrame({"row_id": [], "text": []}, schema={"row_id": pl.String, "text": pl.String}),
    pl.DataFrame({"row_id": ["c"], "text": ["zzz"]}),
]


class PlainConfig(StepConfig):
    pass


def declared(function: Callable[[Parts], Any], kind: Any = "measure") -> Step:
    def run(rows: Parts, config: PlainConfig) -> Any:
        return function(rows)

    return step("law.parts", kind=kind, sees="parts", version=1, adds=("n",))(run)


def lengths(rows: Parts) -> Iterator[pl.DataFrame]:
    for part in rows:
        yield part.select("row_id", n=pl.col("text").str.len_chars())


def test_each_part_has_its_own_batch_and_facts_come_last() -> None:
    facts: dict[str, int] = {}

    def counted(rows: Parts) -> Streamed:
        def frames() -> Iterator[pl.DataFrame]:
            yield from lengths(rows)
            facts["parts"] = rows.n_parts

        return Streamed(frames(), facts)

    batches, told = run_parts(declared(counted), PlainConfig(), [Parts.of(*FRAMES)], {})
    assert [batch.rows["n"].to_list() for batch in batches] == [[1, 2], [], [3]]
    assert told == {"parts": 3}
    whole = declared(counted)(FRAMES[0], PlainConfig())
    assert isinstance(whole, Reported)
    assert (whole.table["n"].to_list(), whole.facts) == ([1, 2], {"parts": 1})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rows: list(lengths(rows))[:2], "2 frames for 3 parts"),
        (lambda rows: [*lengths(rows), FRAMES[0]], "more than 3 frames for 3 parts"),
        (lambda rows: reversed(list(lengths(rows))), "of 2 rows 2 have no result"),
        (lambda rows: pl.concat(lengths(rows)), "does not return DataFrame"),
        (lambda _: 7, "does not return int"),
    ],
)
def test_what_breaks_a_law_in_one_part_is_caught(
    function: Callable[[Parts], Any], message: str
) -> None:
    with pytest.raises(LawError, match=message):
        list(run_parts(declared(function), PlainConfig(), [Parts.of(*FRAMES)], {})[0])


def test_only_the_columns_that_are_named_are_read() -> None:
    rows = Parts(Parts.of(*FRAMES).source, ("text", "not there"))
    assert rows.columns == ("row_id", "text")
    assert rows.part(0, "row_id").columns == ["row_id"]
    assert (rows.n_rows, rows.n_parts) == (3, 3)


def test_the_verdicts_of_a_table_step_lie_beside_their_rows_in_shards_of_any_size(
    tmp_path: Path,
) -> None:
    toy = Toy(tmp_path)
    toy.run(shard_bytes=7)
    manifests = toy.outputs()
    del manifests
    ran = toy.run(shard_bytes=7)
    halves, long = ran["halves"], ran["long"]
    assert halves.manifest.n_parts == long.manifest.n_parts > 3
    for index in range(long.manifest.n_parts):
        name = f"part-{index:05d}.parquet"
        verdicts = pl.read_parquet(f"{halves.folder}/{name}")["row_id"]
        assert set(verdicts) == set(pl.read_parquet(f"{long.folder}/{name}")["row_id"])
