"""generate.reason: what is kept, what is hinted, what is voted for, and that nothing is lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.generate.reason import ReasonConfig, reason_out
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.protocol import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from databuild.engine.step import Produced


def think(steps: str, answer: str) -> str:
    return f"<think>{steps}</think>\n{answer}"


class Said:
    """Answers by the id of the request, without its row: `solve-0`, `hinted-1`."""

    def __init__(self, texts: dict[str, str], finish: str = "stop") -> None:
        self.texts = texts
        self.finish: Any = finish
        self.asked: list[Any] = []

    def __call__(self, requests: Any) -> dict[str, Answer]:
        self.asked += requests
        return {
            one.id: Answer(one.id, self.texts[one.id.split("-", 1)[1]], self.finish)
            for one in requests
        }


def reason(ask: Callable[..., Any], rows: pl.DataFrame | None = None, **options: Any) -> Produced:
    if rows is None:
        rows = pl.DataFrame({"row_id": ["q"], "prompt": ["3 jars of 4, how many?"], "gold": ["12"]})
    config = ReasonConfig.model_validate({"model": "m", "answer": "gold", **options})
    return reason_out(rows, config, generator=ask, seed=7, models={"model": "m@1"}, files=())


def errors(made: Produced) -> list[str]:
    assert made.failed is not None
    return list(made.failed.sort("k")["error"])


def test_what_reaches_the_answer_is_a_row_and_the_rest_fails_with_what_it_said() -> None:
    ask = Said({
        "solve-0": think("3 * 4 = 12", "12 jars"),
        "solve-1": think("3 + 4 = 7", "7"),
        "solve-2": "3 * 4 = 12. The answer is 12.",
        "solve-3": "I like jars.",
    })  # fmt: skip
    made = reason(ask, k=4)
    rows = made.rows.sort("k")
    assert rows["response"].to_list() == ["12 jars", "12"]
    assert rows["reasoning"].to_list() == ["3 * 4 = 12", "3 * 4 = 12."]
    assert rows["answer_found"].to_list() == ["tags", "marker"]
    assert rows.select("reached", "hinted", "agreement").unique().rows() == [(True, False, 0.5)]
    talk = rows["messages"][1]
    assert [turn["role"] for turn in talk] == ["user", "assistant"]
    assert talk[1]["content"] == "<think>\n3 * 4 = 12.\n</think>\n\n12"
    assert errors(made) == ["wrong answer: 7, expected 12", "no answer found"]
    assert len(ask.asked) == 4  # no hint where one was reached


def test_where_none_reaches_it_the_hint_is_given_and_must_not_show() -> None:
    ask = Said({
        "solve-0": think("3 + 4 = 7", "7"), "solve-1": think("4 - 3 = 1", "1"),
        "solve-2": "", "solve-3": "<think>3 * 4",
        "hinted-0": think("3 * 4 = 12", "12"),
        "hinted-1": think("As the hint says, 3 * 4 = 12", "12"),
        "hinted-2": think("It must be 12.", "12"),
        "hinted-3": think("3 + 4 = 7", "7"),
    })  # fmt: skip
    made = reason(ask, k=4)
    assert made.rows.select("reached", "hinted", "k", "agreement").rows() == [(True, True, 0, None)]
    assert made.rows["prompt_name"].to_list() == ["hinted.en"]
    said = errors(made)
    assert len(said) == 7
    assert set(said) == {
        "wrong answer: 7, expected 12", "wrong answer: 1, expected 12", "empty answer",
        "thoughts are not closed", "the rationale tells of the hint: 'hint'",
        "the rationale shows no work", "wrong answer in spite of the hint: 7, expected 12",
    }  # fmt: skip
    solve, hinted = ask.asked[0].messages, ask.asked[4].messages
    assert "12" not in solve[-1].content
    assert "12" in hinted[-1].content
    assert "hint" not in made.rows["messages"][0][0]["content"]  # the row asks the plain question


def test_without_hint_a_question_is_asked_once() -> None:
    ask = Said({f"solve-{k}": think("3 + 4 = 7", "7") for k in range(2)})
    made = reason(ask, k=2, hint=False)
    assert (made.rows.height, len(errors(made)), len(ask.asked)) == (0, 2, 2)


def test_keep_all_makes_rows_of_wrong_answers_too() -> None:
    ask = Said({
        "solve-0": think("3 * 4 = 12", "12"), "solve-1": think("3 + 4 = 7", "7"), "solve-2": "",
    })  # fmt: skip
    made = reason(ask, k=3, keep="all")
    found = made.rows.sort("k").select("response", "reached", "agreement").rows()
    assert found == [("12", True, 1 / 3), ("7", False, 1 / 3)]
    assert errors(made) == ["empty answer"]


def test_the_majority_is_kept_where_it_is_large_enough() -> None:
    texts = {f"solve-{k}": think("3 * 4", "12") for k in range(3)}
    texts |= {"solve-3": think("3 + 4", "7"), "solve-4": "?!"}
    made = reason(Said(texts), k=5, answer=None)
    assert made.rows.select("response", "agreement", "reached").unique().rows() == [
        ("12", 0.6, True)
    ]
    assert made.rows.height == 3
    assert errors(made) == ["not the majority: 7, most say 12", "no answer found"]
    few = reason(Said(texts), k=5, answer=None, min_agreement=0.7)
    assert few.rows.height == 0
    assert errors(few)[0] == "agreement below 0.7: 0.6 say 12, this one 12"
    assert len(errors(few)) == 5


def test_a_tie_is_no_majority() -> None:
    texts = {f"solve-{k}": think("so", "12" if k % 2 else "7") for k in range(4)}
    made = reason(Said(texts), k=4, answer=None)
    assert made.rows.height == 0
    assert errors(made)[0] == "no majority: 7 and others are equally frequent"


def test_a_cut_answer_never_counts() -> None:
    made = reason(Said({"solve-0": think("3 * 4", "12")}, finish="length"), k=1, hint=False)
    assert errors(made) == ["cut at max_tokens"]


def test_rows_that_cannot_be_asked_fail_once() -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    rows = pl.DataFrame({
        "row_id": ["a", "b", "c", "d"], "prompt": [None, "  ", "1 + 1?", "1 + 1?"],
        "gold": ["1", "1", " ", "2"], "messages": [None, None, None, talk],
    })  # fmt: skip
    made = reason(Said({}), rows)
    assert made.rows.height == 0
    assert errors(made) == [
        "the question is empty",
        "the question is empty",
        "there is no right answer",
        "the row is a conversation, and only plain questions are asked",
    ]


def test_chinese_is_asked_in_chinese_and_another_column_becomes_the_prompt() -> None:
    rows = pl.DataFrame(
        {"row_id": ["q"], "question": ["三个罐子，每个4根，一共几根？"], "gold": ["12"]}
    )
    ask = Said({"solve-0": "<think>3 * 4 = 12</think>一共12根。"})
    made = reason(ask, rows, question="question", k=1)
    assert made.rows["prompt"].to_list() == ["三个罐子，每个4根，一共几根？"]
    assert made.rows["prompt_name"].to_list() == ["solve.zh"]
    assert "步骤" in ask.asked[0].messages[-1].content


@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think>b</think>c", "<think><think>a</think>b", "so <think>a</think>b",
        "</think>", "<think></think>12", "<think>a</think>", "12", "#### 12", "\ufffd\u202e\x00",
        "the " * 500,
    ],
)  # fmt: skip
def test_nasty_answers_fail_with_a_reason(text: str) -> None:
    made = reason(Said({"solve-0": text}), k=1, hint=False)
    assert made.rows.height == 0
    assert errors(made)[0] in {
        "think tags out of order", "no rationale", "no answer found", "empty answer",
    }  # fmt: skip


@pytest.mark.parametrize(
    "tells",
    [
        "The given answer is 12, so 3 * 4.", "3 * 4, which matches the answer.",
        "We are told that the answer is 12.", "根据答案，3 * 4 = 12", "已知答案是12，3 * 4", "按提示3 * 4",
    ],
)  # fmt: skip
def test_a_rationale_that_gives_the_hint_away_is_refused(tells: str) -> None:
    texts = {"solve-0": think("3 + 4 = 7", "7"), "hinted-0": think(tells, "12")}
    made = reason(Said(texts), k=1)
    assert made.rows.height == 0
    assert "the rationale tells of the hint" in "".join(errors(made))


@pytest.mark.parametrize("gold", [True, False])
def test_every_request_of_the_fake_model_is_accounted_for(gold: bool) -> None:
    rows = pl.DataFrame({
        "row_id": [f"r{i}" for i in range(30)],
        "prompt": [f"Ann has {i} nuts and finds {i + 2} more. How many?" for i in range(30)],
        "gold": [str(2 * i + 2) for i in range(30)],
    })  # fmt: skip
    options = FakeOptions(refuse_ratio=0.1, truncate_ratio=0.1, nonsense_ratio=0.1, skill_ratio=0.4)
    asked: list[str] = []

    def ask(requests: Any) -> dict[str, Answer]:
        asked.extend(one.id for one in requests)
        return {one.id: one for one in FakeGenerator(options).stream(requests)}

    made = reason(ask, rows, k=3, answer="gold" if gold else None)
    assert made.failed is not None
    assert len(set(asked)) == len(asked) == made.rows.height + made.failed.height
    assert made.rows.height > 10
    assert made.rows["hinted"].any() is gold


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temperature": 0}, "raise it, or set k to 1"),
        ({"answer": None, "k": 2}, "set k to 3 or more"),
        ({"min_agreement": 0}, "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        ReasonConfig.model_validate({"model": "m", "answer": "gold", **options})


def test_own_prompts_take_the_place_of_the_shipped_ones(tmp_path: Path) -> None:
    own = tmp_path / "solve.md"
    own.write_text("## user\nSolve: {{ question }}\n", "utf-8")
    ask = Said({"solve-0": think("3 * 4", "12")})
    rows = pl.DataFrame({"row_id": ["q"], "prompt": ["3 * 4"], "gold": ["12"]})
    config = ReasonConfig(model="m", answer="gold", k=1, prompts=("solve.md",))
    made = reason_out(rows, config, generator=ask, seed=7, models={"model": "m@1"}, files=(own,))
    assert [turn.content for turn in ask.asked[0].messages] == ["Solve: 3 * 4"]
    assert made.rows["prompt_name"].to_list() == ["solve"]
