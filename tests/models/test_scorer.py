"""Rewards from a journal, each talk once; folders that give none are refused before they load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from databuild.engine.journal import Journal
from databuild.engine.resources import Silence
from databuild.errors import ServiceError
from databuild.models.fake import FakeOptions
from databuild.models.scorer import (
    CHUNK,
    FakeScorer,
    Reading,
    Reward,
    Scoring,
    check_reward_folder,
    steps_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def talk(answer: str, prompt: str = "name the red stone") -> str:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return json.dumps({"turns": turns, "tools": None})


class Counting:
    """A scorer that writes down what it is asked; an answer "bad" has an error."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, talks: Sequence[str], reading: Reading) -> list[Reward]:
        self.asked += talks
        assert len(talks) <= CHUNK <= reading.batch_tokens
        return [
            Reward(None, 1, False, None, "no")
            if '"bad"' in one
            else Reward(float(len(one)), 3, False)
            for one in talks
        ]

    def close(self) -> None:
        """Nothing."""


def test_equal_talks_are_read_once_and_known_ones_never_again(tmp_path: Path) -> None:
    scorer, watch = Counting(), Silence()
    talks = [talk("b" * n) for n in (3, 1, 3, 2)] + [talk("bad")]
    journal = Journal(tmp_path)
    first = Scoring(lambda: scorer, journal, "rm@1", watch)(talks, Reading())
    assert [one.score for one in first] == [*(float(len(t)) for t in talks[:4]), None]
    assert sorted(scorer.asked) == sorted(set(talks))
    assert watch.done == 5
    journal.close()
    scorer.asked.clear()
    journal = Journal(tmp_path)  # as the next run finds it
    again = Scoring(lambda: scorer, journal, "rm@1")(talks, Reading())
    assert again == first
    assert scorer.asked == [talk("bad")]  # an error is not kept
    Scoring(lambda: scorer, journal, "rm@2")(talks[:1], Reading())
    Scoring(lambda: scorer, journal, "rm@1")(talks[:1], Reading(max_length=9))
    assert scorer.asked[1:] == talks[:1] * 2  # another model, another way of reading
    Scoring(lambda: scorer, journal, "rm@1")(talks[:1], Reading(batch_tokens=9))
    assert len(scorer.asked) == 3  # how much is read at once decides nothing
    journal.close()


def test_chunks_follow_from_the_set_of_talks() -> None:
    one, other = Counting(), Counting()
    talks = [talk("x" * (n % 50) + str(n)) for n in range(CHUNK + 100)]
    forward = Scoring(lambda: one, None, "rm")(talks, Reading())
    backward = Scoring(lambda: other, None, "rm")(talks[::-1], Reading())
    assert forward == backward[::-1]
    assert one.asked == other.asked


def test_no_talk_starts_no_model() -> None:
    def opened() -> Counting:
        raise AssertionError

    assert Scoring(opened, None, "rm")([], Reading()) == []


def test_steps_survive_the_journal(tmp_path: Path) -> None:
    journal, fake = Journal(tmp_path), FakeScorer(FakeOptions())
    reading = Reading(steps="\n")
    first = Scoring(lambda: fake, journal, "f")([talk("one\ntwo")], reading)
    journal.close()
    journal = Journal(tmp_path)

    def opened() -> Counting:
        raise AssertionError

    assert Scoring(opened, journal, "f")([talk("one\ntwo")], reading) == first
    assert first[0].score is None
    assert len(first[0].steps or ()) == 2
    journal.close()


def test_the_fake_model_follows_the_answer_by_its_skill() -> None:
    able = FakeScorer(FakeOptions(skill_ratio=1.0))
    good, poor = able.read([talk("the red stone"), talk("seven")], Reading())
    assert (good.score, poor.score) == (0.75, 0.0)
    assert able.read([talk("the red stone")], Reading(max_length=4))[0] == Reward(0.75, 4, True)
    noisy = FakeScorer(FakeOptions(skill_ratio=0.0))
    scores = [noisy.read([talk(str(n))], Reading())[0].score for n in range(50)]
    assert len(set(scores)) == 50
    assert all(0 <= float(score or 0) <= 1 for score in scores)


def test_steps_are_what_is_not_blank() -> None:
    assert steps_of(" \n\na\n b\n", "\n") == ["a", " b"]
    assert steps_of("", "\n") == []


def folder(path: Path, **config: Any) -> Path:
    (path / "config.json").write_text(json.dumps(config), "utf-8")
    return path


@pytest.mark.parametrize(
    ("config", "reading", "match"),
    [
        (
            {"architectures": ["LlamaForCausalLM"]},
            Reading(),
            r"it has no reward\. Fix: .*train\.reward",
        ),
        ({}, Reading(), "a model without a named head"),
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            Reading(),
            r"has 2 labels.*Fix: say with `label`",
        ),
        (
            {
                "architectures": ["BertForSequenceClassification"],
                "id2label": {"0": "bad", "1": "good"},
            },
            Reading(),
            r"0 \(bad\), 1 \(good\)",
        ),
        (
            {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "r"}},
            Reading(label=1),
            "no label 1",
        ),
        (
            {"architectures": ["Qwen2ForTokenClassification"], "id2label": {"0": "r"}},
            Reading(),
            "judges tokens, not answers.*steps",
        ),
    ],
)
def test_a_folder_that_gives_no_reward_is_refused(
    tmp_path: Path, config: dict[str, Any], reading: Reading, match: str
) -> None:
    with pytest.raises(ServiceError, match=match):
        check_reward_folder(folder(tmp_path, **config), reading, where="scored")


def test_a_folder_that_does(tmp_path: Path) -> None:
    one = {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "r"}}
    head = "ForSequenceClassification"
    assert check_reward_folder(folder(tmp_path, **one), Reading(), where="s") == head
    two = {"architectures": ["LlamaForSequenceClassification"]}
    assert check_reward_folder(folder(tmp_path, **two), Reading(label=1), where="s") == head
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ServiceError, match="is no model folder"):
        check_reward_folder(tmp_path, Reading(), where="s")
