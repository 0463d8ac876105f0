"""What was paid is counted once, and a budget stops before the request that could exceed it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from databuild.engine.journal import Journal
from databuild.engine.ledger import Limit, Meter, Usage, added
from databuild.errors import BudgetError
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.journalled import Journalled
from databuild.models.protocol import Message, Request, Sampling
from databuild.recipe.model import Budget, Prices


def asks(n: int, max_tokens: int = 50) -> list[Request]:
    sampling = Sampling(max_tokens=max_tokens)
    return [
        Request(f"q{i}", (Message("user", f"Tell me about tea {i}."),), sampling, i)
        for i in range(n)
    ]


def asked(folder, requests, meter, model=None):
    """Ask as a process of its own would; the answers and what the meter counted."""
    journal = Journal(folder)
    answers, error = [], None
    try:
        answers.extend(
            Journalled(model or FakeGenerator(), journal, "m@1", meter=meter).stream(requests)
        )
    except BudgetError as stop:
        error = stop
    finally:
        journal.close()
    return answers, error


def test_who_asked_has_paid_and_whoever_comes_later_reuses(tmp_path):
    first = Meter("r/a-1")
    answers, _ = asked(tmp_path, asks(20), first)
    paid = first.take()["m@1"]
    assert (paid.paid, paid.reused, paid.failed) == (20, 0, 0)
    assert paid.tokens_out == sum(one.completion_tokens for one in answers)
    assert paid.tokens_in == sum(one.prompt_tokens for one in answers)
    assert first.take() == {}

    again, other = Meter("r/a-1"), Meter("r2/a-1")
    asked(tmp_path, asks(20), again)
    asked(tmp_path, asks(20), other)
    mine, theirs = again.take()["m@1"], other.take()["m@1"]
    assert mine.model_dump(exclude={"seconds"}) == paid.model_dump(exclude={"seconds"})
    assert mine.seconds == pytest.approx(paid.seconds, abs=0.01)
    assert (theirs.paid, theirs.tokens_out, theirs.seconds) == (0, 0, 0)
    assert (theirs.reused, theirs.reused_tokens_out) == (20, paid.tokens_out)


def test_journals_of_before_have_no_payer_and_are_reused(tmp_path):
    asked(tmp_path, asks(4), Meter())  # nobody's name, as in old journals
    assert b'"by"' not in (tmp_path / "requests.jsonl").read_bytes()
    meter = Meter("r/a-1")
    asked(tmp_path, asks(4), meter)
    assert (meter.total["m@1"].reused, meter.total["m@1"].paid) == (4, 0)


def test_requests_that_failed_are_counted_as_paid_and_failed(tmp_path):
    meter = Meter("r/a-1")
    asked(tmp_path, asks(30), meter, FakeGenerator(FakeOptions(refuse_ratio=0.5)))
    usage = meter.total["m@1"]
    assert usage.paid == 30
    assert 5 < usage.failed < 25


@pytest.mark.parametrize("window", [1, 16])
def test_a_budget_of_tokens_is_never_exceeded_and_goes_on_when_raised(tmp_path, window):
    def model():
        return FakeGenerator(FakeOptions(window=window))

    tight = Meter("r/a-1", [Limit("step a", Budget(tokens=900))], step="a")
    answers, error = asked(tmp_path, asks(40), tight, model())
    assert 0 < len(answers) < 40
    spent = tight.total["m@1"].tokens_in + tight.total["m@1"].tokens_out
    assert 800 < spent <= 900
    assert error is not None
    assert error.exit_code == 7
    assert f"{40 - len(answers)} requests are left" in str(error)
    assert f"step a has used {spent} of 900 tokens" in str(error)

    wide = Meter("r/a-1", [Limit("step a", Budget(tokens=100_000))], step="a")
    rest, error = asked(tmp_path, asks(40), wide, model())
    assert (error, len(rest)) == (None, 40)
    straight = Meter("r/b")
    everything, _ = asked(tmp_path / "other", asks(40), straight, model())
    assert {a.id: a.text for a in rest} == {a.id: a.text for a in everything}
    assert wide.total["m@1"].paid == 40
    assert wide.total["m@1"].tokens_out == straight.total["m@1"].tokens_out


def test_a_budget_of_cost_counts_by_the_prices(tmp_path):
    prices = {"m@1": Prices(input=100, output=1000)}
    meter = Meter("r/a", [Limit("the recipe", Budget(cost=0.5))], prices, step="a")
    answers, error = asked(tmp_path, asks(40), meter)
    cost = meter.total["m@1"].cost(prices["m@1"])
    assert 0 < len(answers) < 40
    assert cost is not None
    assert 0.4 < cost <= 0.5
    assert "the recipe has cost" in str(error)


def test_what_was_spent_before_counts_and_what_the_journal_has_is_still_given(tmp_path):
    asked(tmp_path, asks(5), Meter("r/a"))
    before = {"other": Usage(tokens_in=900, tokens_out=100)}
    meter = Meter("r2/b", [Limit("the recipe", Budget(tokens=1000), before)], step="b")
    answers, error = asked(tmp_path, asks(8), meter)
    assert len(answers) == 5
    assert "3 requests are left" in str(error)


def test_a_budget_of_seconds_lets_the_requests_in_flight_finish(tmp_path):
    meter = Meter("r/a", [Limit("step a", Budget(seconds=0.05))], step="a")
    slow = FakeGenerator(FakeOptions(latency_s=0.02, window=2))
    answers, error = asked(tmp_path, asks(40), meter, slow)
    assert 2 <= len(answers) < 20
    assert "asked for 0 of 0.05 s" in str(error)


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"cost": -1.0}, {"seconds": 0}, {}])
def test_a_budget_of_zero_or_of_nothing_is_refused(wrong):
    with pytest.raises(ValidationError, match=r"buys no answer|a budget has tokens"):
        Budget.model_validate(wrong)


def test_usages_add_up_by_model():
    one = {"a": Usage(paid=1, tokens_in=2), "b": Usage(reused=3)}
    two = {"a": Usage(paid=4, seconds=0.5)}
    total = added(one, two)
    assert (total["a"].paid, total["a"].tokens_in, total["a"].seconds) == (5, 2, 0.5)
    assert total["b"] == Usage(reused=3)
    assert Usage(tokens_in=10).cost(None) is None
