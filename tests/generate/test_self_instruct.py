"""The loop of Self-Instruct, on the fake model and on answers written by hand."""

from __future__ import annotations

import re
from collections import Counter

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.errors import RecipeError
from databuild.generate.self_instruct import SelfInstructConfig, bootstrap_instructions
from databuild.generate.self_instruct_agreement import joined, label_agreement
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.protocol import Answer
from databuild.text.rouge import Novelty

SEEDS = [
    "Name three yellow fruits.",
    "Write a note to the baker.",
    "Why do cats purr?",
    "Sort these words by length.",
    "Is the review kind or rude?",
    "Explain how a kettle works.",
    "Translate the greeting.",
]
SEEDS_ZH = ["写一首关于雨的诗。", "为什么猫会打呼噜？", "判断这条评论的语气。"]


class Asked:
    """Answers through the fake model and remembers what was asked."""

    def __init__(self, **options) -> None:
        self.fake, self.requests = FakeGenerator(FakeOptions(**options)), []

    def __call__(self, requests):
        self.requests += requests
        return {answer.id: answer for answer in self.fake.stream(requests)}


class Scripted:
    """Answers by stage: the tasks of each head in turn, kinds, examples, further answers."""

    def __init__(
        self, tasks, *, kind="No", example="Input: none\nOutput: So.", check="So."
    ) -> None:
        self.tasks, self.requests = list(tasks), []
        self.said = {"kind": kind, "example": example, "check": check}

    def __call__(self, requests):
        self.requests += requests
        return {one.id: self.answer(one) for one in requests}

    def answer(self, request):
        stage = request.id.split("-")[-2 if "check" not in request.id else 1]
        if stage == "tasks":
            text = self.tasks.pop(0) if self.tasks else "nothing more"
        else:
            text = self.said[stage]
        return text if isinstance(text, Answer) else Answer(request.id, text, "stop", 10, 3)


def seeds(texts, **columns):
    ids = [f"s{i}" for i in range(len(texts))]
    return pl.DataFrame({"row_id": ids, "instruction": texts, **columns}, strict=False)


def instruct(ask, rows=None, *, files=(), seed=7, **options):
    rows = seeds(SEEDS) if rows is None else rows
    config = SelfInstructConfig(model="start", **{"target": 20, **options})
    given = {"seed": seed, "models": {"model": "fake@1"}, "files": files}
    return bootstrap_instructions(rows, config, generator=ask, **given)


def lost(made):
    return dict(Counter(made.failed["error"].str.split(":").list.first().to_list()))


def test_it_makes_exactly_as_many_rows_as_are_wanted():
    ask = Asked()
    made = instruct(ask, target=50)
    assert made.rows.height == made.facts["kept"] == 50
    assert (made.facts["stopped"], made.facts["shortfall"]) == ("target reached", [])
    assert len({request.id for request in ask.requests}) == len(ask.requests)
    assert made.facts["requests"] == {
        "tasks": sum("-tasks-" in request.id for request in ask.requests),
        "kind": 50,
        "example": 50,
    }


def test_every_task_is_a_row_or_failed_with_its_reason():
    ask = Asked()
    made = instruct(ask, target=30)
    answers = [ask.fake.answer(one).text for one in ask.requests if "-tasks-" in one.id]
    listed = [line.partition(". ")[2] for text in answers for line in text.splitlines()]
    told = [*made.rows["instruction"], *made.failed["text"]]
    assert Counter(told) == Counter(listed)
    assert made.notes["turned_away"] == made.failed.height > 0


def test_kept_tasks_are_unlike_every_seed_and_each_other():
    made = instruct(Asked(), target=60, novelty=0.6)
    order = made.rows["instruction"].unique(maintain_order=True).to_list()
    seen = Novelty(0.6)
    seen.add(SEEDS)
    assert seen.judge(order) == [None] * len(order)
    fallen = made.failed.filter(pl.col("error").str.starts_with("not new"))
    assert fallen.height > 0
    for text, nearest, error in fallen.select("text", "nearest", "error").iter_rows():
        pair = Novelty(0.01)
        pair.add([nearest])
        assert f"not new: {pair.judge([text])[0].score:.2f}" == error


def test_heads_are_seeds_and_own_tasks_and_named_as_such():
    ask = Asked()
    made = instruct(ask, target=60, heads=4, head_seeds=3, head_made=2)
    asked = {}
    for request in ask.requests:
        if "-tasks-" in request.id:
            asked[request.id] = re.findall(r"^\d+\. (.+)$", request.messages[-1].content, re.M)
    own = set(made.rows["instruction"])
    for name, tasks in asked.items():
        first = name.startswith("r1-")
        assert len(tasks) == 5 == len(set(tasks))
        assert sum(task in SEEDS for task in tasks) == (5 if first else 3)
        assert all(task in own for task in tasks if task not in SEEDS)
    rows = made.rows.filter(pl.col("round") > 1)
    assert rows["head_made"].list.len().to_list() == [2] * rows.height
    assert rows["parent_ids"].list.len().to_list() == [3] * rows.height


def test_no_seed_is_overused():
    ask = Asked()
    instruct(ask, target=80, heads=4, head_seeds=3, head_made=0)
    shown = Counter(
        task
        for one in ask.requests
        if "-tasks-" in one.id
        for task in re.findall(r"^\d+\. (.+)$", one.messages[-1].content, re.M)
    )
    assert max(shown[seed] for seed in SEEDS) <= 2 * min(shown[seed] for seed in SEEDS)


def test_rows_say_how_they_were_made():
    row = instruct(Asked(), instances=2).rows.row(3, named=True)
    assert row["prompt"] == joined(row["instruction"], row["input"])
    assert row["prompt_name"] in {"input_first.en", "output_first.en"}
    assert len(row["prompt_digest"]) == 16
    assert (row["origin"], row["model"], row["round"]) == ("self_instruct", "fake@1", 1)
    assert row["completion_tokens"] > 0


def test_it_does_not_depend_on_the_order_of_seeds_or_answers():
    rows = seeds([*SEEDS, *SEEDS_ZH])

    def said(rows, **options):
        made = instruct(Asked(**options), rows, target=40)
        return made.rows.to_dicts(), made.failed.to_dicts(), made.facts

    assert said(rows) == said(rows.reverse()) == said(rows, window=3)
    assert said(rows)[0] != instruct(Asked(), rows, target=40, seed=8).rows.to_dicts()


def test_after_a_kill_the_same_is_asked_and_nothing_else():
    first = Asked()
    whole = instruct(first, target=40, heads=4)
    known = {}

    def journal(requests):
        fresh = [one for one in requests if one.id not in known]
        assert all(one in first.requests for one in fresh)
        for one in fresh:
            if len(known) == 37:
                raise KeyboardInterrupt
            known[one.id] = first.fake.answer(one)
        return {one.id: known[one.id] for one in requests}

    with pytest.raises(KeyboardInterrupt):
        instruct(journal, target=40, heads=4)
    held = dict(known)
    known[""] = known.pop(next(iter(known)))  # so that the count passes 37
    known |= held
    again = instruct(journal, target=40, heads=4)
    assert again.rows.equals(whole.rows)
    assert again.failed.equals(whole.failed)


def test_languages_do_not_mix_and_share_by_their_seeds():
    ask = Asked()
    made = instruct(ask, seeds([*SEEDS, *SEEDS_ZH]), target=20)
    assert Counter(made.rows["language"]) == {"en": 14, "zh": 6}
    assert made.rows.filter(language="zh")["instruction"].str.contains(r"\p{Han}").all()
    heads = [one.messages[-1].content for one in ask.requests if "-tasks-" in one.id]
    assert all(bool(re.search("[一-龥]", head)) != ("Continue the list" in head) for head in heads)


def test_topics_fill_their_shares_and_one_without_seeds_falls_short():
    rows = seeds(SEEDS, topic=["a", "a", "a", "b", "b", "c", None])
    made = instruct(
        Asked(), rows, topic="topic", topics={"a": 0.5, "b": 0.25, "z": 0.25}, target=20
    )
    assert Counter(made.rows["topic"]) == {"a": 10, "b": 5}
    assert made.facts["shortfall"] == [{"of": "z, no seeds", "wanted": 5, "got": 0}]
    assert made.facts["stopped"] == "accept rate too low"
    assert Counter(made.dropped["reason"]) == {
        "no share for its topic: c": 1,
        "no share for its topic: None": 1,
    }
    of = dict(rows.select("row_id", "topic").iter_rows())
    for topic, parents in made.rows.select("topic", "parent_ids").iter_rows():
        assert {of[parent] for parent in parents} == {topic}


def test_topics_without_shares_share_by_their_seeds():
    rows = seeds(SEEDS, topic=["a"] * 5 + ["b", None])
    made = instruct(Asked(), rows, topic="topic", target=14)
    assert Counter(made.rows["topic"]) == {"a": 10, "b": 2, None: 2}


def test_a_type_takes_no_more_than_its_share():
    made = instruct(Asked(), target=20, types={"classification": 0.05, "question": 0})
    assert Counter(made.rows["type"]) == {"classification": 1, "generation": 19}
    assert lost(made)["enough of its type"] > 0
    assert made.facts["requests"]["example"] == 20
    assert made.rows.filter(is_classification=True)["prompt_name"].to_list() == ["output_first.en"]


def test_no_way_to_begin_takes_over():
    tasks = "\n".join(
        f"{n}. Write a {word} now and send it" for n, word in enumerate("abcdefgh", 9)
    )
    made = instruct(Scripted([tasks] * 3), target=10, max_opening_ratio=0.2, novelty=1, heads=1)
    assert made.rows.height == 2
    assert lost(made)["too many begin like it"] == 6


def test_it_stops_when_hardly_anything_is_new():
    ask = Scripted(["9. Name three red apples from the north."] * 99)
    made = instruct(ask, target=50, heads=2, patience=3)
    assert made.rows.height == 1
    assert made.facts["stopped"] == "accept rate too low"
    assert made.facts["shortfall"] == [{"of": "en", "wanted": 50, "got": 1}]
    assert [one["kept"] for one in made.facts["rounds"]] == [1, 0, 0, 0]


def test_a_budget_of_requests_is_kept_and_what_it_costs_is_said():
    ask = Asked()
    made = instruct(ask, target=50, max_requests=25, heads=4)
    assert len(ask.requests) == 25 == sum(made.facts["requests"].values())
    assert made.facts["stopped"] == "request budget spent"
    (short,) = made.facts["shortfall"]
    assert short == {"of": "en", "wanted": 50, "got": made.rows.height}
    found = lost(made)
    assert found["the budget of requests is spent"] > 0
    assert made.notes["turned_away"] == made.failed.height


def test_errors_are_asked_twice_more_then_failed_and_worth_another_run():
    def down(requests):
        counts.update(one.id for one in requests)
        return {one.id: Answer(one.id, None, "error", error="timed out") for one in requests}

    counts = Counter()
    made = instruct(down, heads=2, patience=1)
    assert set(counts.values()) == {3}
    assert made.failed.select("error", "retry", "stage").unique().rows() == [
        ("timed out", True, "tasks")
    ]
    assert made.notes["turned_away"] == 0
    assert made.facts["requests"] == {"tasks": 2, "kind": 0, "example": 0}


def test_an_error_that_passes_leaves_no_trace():
    tried = Counter()

    def flaky(requests):
        tried.update(one.id for one in requests)
        late = [one.id for one in requests if tried[one.id] < 2]
        return {
            one.id: Answer(one.id, None, "error", error="timed out")
            if one.id in late
            else FakeGenerator().answer(one)
            for one in requests
        }

    made, plain = instruct(flaky), instruct(Asked())
    assert made.rows.equals(plain.rows)
    assert made.facts == plain.facts


def test_a_refused_request_is_not_tried_again():
    made = instruct(Asked(refuse_ratio=1.0), patience=1, heads=2)
    assert made.failed.select("error", "retry").unique().rows() == [("the model refused", False)]
    assert made.notes["turned_away"] == 0


def test_nonsense_is_said_to_be_unreadable():
    made = instruct(Asked(nonsense_ratio=1.0), patience=2, heads=3)
    assert lost(made) == {"no task in a list": 6}
    assert made.rows.height == 0
    assert made.facts["accept_ratio"] == 0


def test_cut_answers_lose_their_last_task():
    made = instruct(Asked(), max_tokens=12, heads=2, patience=1, target=3)
    assert {"no whole task before the cut", "no example"} & set(lost(made))


def test_labels_come_first_for_classification_and_agreement_is_by_majority():
    tasks = ["9. Sort each remark by its tone."]
    kinds = {"kind": "Yes", "example": "Label: kind\nInput: Well done!"}
    made = instruct(Scripted(tasks, **kinds, check="It is kind."), target=1, consistency=2)
    assert made.rows.select("input", "response", "agreement").rows() == [
        ("Well done!", "kind", 1.0)
    ]
    assert made.facts["requests"] == {"tasks": 1, "kind": 1, "example": 1, "agreement": 2}
    made = instruct(
        Scripted(tasks, **kinds, check="rude"), target=1, consistency=2, patience=1, heads=1
    )
    assert made.rows.height == 0
    assert lost(made)["answers disagree"] == 1


def test_other_answers_agree_by_rouge():
    tasks = ["9. Say what the cat sat on."]
    example = "Input: none\nOutput: the cat sat on the mat"
    ask = Scripted(tasks, example=example, check="the cat sat on the rug")
    made = instruct(ask, target=1, consistency=1)
    assert made.rows["agreement"].to_list() == [pytest.approx(10 / 12)]
    assert ask.requests[-1].messages[-1].content == "Say what the cat sat on."
    ask = Scripted(tasks, example=example, check="no idea at all")
    made = instruct(ask, target=1, consistency=1, heads=1, patience=1)
    assert lost(made)["answers disagree"] == 1


def test_the_same_input_with_other_outputs_falls():
    example = "Input: 2\nOutput: 4\nInput: 2\nOutput: 5\nInput: 3\nOutput: 6\nInput: 4\nOutput: 8"
    ask = Scripted(["9. Double the number you see."], example=example)
    made = instruct(ask, target=5, instances=1, heads=1, patience=1)
    assert made.rows.select("input", "k").rows() == [("3", 2)]
    found = lost(made)
    assert (found["same input, other output"], found["more examples than asked"]) == (2, 1)


def test_seeds_that_cannot_be_used_are_dropped_and_say_why():
    rows = seeds(["Name a fish, any fish.", " Name a fish, any fish. ", None, "  ", "🙂"])
    made = instruct(Asked(), rows, target=2)
    assert made.dropped.sort("row_id").rows() == [
        ("s1", "same seed: s0"), ("s2", "no instruction"), ("s3", "no instruction"),
        ("s4", "no instruction"),
    ]  # fmt: skip


def test_seeds_that_stood_in_no_head_are_said():
    made = instruct(Asked(), target=1, heads=1, head_seeds=2, head_made=0)
    assert Counter(made.dropped["reason"]) == {"stood in no head": 5}


def test_without_seeds_there_is_a_shortfall_and_no_request():
    ask = Asked()
    made = instruct(ask, seeds([None, " "]))
    assert (made.facts["stopped"], ask.requests) == ("no seeds", [])
    assert made.facts["shortfall"] == [{"of": "seeds", "wanted": 20, "got": 0}]


def test_a_prompt_of_ones_own_is_used(tmp_path):
    path = tmp_path / "kind.en.md"
    path.write_text("## user\nLabels? {{ instruction }}", "utf-8")
    ask = Asked()
    instruct(ask, files=(path,))
    asked = [one.messages for one in ask.requests if "-kind-" in one.id]
    assert all(len(turns) == 1 and turns[0].content.startswith("Labels?") for turns in asked)
    path.write_text("## user\n{{ instructions }}", "utf-8")
    with pytest.raises(RecipeError, match="unknown placeholder 'instructions'"):
        instruct(ask, files=(path,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 0}, "greater than or equal to 1"),
        ({"max_requests": 0}, "greater than or equal to 1"),
        ({"temperature": 0}, "temperature 0 makes the same tasks"),
        ({"types": {"poem": 0.5}}, "types has 'poem'; the types are"),
        ({"types": {"question": 1.5}}, "a share is from 0 to 1"),
        ({"types": {"classification": 0.2, "question": 0.2, "generation": 0.2}}, "below 1"),
        ({"topics": {"a": 1}}, "name the column in `topic`"),
        ({"topic": "t", "topics": {"a": 0}}, "give one a share above 0"),
        ({"novelty": 0}, "greater than 0"),
        ({"min_instruction_tokens": 200}, "is above max_instruction_tokens"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        SelfInstructConfig(model="start", **{"target": 5, **options})


def test_labels_agree_as_runs_of_tokens():
    assert label_agreement("好", ["很好", "坏", "好。"]) == pytest.approx(2 / 3)
    assert label_agreement("spam", []) == 0


def test_the_kind_is_one_of_two_words_where_the_engine_can_be_held_to_them():
    free, held = Asked(), Asked()
    held.has_choice = True  # type: ignore[attr-defined]
    rows = seeds([*SEEDS, *SEEDS_ZH])
    made = [instruct(ask, rows, topic=None) for ask in (free, held)]
    assert all(one.rows.height == 20 for one in made)
    kinds = [
        {one.sampling.choice for one in ask.requests if "-kind-" in one.id} for ask in (free, held)
    ]
    assert kinds == [{()}, {("Yes", "No"), ("是", "否")}]
    others = [one.sampling.choice for one in held.requests if "-kind-" not in one.id]
    assert set(others) == {()}
