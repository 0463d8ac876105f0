"""Draws are the requests of `want`, and their rows those of `rows_of`, whoever answers."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from databuild.engine.journal import Journal
from databuild.engine.ledger import Meter
from databuild.engine.resources import Silence
from databuild.errors import StepError
from databuild.generate.answering import Failures, answers_to, rows_of, want
from databuild.generate.draws import rows_drawn, want_draws
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.journalled import Journalled
from databuild.models.protocol import Message, Sampling
from databuild.models.services import Asking

SAMPLING = Sampling(temperature=0.7, logprobs=True)
PROMPTS = ["Why is tea hot?", "茶为什么是热的?", 'Say "\\n" 🙂', "Write about \u2028 bread."]


class Counting(FakeGenerator):
    """A fake model that counts what it is asked."""

    n_asked = 0

    def answer(self, request):
        self.n_asked += 1
        return super().answer(request)


def asking(folder, model, meter=None):
    journal = Journal(folder)
    meter = meter or Meter("r/a-1")
    return Asking(
        lambda: Journalled(model, journal, "m@1", meter=meter), journal, Silence(), meter
    ), journal


def wanted(k=3, n=4, sampling=SAMPLING):
    return [
        want_draws(f"r{i}", k, (Message("user", PROMPTS[i]),), sampling, 7, stage=f"s-{i}")
        for i in range(n)
    ]


def one_by_one(k=3, sampling=SAMPLING, **options):
    """The same through single requests."""
    asked = [
        want(f"r{i}", j, (Message("user", text),), sampling, 7, stage=f"s-{i}")
        for i, text in enumerate(PROMPTS)
        for j in range(k)
    ]
    failures = Failures()

    def ask(requests):
        return {a.id: a for a in FakeGenerator(FakeOptions(**options)).stream(requests)}

    rows = rows_of(answers_to(asked, ask, failures), "m@1", "sampled", logprobs=sampling.logprobs)
    return rows, failures.rows


def drawn(folder, model, many, meter=None):
    ask, journal = asking(folder, model, meter)
    failures = Failures()
    try:
        rows = rows_drawn(many, ask, "m@1", "sampled", failures, logprobs=True)
    finally:
        journal.close()
    return rows, failures.rows


def test_the_rows_are_the_same_asked_partly_known_and_known(tmp_path):
    straight, _ = one_by_one()
    model, meter = Counting(), Meter("r/a-1")
    few, _ = drawn(tmp_path, model, wanted(k=2, n=3))
    assert (few.height, model.n_asked) == (6, 6)
    for n_asked in (12, 12):
        rows, failed = drawn(tmp_path, model, wanted(), meter)
        assert model.n_asked == n_asked
        assert failed == []
        assert_frame_equal(rows.drop("draw"), straight)
        assert rows["draw"].to_list() == [i for i in range(4) for _ in range(3)]
        usage = meter.take()["m@1"]
        assert (usage.paid, usage.reused) == (12, 0)
        assert usage.tokens_out == straight["completion_tokens"].sum()
    other = Meter("r2/b-1")
    drawn(tmp_path, model, wanted(), other)
    assert (other.total["m@1"].paid, other.total["m@1"].reused) == (0, 12)


def test_what_failed_is_named_and_asked_again(tmp_path):
    options = {"time_out_ratio": 0.4, "refuse_ratio": 0.2}
    straight, lost = one_by_one(k=8, **options)
    rows, failed = drawn(tmp_path, FakeGenerator(FakeOptions(**options)), wanted(k=8))
    assert_frame_equal(rows.drop("draw"), straight)
    assert failed == lost
    assert len(lost) > 3
    model = Counting()
    rows, failed = drawn(tmp_path, model, wanted(k=8))
    assert (rows.height, failed, model.n_asked) == (32, [], len(lost))


def test_a_form_is_looked_at_even_where_the_answer_is_known(tmp_path):
    held = Sampling(choice=("Yes", "No"))
    first, _ = drawn(tmp_path, FakeGenerator(), wanted(sampling=held))
    again, _ = drawn(tmp_path, FakeGenerator(), wanted(sampling=held))
    assert set(again["response"]) <= {"Yes", "No"}
    assert_frame_equal(first, again)


def test_greedy_draws_have_seed_nought_and_no_draws_no_rows(tmp_path):
    many = wanted(k=1, sampling=Sampling(temperature=0))
    assert {seed for one in many for seed in one.draws.seeds} == {0}
    rows, _ = drawn(tmp_path, FakeGenerator(), [])
    assert rows.height == 0
    assert rows.schema["parent_ids"] == pl.List(pl.String)


def test_draws_of_one_name_are_refused(tmp_path):
    with pytest.raises(StepError, match="'r0-s-0' came twice"):
        drawn(tmp_path, FakeGenerator(), [*wanted(), *wanted()])
