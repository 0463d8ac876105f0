"""reward.model: what is scored, what is missing and why, and what the facts name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.engine.parts import Parts
from databuild.models.fake import FakeOptions
from databuild.models.scorer import FakeScorer, Reading, Reward, Scoring
from databuild.reward.model import RewardModelConfig, measure_reward

if TYPE_CHECKING:
    from collections.abc import Sequence


class Listening:
    """Gives the length of the last turn, and writes down every talk."""

    def __init__(self) -> None:
        self.talks: list[dict[str, Any]] = []

    def read(self, talks: Sequence[str], reading: Reading) -> list[Reward]:
        self.talks += [json.loads(one) for one in talks]
        said = [str(json.loads(one)["turns"][-1]["content"]) for one in talks]
        if reading.steps:
            values = [tuple(map(float, text.split(reading.steps))) for text in said]
            return [Reward(None, 5, False, steps) for steps in values]
        return [
            Reward(None, 7, True, None, "the model's reward is not a finite number")
            if text == "nan"
            else Reward(float(len(text)), 5, len(text) > 4)
            for text in said
        ]

    def close(self) -> None:
        """Nothing."""


def measured(rows: pl.DataFrame, scorer: Any = None, **options: Any) -> Any:
    asked = Scoring(lambda: scorer or Listening(), None, "rm")
    return measure_reward(rows, RewardModelConfig(model="rm", **options), scorer=asked)


TALK = [
    {"role": "system", "content": "Be kind.", "tool_calls": None},
    {"role": "user", "content": "Hi 🙂", "tool_calls": None},
    {"role": "assistant", "content": "<think>\nx\n</think>\nHello.", "tool_calls": None},
]


def test_every_row_has_a_score_or_says_why_not() -> None:
    rows = pl.DataFrame(
        {
            "row_id": ["ok", "zh", "no prompt", "blank", "none", "nan"],
            "prompt": ["p", "请说", None, "p", "p", "p"],
            "response": ["long answer", "好", "x", " \n", None, "nan"],
        }
    )
    out = measured(rows, name="rm")
    assert out.table.columns == ["row_id", "rm_score", "rm_n_tokens", "rm_is_cut", "error"]
    assert out.table["rm_score"].to_list() == [11.0, 1.0, None, None, None, None]
    assert out.table["rm_is_cut"].to_list() == [True, False, None, None, None, None]
    assert out.table["error"].to_list() == [
        None,
        None,
        "there is no prompt",
        "there is no answer",
        "there is no answer",
        "the model's reward is not a finite number",
    ]
    assert out.facts == {
        "scored": 2, "unscored": 4, "cut": 1, "cut_rows": ["ok"],
        "unscored_rows": ["blank", "nan", "no prompt", "none"],
        "score_mean": 6.0, "score_sd": 5.0,
    }  # fmt: skip


def test_a_conversation_is_scored_whole_and_must_end_in_the_answer() -> None:
    rows = pl.DataFrame(
        {
            "row_id": ["talk", "stale", "open", "plain", "empty"],
            "prompt": ["Hi 🙂"] * 5,
            "response": ["Hello.", "Bye.", "Hello.", "Hello.", "Hello."],
            "messages": [TALK, TALK, TALK[:2], None, []],
            "tools": ['[{"type": "function"}]', None, None, None, None],
        }
    )
    scorer = Listening()
    out = measured(rows, scorer)
    assert out.table["error"].to_list() == [
        None,
        "response is not what the conversation ends with",
        "the conversation ends with a turn of user",
        None,
        None,
    ]
    by_length = {len(one["turns"]): one for one in scorer.talks}
    assert [turn["role"] for turn in by_length[3]["turns"]] == ["system", "user", "assistant"]
    assert by_length[3]["tools"] == '[{"type": "function"}]'
    assert [turn["content"] for turn in by_length[2]["turns"]] == ["Hi 🙂", "Hello."]
    assert len(scorer.talks) == 2  # two plain rows are one talk
    alone = measured(rows, messages=None)
    assert alone.table["error"].null_count() == 5


@pytest.mark.parametrize(
    ("way", "score"), [("min", 0.2), ("last", 0.5), ("product", 0.04), ("mean", 0.3667)]
)
def test_the_score_of_an_answer_is_made_of_its_steps(way: str, score: float) -> None:
    rows = pl.DataFrame({"row_id": ["a"], "prompt": ["p"], "response": ["0.4\n0.2\n0.5"]})
    out = measured(rows, steps="\n", step_score=way).table
    assert out["model_steps"].to_list() == [[0.4, 0.2, 0.5]]
    assert out["model_score"].item() == pytest.approx(score, abs=1e-4)


def test_parts_or_one_table_the_same_scores() -> None:
    rows = pl.DataFrame(
        {
            "row_id": [f"r{n}" for n in range(9)],
            "prompt": ["name a red stone"] * 9,
            "response": [f"a red {n % 4}" for n in range(9)],
        }
    )
    scorer = FakeScorer(FakeOptions(seed=2))
    whole = measured(rows, scorer)
    config = RewardModelConfig(model="rm")
    asked = Scoring(lambda: scorer, None, "rm")
    streamed = measure_reward(Parts.of(rows[:2], rows[2:3], rows[3:]), config, scorer=asked)
    assert pl.concat(streamed.frames).equals(whole.table)
    assert streamed.facts == whole.facts
    empty = measured(rows.clear(), scorer)
    assert empty.table.columns == whole.table.columns
    assert empty.facts["scored"] == 0


def test_a_mark_without_steps_is_refused() -> None:
    with pytest.raises(ValidationError, match="step_mark needs steps"):
        RewardModelConfig(model="rm", step_mark="<extra_0>")
    with pytest.raises(ValidationError, match="name"):
        RewardModelConfig(model="rm", name="two words")
