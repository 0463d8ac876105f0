"""The search goes on with what scores best, ends where an answer stands, and loses no question."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from databuild import api
from databuild.errors import ServiceError
from databuild.generate.reason import _PROMPTS, ReasonConfig, reason_out
from databuild.generate.reason_scores import read_worth
from databuild.generate.reason_search import Asking, Partial, SearchConfig, search
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.protocol import Answer, Sampling
from databuild.models.scorer import FakeScorer, Reading, Reward, Scoring

SUMS = [
    ("Start with 7. Add 5. Multiply by 3. Take away 4. What number is it?", "32"),
    ("Start with 20. Subtract 8. Multiply by 2. Add 9. What number is it?", "33"),
    ("Start at 4. Multiply by 6. Add 1. Multiply by 2. What number is it?", "50"),
    ("从9开始，加上6，乘以2，减去5，得到什么数？", "25"),
    ("从3开始，乘以7，减去1，加上10，得到什么数？", "30"),
]
ROWS = pl.DataFrame(
    {"row_id": [f"q{i}" for i in range(5)], "prompt": [one for one, _ in SUMS],
     "gold": [one for _, one in SUMS]},
)  # fmt: skip


class Asked:
    """The fake model, which remembers what it was asked."""

    def __init__(self, **options: Any) -> None:
        self.model, self.requests = FakeGenerator(FakeOptions(**options)), []

    def __call__(self, requests: Any) -> dict[str, Answer]:
        self.requests += requests
        return {one.id: one for one in self.model.stream(requests)}


class Scripted:
    """Next steps and worths by what stands so far; every request of one kind gets them in turn."""

    def __init__(self, steps: dict[str, list[str]], worth: dict[str, str]) -> None:
        self.steps, self.worth, self.asked = steps, worth, Counter()

    def __call__(self, requests: Any) -> dict[str, Answer]:
        return {one.id: Answer(one.id, self.text(one), "stop", 10, 2) for one in requests}

    def text(self, request: Any) -> str:
        kind = request.id.split("-")[1].rstrip("0123456789.")
        self.asked[kind] += 1
        said = request.messages[-1].content
        so_far = [line.partition(": ")[2] for line in said.splitlines() if line.startswith("Step ")]
        k = int(request.id.rsplit("-", 1)[1])
        if kind == "step":
            return self.steps["|".join(so_far)][k]
        return self.worth.get(so_far[-1], "likely")


def reason(ask: Any, rows: pl.DataFrame = ROWS, rewards: Scoring | None = None, **options: Any):
    given = {"model": "m", "answer": "gold", "hint": False, **options}
    config = ReasonConfig.model_validate(given | ({"scorer": "rm"} if rewards else {}))
    models = {"model": "m@1"}
    return reason_out(rows, config, generator=ask, seed=7, models=models, files=(), rewards=rewards)


ONE = pl.DataFrame({"row_id": ["q"], "prompt": ["How many?"], "gold": ["12"]})
STEPS = {
    "": ["3 + 4 = 7", "Step 1: 3 * 4 = 12", "3 + 4 = 7."],
    "3 + 4 = 7": ["The answer is 7.", "3 + 4 = 7", ""],
    "3 * 4 = 12": ["The answer is 12.", "3 more", "The answer is 12"],
    "3 * 4 = 12|3 more": ["The answer is 15.", "", ""],
}
WORTH = {"3 * 4 = 12": "sure", "The answer is 12.": "Sure!", "The answer is 7.": "impossible"}


def test_greedy_fails_where_the_search_succeeds():
    options = {"skill_ratio": 0.5}
    wide = {"width": 3, "branch": 6, "depth": 5, "judgements": 3}
    narrow = {"width": 1, "branch": 1, "depth": 5, "judgements": 1}
    greedy = reason(Asked(**options), search=narrow, temperature=0)
    searched = reason(Asked(**options), search=wide, temperature=0.9)
    assert greedy.rows.height <= 1
    assert searched.rows.height >= 4
    assert set(searched.rows["prompt_name"]) == {"step.en", "step.zh"}
    row = searched.rows.filter(pl.col("parent_ids").list.first() == "q0").row(0, named=True)
    assert (row["response"], row["n_steps"], row["agreement"]) == ("32", 4, None)
    assert row["reasoning"] == "7 + 5 = 12\n12 * 3 = 36\n36 - 4 = 32"
    assert row["search_score"] > 0.5
    for made in (greedy, searched):  # every question is a row or a failure
        lost = [parent for (parent,) in made.failed["parent_ids"].to_list()]
        kept = [parent for (parent,) in made.rows["parent_ids"].to_list()]
        assert sorted(lost + kept) == [f"q{i}" for i in range(5)]


@pytest.mark.parametrize("score", ["model", "votes"])
def test_the_same_search_twice_is_the_same_and_batches_do_not_matter(score):
    options = {"search": {"width": 2, "branch": 4, "depth": 5, "score": score}, "keep": "all"}
    whole = reason(Asked(skill_ratio=0.7), **options).rows
    single = [
        reason(Asked(skill_ratio=0.7), ROWS[i : i + 1], **options).rows for i in range(ROWS.height)
    ]
    assert whole.height > ROWS.height
    assert whole.equals(pl.concat(single))
    best = whole.filter(pl.col("k") == 0)
    assert best["reached"].sum() >= 4
    by_row = whole.with_columns(row=pl.col("parent_ids").list.first())
    assert by_row.sort("row", "k").equals(by_row.sort("row", -pl.col("search_score"), "k"))


def test_the_steps_that_are_asked_scored_and_kept():
    ask = Scripted(STEPS, WORTH)
    made = reason(ask, ONE, search={"width": 2, "branch": 3, "judgements": 2}, keep="all")
    rows = made.rows.sort("k").select("response", "search_score", "reached", "n_steps").rows()
    assert rows == [("12", 1.0, True, 2), ("15", 0.5, False, 3), ("7", 0.0, False, 2)]
    # Equal steps count once; a step that repeats another, or is empty, is not scored.
    assert ask.asked == {"step": 3 + 2 * 3 + 3, "value": 2 * (2 + 3 + 1)}
    assert made.rows["completion_tokens"].unique().to_list() == [2 * ask.asked.total()]
    best = reason(Scripted(STEPS, WORTH), ONE, search={"judgements": 2})
    assert best.rows["response"].to_list() == ["12"]
    assert best.failed.is_empty()


def test_a_solution_that_scores_best_and_is_wrong_is_a_failure_with_what_it_said():
    worth = {"3 + 4 = 7": "sure", "The answer is 7.": "sure", "The answer is 12.": "likely"}
    made = reason(Scripted(STEPS, worth), ONE, search={"judgements": 1})
    assert made.rows.is_empty()
    assert made.failed.select("error", "retry").rows() == [("wrong answer: 7, expected 12", False)]
    free = reason(Scripted(STEPS, worth), ONE, search={"judgements": 1}, answer=None)
    assert free.rows.select("response", "reached").rows() == [("7", True)]


def test_a_question_without_a_solution_fails_once_and_says_why():
    loops = {"": ["a 1"] * 3, "a 1": ["A 1."] * 3}
    made = reason(Scripted(loops, {}), ONE, search={})
    assert made.failed.select("error", "retry").rows() == [
        ("no solution reached an answer within 6 steps: repeats a step", False)
    ]
    bare = reason(Scripted({"": ["The answer is 12."] * 3}, {}), ONE, search={})
    assert bare.failed["error"].to_list() == [
        "no solution reached an answer within 6 steps: no rationale"
    ]
    ended = reason(Scripted({"": ["a 1"] * 3}, {}), ONE, search={"depth": 1})
    assert ended.failed["error"].to_list() == ["no solution reached an answer within 1 steps"]
    lost = reason(Asked(time_out_ratio=1.0), search={})
    assert lost.failed["retry"].to_list() == [True] * 5
    assert lost.failed["error"].str.ends_with(": timed out").all()


def test_a_question_that_was_not_reached_is_hinted_as_without_a_search():
    made = reason(Asked(skill_ratio=0.0), search={"depth": 5}, hint=True, k=2)
    assert made.rows.filter("hinted").height > 2
    assert made.rows.filter("hinted")["search_score"].null_count() == made.rows.height


def test_another_score_fits_in():
    """A reward model for steps is a function from questions and steps to numbers."""
    seen: list[tuple[str, tuple[str, ...]]] = []

    def longest(found, _stage):
        seen.extend((one.question, one.steps) for one in found)
        return [float(len(one.steps[-1])) for one in found]

    asking = Asking(_PROMPTS.read(), Scripted(STEPS, {}), 7, Sampling())
    config = SearchConfig(width=1, branch=3)
    found = search([Partial("q", "How many?", "en")], config, asking, longest)
    assert [one.steps[-1] for one in found["q"].paths] == ["The answer is 12."]
    assert seen[0] == ("How many?", ("3 + 4 = 7",))


class Rewarding:
    """A reward model that says what it is told of the last step, and remembers what it read."""

    def __init__(self, said: dict[str, Reward]) -> None:
        self.said = said
        self.read_talks: list[Any] = []
        self.reading: Reading | None = None

    def read(self, talks: Any, reading: Reading) -> list[Reward]:
        self.reading = reading
        self.read_talks += [json.loads(one)["turns"] for one in talks]
        return [self.said[json.loads(one)["turns"][-1]["content"]] for one in talks]

    def close(self) -> None:
        """Nothing."""


def one_of(score: float) -> Reward:
    return Reward(score, 5, False)


@pytest.mark.parametrize("step_score", [None, "min"])
def test_a_reward_model_leads_where_greedy_fails(step_score):
    rewards = Scoring(lambda: FakeScorer(FakeOptions(skill_ratio=0.9)), None, "rm@1")
    options = {"width": 2, "branch": 6, "depth": 5, "score": "reward", "step_score": step_score}
    ask = Asked(skill_ratio=0.5)
    made = reason(ask, rewards=rewards, search=options, temperature=0.9)
    assert made.rows.height >= 4
    assert {one.id.split("-")[1].rstrip("0123456789.") for one in ask.requests} == {"step"}
    blind = Scoring(lambda: FakeScorer(FakeOptions(skill_ratio=0.0)), None, "rm@2")
    led_astray = reason(Asked(skill_ratio=0.5), rewards=blind, search=options, temperature=0.9)
    assert led_astray.rows.height < made.rows.height


def test_a_reward_model_reads_the_question_and_all_steps():
    first, other = "3 + 4 = 7", "3 * 4 = 12"
    whole, wrong = f"{other}\nThe answer is 12.", f"{other}\n3 more"
    said = {
        first: -2.0,
        other: 3.123456,
        whole: 1.5,
        wrong: 1.0,
        f"{first}\nThe answer is 7.": -9.0,
    }
    said |= {f"{wrong}\nThe answer is 15.": 0.25}
    model = Rewarding({text: one_of(score) for text, score in said.items()})
    rewards = Scoring(lambda: model, None, "rm@1")
    options = {"score": "reward", "max_length": 77}
    made = reason(Scripted(STEPS, {}), ONE, rewards, search=options, keep="all")
    found = made.rows.sort("k").select("response", "search_score").rows()
    assert found == [("12", 1.5), ("15", 0.25), ("7", -9.0)]
    assert model.reading == Reading(max_length=77)
    assert [turn["role"] for turn in model.read_talks[0]] == ["user", "assistant"]
    assert {turns[0]["content"] for turns in model.read_talks} == {"How many?"}
    assert sorted(turns[1]["content"] for turns in model.read_talks) == sorted(said)


@pytest.mark.parametrize(
    ("step_score", "expected"), [("min", 0.2), ("last", 0.4), ("product", 0.08), ("mean", 0.3)]
)
def test_scores_of_steps_become_one(step_score, expected):
    model = Rewarding(defaultdict(lambda: Reward(None, 5, False, (0.2, 0.4))))
    rewards = Scoring(lambda: model, None, "rm@1")
    options = {"score": "reward", "step_score": step_score, "step_mark": "<extra_0>"}
    made = reason(Scripted(STEPS, {}), ONE, rewards, search=options, keep="all")
    assert made.rows["search_score"].unique().to_list() == [expected]
    assert model.reading == Reading(steps="\n", step_mark="<extra_0>")


def test_a_beginning_without_a_reward_is_not_gone_on_with_and_the_question_says_so():
    lost = Reward(None, 5, False, None, "the model's reward is not a finite number")
    said = {"3 + 4 = 7": one_of(1.0), "3 * 4 = 12": lost, "3 + 4 = 7\nThe answer is 7.": lost}
    rewards = Scoring(lambda: Rewarding(said), None, "rm@1")
    made = reason(Scripted(STEPS, {}), ONE, rewards, search={"score": "reward"})
    error = "no reward: the model's reward is not a finite number"
    assert made.rows.is_empty()
    assert made.failed.select("error", "retry").rows() == [
        (f"no solution reached an answer within 6 steps: {error}", False)
    ]


@pytest.mark.parametrize(
    ("text", "worth"),
    [("Sure", 1.0), ("**likely**", 0.5), ("impossible.", 0.0), ("unlikely", None), ("", None),
     ("I am not sure", None), ("It is impossible to be sure", 0.0)],
)  # fmt: skip
def test_a_judgement_is_read(text, worth):
    assert read_worth(text, "en") == worth


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="set branch and judgements to 1"):
        ReasonConfig(model="m", temperature=0, search=SearchConfig())
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        ReasonConfig.model_validate({"model": "m", "search": {"width": 0}})
    ReasonConfig(model="m", k=1, search=SearchConfig())  # no majority is needed
    with pytest.raises(ValidationError, match="name it with `scorer`"):
        ReasonConfig(model="m", search=SearchConfig(score="reward"))
    with pytest.raises(ValidationError, match="used in a search only"):
        ReasonConfig(model="m", search=SearchConfig(), scorer="rm")
    with pytest.raises(ValidationError, match="set score to reward"):
        SearchConfig(step_score="min")
    with pytest.raises(ValidationError, match="step_mark needs step_score"):
        SearchConfig(score="reward", step_mark="<x>")
    by_reward = SearchConfig(score="reward", branch=1)  # which judges nothing by drawing
    ReasonConfig(model="m", temperature=0, search=by_reward, scorer="rm")


RECIPE = """
name: sums
seed: 3
models: {start: {fake: %s}}
steps:
  raw: {use: ingest.files, path: sums.jsonl}
  thoughts: {use: generate.reason, from: raw, model: start, answer: gold, hint: false,
             search: {width: 2, branch: 4, depth: 5}, max_failure_ratio: 1.0}
"""


def recipe(folder, **options):
    folder.mkdir(exist_ok=True)
    told = [{"prompt": prompt, "gold": gold} for prompt, gold in SUMS]
    (folder / "sums.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in told))
    (folder / "r.yaml").write_text(RECIPE % json.dumps({"skill_ratio": 0.8, **options}))
    return folder / "r.yaml"


def paid(folder):
    keys = [
        json.loads(line)[0]
        for path in (folder / "runs" / "journals").glob("*/requests.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(set(keys)) == len(keys)  # nothing twice
    return len(keys)


def thoughts(folder):
    return pl.read_parquet(str(folder / "runs" / "sums" / "thoughts-*" / "part-*.parquet"))


def test_killed_and_resumed_pays_nothing_twice(tmp_path, monkeypatch):
    straight, torn = tmp_path / "a", tmp_path / "b"
    api.run(recipe(straight), runs=straight / "runs", workers=1)
    one = recipe(torn)
    given = FakeGenerator.answer
    left = [50]

    def dying(self, request):
        left[0] -= 1
        if left[0] < 0:
            raise ServiceError("fake", "it died", fix="run again")
        return given(self, request)

    monkeypatch.setattr(FakeGenerator, "answer", dying)
    with pytest.raises(ServiceError, match="it died"):
        api.run(one, runs=torn / "runs", workers=1)
    assert paid(torn) == 50
    left[0] = 100_000
    api.run(one, runs=torn / "runs", workers=1)
    assert paid(torn) == paid(straight) == 50 + 100_000 - left[0]
    assert thoughts(torn).height >= 4
    assert thoughts(torn)["row_id"].equals(thoughts(straight)["row_id"])
    usage = api.ledger("sums", runs=torn / "runs").total.usage
    assert (usage.paid, usage.reused) == (paid(torn), 0)


LED = """
name: sums
seed: 3
models: {start: {fake: {skill_ratio: 0.6}}, judge: {fake: {skill_ratio: 0.95, seed: 2}}}
steps:
  raw: {use: ingest.files, path: sums.jsonl}
  thoughts: {use: generate.reason, from: raw, model: start, scorer: judge, answer: gold, hint: false,
             search: {score: reward, branch: 5, depth: 5}, max_failure_ratio: 1.0}
"""


def test_rewards_are_in_their_models_own_journal_and_read_once(tmp_path, monkeypatch):
    one = recipe(tmp_path)
    one.write_text(LED)
    read, given = [], FakeScorer.read

    def counted(self, talks, reading):
        read.extend(talks)
        return given(self, talks, reading)

    monkeypatch.setattr(FakeScorer, "read", counted)
    api.run(one, runs=tmp_path / "runs", workers=1)
    assert thoughts(tmp_path).height >= 4
    assert len(list((tmp_path / "runs" / "journals").iterdir())) == 2
    assert len(set(read)) == len(read) > 50
    before, n_paid = len(read), paid(tmp_path)
    api.run(one, runs=tmp_path / "runs", workers=1, from_step="thoughts")
    assert (len(read), paid(tmp_path)) == (before, n_paid)
    other = one.read_text().replace("seed: 2", "seed: 5")  # another judge: its rewards are its own
    one.write_text(other)
    api.run(one, runs=tmp_path / "runs", workers=1)
    assert len(read) > before
