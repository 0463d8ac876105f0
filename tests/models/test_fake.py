"""The fake model misbehaves as asked, and always in the same way."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter

import pytest

from databuild.errors import ServiceError
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.protocol import Message, Request, Sampling


def asks(n: int, prompt: str = "Write about tea. At most 12 words.") -> list[Request]:
    return [
        Request(str(i), (Message("user", prompt),), Sampling(max_tokens=200), i) for i in range(n)
    ]


def test_the_same_requests_get_the_same_answers_in_the_same_order():
    first, second = (list(FakeGenerator().stream(asks(40))) for _ in range(2))
    assert first == second
    assert [answer.id for answer in first] != [str(i) for i in range(40)]


def test_an_answer_does_not_depend_on_its_company():
    alone = {a.id: a for request in asks(20) for a in FakeGenerator().stream([request])}
    together = {a.id: a for a in FakeGenerator(FakeOptions(window=7)).stream(asks(20))}
    assert alone == together


def test_another_seed_of_its_own_is_another_model():
    first, second = (
        {a.text for a in FakeGenerator(FakeOptions(seed=s)).stream(asks(20))} for s in (0, 1)
    )
    assert first != second


@pytest.mark.parametrize("fate", ["refuse", "time_out", "truncate", "nonsense"])
def test_every_fate_meets_about_its_share(fate):
    options = FakeOptions.model_validate({f"{fate}_ratio": 0.3})
    answers = list(FakeGenerator(options).stream(asks(400)))
    plain = {a.id: a for a in FakeGenerator().stream(asks(400))}
    hit = [a for a in answers if a != plain[a.id]]
    assert 80 < len(hit) < 160
    finishes = Counter(a.finish_reason for a in hit)
    if fate == "refuse":
        assert finishes == {"refused": len(hit)}
    elif fate == "time_out":
        assert {a.error for a in hit} == {"timed out"}
    elif fate == "truncate":
        assert finishes == {"length": len(hit)}
    else:
        assert "" in {a.text for a in hit}


def test_all_fates_together_leave_none_plain():
    shares = dict.fromkeys(
        ("refuse_ratio", "time_out_ratio", "truncate_ratio", "nonsense_ratio"), 0.25
    )
    answers = list(FakeGenerator(FakeOptions.model_validate(shares)).stream(asks(200)))
    assert 30 < sum(a.finish_reason == "refused" for a in answers) < 70
    assert 30 < sum(a.error == "timed out" for a in answers) < 70


def test_it_dies_after_the_answers_that_were_asked_for():
    seen: list[object] = []
    with pytest.raises(ServiceError, match="died after 5 answers"):
        seen.extend(FakeGenerator(FakeOptions(die_after=5)).stream(asks(40)))
    generator = FakeGenerator(FakeOptions(die_after=5))
    list(generator.stream(asks(5)))
    with pytest.raises(ServiceError, match="died after 5 answers"):
        list(generator.stream(asks(1)))


def test_it_can_kill_its_own_process():
    code = (
        "from databuild.models.fake import *; from databuild.models.protocol import *\n"
        "asks = [Request(str(i), (Message('user', 'x'),), Sampling(), i) for i in range(9)]\n"
        "for answer in FakeGenerator(FakeOptions(die_after=3, die='kill')).stream(asks):\n"
        "    print(answer.id, flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.split()) == 3


@pytest.mark.parametrize(
    ("order", "obeys"),
    [
        ("Use only lowercase letters.", str.islower),
        ("Write in capital letters.", str.isupper),
        ("Use at most 9 words.", lambda text: len(text.split()) <= 9),
        ("Give exactly 3 bullet points.", lambda text: text.count("- ") == 3),
        ("No commas, please.", lambda text: "," not in text),
        ('Answer as JSON with the keys "a" and "b".', lambda text: text.startswith('{"a": ')),
        ('End with "Good night."', lambda text: text.endswith("Good night.")),
        ('Start with "Well now:"', lambda text: text.startswith("Well now:")),
    ],
)
def test_a_skilled_one_obeys_and_a_clumsy_one_seldom_does(order, obeys):
    requests = asks(60, f"Tell me about tea. {order}")

    def share(skill: float) -> float:
        answers = FakeGenerator(FakeOptions(skill_ratio=skill)).stream(requests)
        return sum(bool(obeys(a.text)) for a in answers if a.finish_reason == "stop") / 60

    assert share(1.0) > 0.6
    assert share(0.0) < share(0.5) < share(1.0)
