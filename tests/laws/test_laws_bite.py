"""A step that breaks a law is caught, whichever law it is and however small the breach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.engine.batch import run_batch, run_split
from databuild.engine.step import Produced, Reported, Step, step
from databuild.errors import LawError, RecipeError
from databuild.recipe.options import StepConfig

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = pl.DataFrame({"row_id": ["a", "b", "c"], "text": ["x", "y", "z"]})
NONE = pl.lit(None, dtype=pl.String)


class PlainConfig(StepConfig):
    pass


def declared(kind: Any, function: Callable[[pl.DataFrame], Any], **more: Any) -> Step:
    def run(rows: pl.DataFrame, config: PlainConfig) -> Any:
        return function(rows)

    return step("law.breaker", kind=kind, sees="row", version=1, **more)(run)


def caught(made: Step, message: str) -> None:
    with pytest.raises(LawError, match=rf"law\.breaker: .*{message}") as error:
        run_batch(made, PlainConfig(), [ROWS], {})
    assert error.value.exit_code == 4


def measured(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("row_id", n=pl.lit(1))


def kept(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("row_id", part=pl.lit("kept"), reason=NONE)


def children(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(parent_ids=pl.concat_list("row_id"), text=pl.lit("new"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda r: measured(r).head(2), r"of 3 rows 1 have no result, as \['c'\]"),
        (lambda r: pl.concat([measured(r), measured(r).head(1)]), "1 are repeated"),
        (
            lambda r: measured(r).with_columns(row_id=pl.col("row_id") + "!"),
            "3 results belong to no row",
        ),
        (
            lambda r: measured(r).with_columns(row_id=pl.Series(["a", "b", None])),
            "1 have no result",
        ),
        (lambda r: measured(r).drop("row_id"), "without row_id"),
        (lambda r: measured(r).rename({"n": "m"}), r"returns also \['m'\] and lacks \['n'\]"),
        (lambda r: r.select("row_id", "text", n=pl.lit(1)), r"returns also \['text'\]"),
        (lambda r: r.select("row_id"), r"lacks \['n'\]"),
        (lambda r: Produced(children(r)), "a measure step does not return Produced"),
        (lambda _: None, "a measure step does not return NoneType"),
    ],
)
def test_a_measure_returns_each_row_once_and_what_it_declares(
    function: Callable[[pl.DataFrame], Any], message: str
) -> None:
    caught(declared("measure", function, adds=("n",)), message)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda r: kept(r).tail(2), r"1 have no result, as \['a'\]"),
        (lambda r: pl.concat([kept(r), kept(r)]), "3 are repeated"),
        (lambda r: kept(r).with_columns(part=pl.lit("train")), r"it gives the parts \['train'\], and declares \['kept'\]"),
        (lambda r: kept(r).with_columns(part=NONE), r"it gives the parts \['None'\]"),
        (lambda r: kept(r).with_columns(part=pl.lit("dropped")), "drops rows without a reason"),
        (lambda r: kept(r).with_columns(part=pl.lit("dropped")).drop("reason"), "without a reason"),
        (lambda r: kept(r).drop("part"), "return row_id, part and reason"),
        (lambda r: r, "return row_id, part and reason"),
    ],
)  # fmt: skip
def test_a_select_puts_each_row_into_one_part_and_says_why(
    function: Callable[[pl.DataFrame], Any], message: str
) -> None:
    caught(declared("select", function), message)


def lost(rows: pl.DataFrame, **columns: Any) -> pl.DataFrame:
    return rows.select(**columns)


FAILED = {"parent_ids": pl.concat_list("row_id"), "error": pl.lit("no")}
DROPPED = {"row_id": pl.col("row_id"), "reason": pl.lit("no")}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda r: Produced(children(r.head(2))), r"1 input rows became nothing and have no reason, as \['c'\]"),
        (lambda r: Produced(children(r).with_columns(parent_ids=pl.lit(["z"]))), r"1 parents are no rows of its input, as \['z'\]"),
        (lambda r: Produced(children(r).drop("parent_ids")), r"`rows` lacks \['parent_ids'\]"),
        (lambda r: Produced(children(r).with_columns(parent_ids=pl.lit(None, dtype=pl.List(pl.String)))), "`rows` has rows whose 'parent_ids' is null"),
        (lambda r: Produced(pl.concat([children(r), children(r).with_columns(parent_ids=pl.lit([], dtype=pl.List(pl.String)))])), "3 rows have no parents"),
        (lambda r: Produced(children(r).with_columns(row_id=pl.lit("mine"))), r"it makes \['row_id'\]"),
        (lambda r: Produced(children(r).with_columns(content_id=pl.lit("mine"))), r"it makes \['content_id'\]"),
        (lambda r: Produced(children(r), dropped=lost(r.head(1), **DROPPED)), r"1 rows are dropped and have children, as \['a'\]"),
        (lambda r: Produced(children(r.head(2)), dropped=lost(r.tail(1), row_id="row_id")), r"`dropped` lacks \['reason'\]"),
        (lambda r: Produced(children(r.head(2)), dropped=lost(r.tail(1), row_id="row_id", reason=NONE)), "`dropped` has rows whose 'reason' is null"),
        (lambda r: Produced(children(r.head(2)), dropped=pl.concat([lost(r.tail(1), **DROPPED)] * 2)), "it drops a row twice"),
        (lambda r: Produced(children(r.head(2)), failed=lost(r.tail(1), parent_ids=FAILED["parent_ids"])), r"`failed` lacks \['error'\]"),
        (lambda r: Produced(children(r.head(2)), failed=lost(r.tail(1), parent_ids=FAILED["parent_ids"], error=NONE)), "`failed` has rows whose 'error' is null"),
        (lambda r: Produced(children(r), failed=pl.DataFrame({"parent_ids": [["z"]], "error": ["no"]})), r"as \['z'\]"),
        (children, "a produce step does not return DataFrame"),
    ],
)  # fmt: skip
def test_a_produce_names_real_parents_and_loses_nothing(
    function: Callable[[pl.DataFrame], Any], message: str
) -> None:
    caught(declared("produce", function, adds=("text",)), message)


def test_a_lawful_produce_passes() -> None:
    def made(rows: pl.DataFrame) -> Produced:
        return Produced(
            children(rows.head(1)), lost(rows.slice(1, 1), **FAILED), lost(rows.tail(1), **DROPPED)
        )

    counts = run_batch(declared("produce", made, adds=("text",)), PlainConfig(), [ROWS], {}).counts
    assert (counts.rows_in, counts.rows_out, counts.failed, counts.dropped) == (3, 1, 1, 1)
    assert counts.by_reason == {"no": 1}


def test_a_carried_row_has_exactly_one_parent() -> None:
    def made(rows: pl.DataFrame) -> Produced:
        both = rows["row_id"].to_list()
        return Produced(pl.DataFrame({"parent_ids": [both], "text": ["new"]}))

    caught(declared("produce", made, adds=("text",), carries=True), "not exactly one parent")


def test_a_source_invents_no_parents() -> None:
    def read(split: dict[str, Any], config: PlainConfig) -> Produced:
        return Produced(pl.DataFrame({"parent_ids": [["z"]], "text": ["new"]}))

    made = step("law.breaker", kind="produce", sees="source", version=1)(read)
    with pytest.raises(LawError, match="1 parents are no rows of its input"):
        next(run_split(made, PlainConfig(), {"file": "x"}, {}))()


@pytest.mark.parametrize("made", [[1, 2], iter([1, 2])])
def test_a_source_returns_pieces_and_nothing_else(made: object) -> None:
    def read(split: dict[str, Any], config: PlainConfig) -> Any:
        return made

    source = step("law.breaker", kind="produce", sees="source", version=1)(read)
    with pytest.raises(LawError, match=r"a produce step does not return (list|int)"):
        next(run_split(source, PlainConfig(), {"file": "x"}, {}))


def test_a_number_that_is_none_is_null_with_an_error() -> None:
    def made(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select("row_id", n=pl.Series([1.0, float("nan"), None]))

    batch = run_batch(declared("measure", made, adds=("n",)), PlainConfig(), [ROWS], {})
    assert batch.rows["n"].to_list() == [1.0, None, None]
    assert batch.failed.to_dicts() == [{"row_id": "b", "error": "not a number"}]


def test_an_optional_input_goes_where_it_is_named() -> None:
    def mix(
        rows: pl.DataFrame,
        config: PlainConfig,
        more: pl.DataFrame | None = None,
        best: pl.DataFrame | None = None,
    ) -> Produced:
        assert more is None
        assert best is not None
        return Produced(pl.concat([children(rows), children(best)]))

    made = step("law.keeper", kind="produce", sees="table", version=1, adds=("text",))(mix)
    other = ROWS.with_columns(row_id=pl.col("row_id") + "2")
    batch = run_batch(made, PlainConfig(), [ROWS, None, other], {})
    assert (batch.counts.rows_in, batch.counts.rows_out) == (6, 6)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [("dict", "is no StepConfig"), (None, "is no StepConfig"), (dict, "is no StepConfig")],
)
def test_a_step_without_a_config_is_refused_when_it_is_declared(
    annotation: Any, message: str
) -> None:
    def run(rows: pl.DataFrame, config: Any) -> pl.DataFrame:
        return rows

    run.__annotations__["config"] = annotation
    with pytest.raises(RecipeError, match=message):
        step("law.breaker", kind="measure", sees="row", version=1)(run)


def test_only_a_step_that_sees_the_whole_table_reports_facts():
    caught(
        declared("measure", lambda r: Reported(measured(r), {"n": 3}), adds=("n",)), "only one row"
    )
    caught(declared("produce", lambda r: Produced(children(r), facts={"n": 3})), "it reports facts")

    def run(rows: pl.DataFrame, config: PlainConfig) -> Reported:
        return Reported(measured(rows), {"n": 3})

    whole = step("law.breaker", kind="measure", sees="table", version=1, adds=("n",))(run)
    assert run_batch(whole, PlainConfig(), [ROWS], {}).facts == {"n": 3}
