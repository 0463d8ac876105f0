"""annotate.simulate through files: pushed, answered, pulled, aggregated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.annotate.aggregate import AggregateConfig, aggregate_votes
from databuild.annotate.log import VoteLog
from databuild.annotate.pull import PullConfig, look_outside, read_votes
from databuild.annotate.push import PushConfig, put_before_people
from databuild.annotate.simulate import SimulateConfig, answer_as_people
from databuild.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.step import Produced

N = 120
ROWS = pl.DataFrame(
    {
        "row_id": [f"row{n:03d}" for n in range(N)],
        "prompt": [f"Question {n}?" for n in range(N)],
        "response_a": [f"One answer to {n}." for n in range(N)],
        "response_b": [f"另一个答案 {n}" for n in range(N)],
        "truth": [(-1) ** n * (0.25 + 0.25 * (n % 4)) for n in range(N)],
    }
)
BASE = {"dataset": "sim", "tool": "files"}


def pushed(folder: Path, **options: Any) -> None:
    (folder / "pushed").mkdir()
    config = PushConfig(**BASE, **options)
    put_before_people(
        ROWS, config, out=folder / "pushed", journals=folder / "journals", files=(), seed=3
    )


def simulated(folder: Path, rows: pl.DataFrame = ROWS, **options: Any) -> dict[str, Any]:
    (folder / "out").mkdir(exist_ok=True)
    config = SimulateConfig(**BASE, **options)
    return answer_as_people(rows, config, out=folder / "out", journals=folder / "journals", seed=5)


def pulled(folder: Path) -> Produced:
    config = PullConfig(**BASE, share=0.0)
    look_outside(config, folder / "journals", fetch=True)
    return read_votes(ROWS, config, journals=folder / "journals", told="")


def test_people_of_stated_skill_and_bias_vote_so(tmp_path: Path) -> None:
    pushed(tmp_path)
    facts = simulated(
        tmp_path,
        annotators={
            "exact": {"skill": 1.0, "noise": 0}, "poor": {"skill": 0.6},
            "first": {"skill": 1.0, "first_bias": 1.0}, "left": {"answers": 0.25, "seconds": 8},
        },
    )  # fmt: skip
    assert facts["votes"]["simulated-left"] == N // 4
    votes = pulled(tmp_path).rows.join(ROWS.select("prompt", "truth"), on="prompt")
    assert votes["simulated"].all()
    by_name = {str(name): own for (name,), own in votes.group_by("annotator")}
    exact = by_name["simulated-exact"]
    assert (exact["grade"] == (exact["truth"] * 4).cast(pl.Int8)).all()
    poor = by_name["simulated-poor"]
    n_right = (poor["grade"].sign() == poor["truth"].sign().cast(pl.Int8)).sum()
    assert 0.48 < n_right / N < 0.72  # 0.6 within 2.7 standard errors
    first = by_name["simulated-first"]
    assert (first["vote"] == first["shown_first"]).all()
    assert 0.35 < (first["vote"] == "a").sum() / N < 0.65  # which one is shown first is drawn
    assert by_name["simulated-left"]["seconds"].mean() == pytest.approx(8, rel=0.4)


def test_twice_the_same_is_once_and_the_votes_come_back(tmp_path: Path) -> None:
    pushed(tmp_path)
    people = {"ann": {"skill": 0.9}, "bo": {"skill": 0.8}}
    simulated(tmp_path, annotators=people)
    first = pulled(tmp_path).rows
    head = VoteLog(tmp_path / "journals", "sim").head()
    simulated(tmp_path, annotators={**people})
    assert pulled(tmp_path).rows.equals(first)
    assert VoteLog(tmp_path / "journals", "sim").head() == head
    made = aggregate_votes(first.with_row_index("row_id"), AggregateConfig())
    assert made.rows["n_votes"].to_list() == [2] * N


def test_the_truth_may_be_a_score_of_single_answers_and_the_best_one_is_the_rewrite(
    tmp_path: Path,
) -> None:
    pushed(tmp_path)
    answers = pl.concat(
        [
            ROWS.select("prompt", response="response_a", good=pl.lit(0.0)),
            ROWS.select("prompt", response="response_b", good=pl.lit(0.5)),
            ROWS.select("prompt", response=pl.lit("The best."), good=pl.lit(1.0)),
        ]
    )
    config = SimulateConfig(
        **BASE, truth="good", annotators={"ann": {"skill": 1, "noise": 0, "rewrites": 1}}
    )
    (tmp_path / "out").mkdir()
    answer_as_people(
        ROWS.drop("truth"), config, answers, out=tmp_path / "out", journals=tmp_path / "journals",
        seed=5,
    )  # fmt: skip
    votes = pulled(tmp_path).rows
    assert set(votes["grade"]) == {-2}
    assert set(votes["edited"]) == {"The best."}


def test_a_pair_given_the_other_way_round_has_the_same_truth(tmp_path: Path) -> None:
    pushed(tmp_path)
    turned = ROWS.with_columns(
        response_a="response_b", response_b="response_a", truth=-pl.col("truth")
    )
    simulated(tmp_path, turned, annotators={"exact": {"skill": 1.0, "noise": 0}})
    votes = pulled(tmp_path).rows.join(ROWS.select("prompt", "truth"), on="prompt")
    assert (votes["grade"] == (votes["truth"] * 4).cast(pl.Int8)).all()


def test_assigned_records_are_left_to_others(tmp_path: Path) -> None:
    pushed(tmp_path, annotators=["simulated-ann", "a real person"], votes_per_record=1)
    facts = simulated(tmp_path, annotators={"ann": {}})
    assert facts["votes"] == {"simulated-ann": N // 2}


def test_rows_that_were_not_pushed_or_have_no_truth_are_named(tmp_path: Path) -> None:
    pushed(tmp_path)
    other = ROWS[:1].with_columns(row_id=pl.lit("new"))
    none = ROWS[1:2].with_columns(truth=pl.lit(None, dtype=pl.Float64))
    facts = simulated(tmp_path, pl.concat([ROWS[2:], other, none]), annotators={"ann": {}})
    assert facts["rows_skipped"] == [
        {"row_id": "new", "reason": "not put before people"},
        {"row_id": "row001", "reason": "no truth"},
    ]
    with pytest.raises(StepError, match="none of the 1 rows was put before people as 'sim'"):
        simulated(tmp_path, other, annotators={"ann": {}})
    with pytest.raises(StepError, match="no column 'truth'"):
        simulated(tmp_path, ROWS.drop("truth"), annotators={"ann": {}})


def test_what_nobody_can_simulate_is_refused() -> None:
    with pytest.raises(ValidationError, match="not ranking"):
        SimulateConfig(**BASE, task="ranking", annotators={"a": {}})
    with pytest.raises(ValidationError, match="argilla or files"):
        SimulateConfig(dataset="x", tool="label_studio", annotators={"a": {}})
