"""A candidate becomes the best model if, and only if, it did better on the same prompts."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from databuild.errors import SchemaError, StepError
from databuild.evaluate.compare import CompareConfig, compare_with_base
from databuild.flywheel.promote import PromoteConfig, promote_if_better


def exam(scores: list[Any], prompts: str = "abcdefgh") -> pl.DataFrame:
    return pl.DataFrame(
        {"prompt": list(prompts[: len(scores)]), "score": scores},
        schema_overrides={"prompt": pl.String},
        strict=False,
    )


def promoted(candidate: pl.DataFrame, best: pl.DataFrame, **options: Any) -> dict[str, Any]:
    config = PromoteConfig(metric="score", candidate="dpo", best="start", **options)
    return promote_if_better(candidate, config, best, seed=1)


def test_only_a_better_candidate_is_promoted() -> None:
    better = promoted(exam([True, True, False]), exam([True, False, False]))
    assert (better["model"], better["n_prompts"]) == ("candidate", 3)
    assert better["gain"] == pytest.approx(1 / 3)
    assert promoted(exam([0.5, 0.5]), exam([0.5, 0.5]))["model"] == "best"
    assert promoted(exam([0.4, 0.5]), exam([0.5, 0.5]))["model"] == "best"


def test_the_gain_must_exceed_what_is_asked() -> None:
    assert promoted(exam([1.0, 0.5]), exam([0.5, 0.5]), min_gain=0.25)["model"] == "best"
    assert promoted(exam([1.0, 0.5]), exam([0.5, 0.5]), min_gain=0.2)["model"] == "candidate"


def test_equal_scores_in_another_order_are_equal() -> None:
    """Added up as they come, 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ."""
    for scores in ([0.1, 0.2, 0.3], [0.7, 0.1, 0.3, 0.2, 1e16, -1e16]):
        for turned in (scores[::-1], scores[1:] + scores[:1]):
            both = promoted(exam(turned), exam(scores))
            assert (both["gain"], both["model"]) == (0.0, "best")


def test_prompts_are_matched_by_what_they_say_and_unscored_ones_left_out() -> None:
    candidate = exam([1.0, None, float("nan"), 1.0], "abcz")
    both = promoted(candidate, exam([1.0, 0.0, 0.0, 0.0], "cbad"))
    assert (both["n_prompts"], both["candidate"], both["best"]) == (1, 1.0, 0.0)


def test_exams_that_share_nothing_decide_nothing() -> None:
    for candidate in (exam([1.0], "z"), exam([None, None]), exam([]).cast({"score": pl.Float64})):
        with pytest.raises(StepError, match="share no prompt that has a 'score'"):
            promoted(candidate, exam([1.0, 1.0]))


def test_a_metric_without_a_mean_is_refused() -> None:
    with pytest.raises(SchemaError, match="the metric 'score' is String, which has no mean"):
        promoted(exam(["good", "bad"]), exam([1.0, 1.0]))
    tables = (
        exam(["good"]).with_columns(completion_tokens=1),
        exam([1.0]).with_columns(completion_tokens=1),
    )
    with pytest.raises(SchemaError, match=r"evaluate\.compare: the metric 'score'"):
        compare_with_base(tables[0], CompareConfig(metric="score"), tables[1], out=None, seed=1)


def kinds(scores: list[float], fresh: list[bool] | None = None) -> pl.DataFrame:
    table = exam(scores).with_columns(kind=pl.Series(["a", "a", "b", "b"]))
    return table.with_columns(fresh=pl.Series(fresh or [True] * 4))


def test_a_gain_that_may_be_chance_is_refused_where_asked() -> None:
    better, best = exam([1.0, 1.0, 0.0, 1.0]), exam([0.0, 1.0, 1.0, 0.0])
    assert promoted(better, best)["model"] == "candidate"
    unsure = promoted(better, best, sure=True)
    assert unsure["model"] == "best"
    assert "95 % interval begins at -" in unsure["refused"][0]
    certain = promoted(exam([1.0] * 8), exam([0.0] * 8), sure=True)
    assert (certain["model"], certain["refused"]) == ("candidate", [])


def test_what_is_forgotten_in_one_kind_of_prompt_is_refused() -> None:
    better, best = kinds([1.0, 1.0, 0.0, 0.5]), kinds([0.0, 0.0, 0.5, 0.5])
    assert promoted(better, best)["model"] == "candidate"
    told = promoted(better, best, by="kind", max_loss=0.2)
    assert told["model"] == "best"
    assert told["refused"] == ["score of kind b fell by 0.2500, more than 0.2"]
    assert promoted(better, best, by="kind", max_loss=0.25)["model"] == "candidate"
    assert promoted(better, best, max_loss=0.0)["model"] == "candidate"


def test_other_columns_are_kept() -> None:
    better, best = kinds([1.0] * 4, [True, True, False, False]), kinds([0.0] * 4)
    told = promoted(better, best, keep={"fresh": 0.4})
    assert (told["model"], told["refused"]) == ("best", ["fresh fell by 0.5000, more than 0.4"])
    assert promoted(better, best, keep={"fresh": 0.5})["model"] == "candidate"
