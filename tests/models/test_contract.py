"""One contract for every generator: what the fake model does, a real engine does too."""

from __future__ import annotations

import json
import re

import pytest

from databuild.errors import StepError
from databuild.models.endpoint import EndpointGenerator, EndpointOptions
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.protocol import Answer, Generator, Message, Request, Sampling
from databuild.models.structure import as_schema_text, broken_form

PROMPTS = (
    "Tell me about rivers.",
    "Explain bread to a child.",
    "What are bees good for?",
    "Schreib über Zürich: café, 日本語, 👩‍🔬, \u202eabc, e\u0301.",
)


def ask(
    text: str, *, name: str = "r", seed: int = 1, system: str | None = None, **sampling: object
) -> Request:
    turns = ([Message("system", system)] if system else []) + [Message("user", text)]
    options = Sampling.model_validate({"max_tokens": 12, **sampling})
    return Request(name, tuple(turns), options, seed)


def texts(answers: list[Answer]) -> dict[str, str | None]:
    return {answer.id: answer.text for answer in answers}


class GeneratorContract:
    """Inherited by one test class per generator, each with a fixture `generator`."""

    too_long = "river " * 20_000

    def test_every_request_gets_exactly_one_answer_under_its_id(self, generator: Generator):
        requests = [
            ask(PROMPTS[i % 4], name=f"request/{i}", seed=i, temperature=0.9) for i in range(24)
        ]
        answers = list(generator.stream(iter(requests)))
        assert sorted(a.id for a in answers) == sorted(r.id for r in requests)
        for answer in answers:
            assert (answer.text is None) == (answer.error is not None)
            assert answer.finish_reason in {"stop", "length"}
            assert 0 < answer.completion_tokens <= 12
            assert answer.prompt_tokens > 0
            json.dumps(answer.text, ensure_ascii=False).encode()  # no half surrogate pairs

    def test_no_requests_no_answers(self, generator: Generator):
        assert list(generator.stream([])) == []

    def test_the_same_id_twice_is_refused(self, generator: Generator):
        requests = [ask("Tell me about tea.", name="twin", max_tokens=1)] * 2
        with pytest.raises(StepError, match="request id 'twin' came twice"):
            list(generator.stream(requests))

    def test_a_stream_left_early_spoils_nothing(self, generator: Generator):
        stream = generator.stream([ask(PROMPTS[0], name=f"a{i}", seed=i) for i in range(6)])
        next(iter(stream))
        stream.close()  # type: ignore[attr-defined]
        answers = list(generator.stream([ask(PROMPTS[0], name="b")]))
        assert [answer.id for answer in answers] == ["b"]

    def test_greedy_answers_are_the_same_whatever_the_seed(self, generator: Generator):
        first, second = (
            list(generator.stream([ask("Name a river.", seed=seed, temperature=0)]))
            for seed in (1, 2)
        )
        assert texts(first) == texts(second)

    def test_samples_of_one_prompt_differ_by_their_seed(self, generator: Generator):
        requests = [
            ask("Tell me a story.", name=str(seed), seed=seed, max_tokens=24) for seed in range(8)
        ]
        answers = texts(list(generator.stream(requests)))
        assert len(set(answers.values())) >= 5

    def test_the_system_turn_counts(self, generator: Generator):
        requests = [
            ask("Who are you?", name=str(system), system=system, temperature=0)
            for system in ("You are a pirate called Bob.", "You are Lisa, a nurse in Rome.")
        ]
        assert len(set(texts(list(generator.stream(requests))).values())) == 2

    def test_a_prompt_longer_than_the_context_is_an_answer_with_an_error(
        self, generator: Generator
    ):
        requests = [ask(self.too_long, name="long"), ask("Tell me about tea.", name="short")]
        answers = {answer.id: answer for answer in generator.stream(requests)}
        assert answers["long"].finish_reason == "refused"
        assert answers["long"].text is None
        assert re.search(r"context|\d tokens", answers["long"].error or "")
        assert answers["short"].error is None

    def test_max_tokens_cuts_with_the_reason_length(self, generator: Generator):
        (answer,) = generator.stream([ask("Tell me about the sea.", max_tokens=2, temperature=0)])
        assert answer.finish_reason == "length"
        assert answer.completion_tokens == 2

    def test_a_stop_text_ends_the_answer_and_is_no_part_of_it(self, generator: Generator):
        (free,) = generator.stream([ask("Tell me about the sea.", temperature=0)])
        assert free.text is not None
        word = free.text.split()[2]
        (stopped,) = generator.stream([ask("Tell me about the sea.", temperature=0, stop=(word,))])
        assert stopped.finish_reason == "stop"
        assert stopped.text == free.text[: free.text.index(word)]

    def test_an_answer_keeps_to_the_json_schema_that_was_asked(self, generator: Generator):
        schema = {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}, "ok": {"type": "boolean"}},
            "required": ["n", "ok"],
            "additionalProperties": False,
        }  # fmt: skip
        requests = [
            ask("Tell me of tea.", name=str(i), seed=i, json_schema=as_schema_text(schema), max_tokens=60)
            for i in range(3)
        ]  # fmt: skip
        for answer in generator.stream(requests):
            assert answer.finish_reason == "stop"
            assert broken_form(requests[0].sampling, answer) is None
            found = json.loads(answer.text or "")
            assert set(found) == {"n", "ok"}
            assert type(found["ok"]) is bool

    def test_an_answer_matches_the_regex_or_is_one_of_the_choices(self, generator: Generator):
        requests = [
            ask("A date?", name="regex", regex=r"(19|20)\d\d-[01]\d", max_tokens=40),
            ask("Is tea hot?", name="choice", choice=("yes indeed", "no"), max_tokens=40),
        ]
        answers = {answer.id: answer.text for answer in generator.stream(requests)}
        assert re.fullmatch(r"(19|20)\d\d-[01]\d", answers["regex"] or "")
        assert answers["choice"] in {"yes indeed", "no"}

    def test_an_answer_has_its_log_probability_on_request_only(self, generator: Generator):
        requests = [ask("Tell me of tea.", name=str(on), logprobs=on) for on in (True, False)]
        answers = {answer.id: answer for answer in generator.stream(requests)}
        assert answers["False"].logprob is None
        assert -200 < (answers["True"].logprob or 0) < 0

    def test_one_token_to_draw_from_makes_every_sample_the_same(self, generator: Generator):
        top = {"top_k": 1, "presence_penalty": 0.5, "repetition_penalty": 1.1, "min_p": 0.1}
        requests = [ask("Tell me a story.", name=str(i), seed=i, **top) for i in range(3)]
        found = texts(list(generator.stream(requests)))
        assert len(set(found.values())) == 1

    def test_close_may_be_called_twice(self, closing: Generator):
        closing.close()
        closing.close()


class TestFake(GeneratorContract):
    """The fake model keeps the contract."""

    @pytest.fixture
    def generator(self):
        return FakeGenerator()

    @pytest.fixture
    def closing(self, generator):
        return generator


class TestEndpoint(GeneratorContract):
    """An OpenAI-compatible server keeps the contract."""

    @pytest.fixture
    def generator(self, server):
        options = EndpointOptions(url=server.url, model="fake", dialect="vllm")
        return EndpointGenerator(options)

    @pytest.fixture
    def closing(self, generator):
        return generator


def test_a_context_can_be_set_for_the_fake_model():
    generator = FakeGenerator(FakeOptions(max_model_len=4))
    (answer,) = generator.stream([ask("one two three four")])
    assert answer.error == "the prompt has 4 tokens, the context 4"
