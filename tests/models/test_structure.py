"""A form is checked before anything runs, and every answer against it afterwards."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.protocol import Answer, Message, Request, Sampling
from databuild.models.structure import as_schema_text, broken_form, check_form

NESTED = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 40},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 3},
        "kind": {"const": "x"},
        "size": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/size"}]},
        "code": {"type": "string", "pattern": r"^[A-F]{2}-\d+$"},
    },
    "required": ["name", "tags", "kind", "size", "code"],
    "$defs": {"size": {"type": "integer", "minimum": 3, "maximum": 4}},
}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"regex": "[0-9"}, "unterminated character set"),
        ({"regex": ""}, "only an empty answer matches it"),
        ({"choice": ("yes", "yes")}, "none stands twice"),
        ({"choice": ("yes", " ")}, "every choice has a text"),
        ({"json_schema": {"type": "objct"}}, "json_schema, at type: 'objct'"),
        ({"json_schema": {}}, "a mapping that says something"),
        ({"json_schema": "{broken"}, "json_schema is no JSON"),
        ({"json_schema": {"type": "object"}, "regex": "a"}, "not json_schema and regex"),
    ],
)
def test_a_form_that_no_answer_could_have_is_refused(form, message):
    with pytest.raises(ValueError, match=message):
        check_form(**form)


def test_sampling_refuses_it_too():
    with pytest.raises(ValidationError, match="unterminated"):
        Sampling(regex="(a")


@pytest.mark.parametrize(
    ("text", "finish", "trouble"),
    [
        ('{"n": 1}', "stop", None),
        ('{"n": 1}', "length", None),  # whole all the same
        ('{"n": ', "length", "the answer was cut at max_tokens and is no JSON"),
        ("[" * 100_000, "length", "the answer was cut at max_tokens and is no JSON"),
        ('{"n": "x"}', "stop", "the answer does not fit the json_schema: n: 'x' is not of type"),
        ("{}", "stop", "the answer does not fit the json_schema: its top: 'n' is a required"),
        ("", "stop", "the answer is no JSON"),
    ],
)
def test_an_answer_that_breaks_a_schema_is_named(text, finish, trouble):
    schema = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    sampling = Sampling(json_schema=as_schema_text(schema))
    found = broken_form(sampling, Answer("a", text, finish))
    assert found is None if trouble is None else (found or "").startswith(trouble)


def test_a_regex_is_matched_whole():
    sampling = Sampling(regex=r"\d+")
    assert broken_form(sampling, Answer("a", "12", "stop")) is None
    assert (
        broken_form(sampling, Answer("a", "12a", "stop")) == "the answer does not match the regex"
    )


def test_without_a_form_nothing_is_broken():
    assert broken_form(Sampling(), Answer("a", "{", "length")) is None


@pytest.mark.parametrize("seed", range(12))
def test_the_fake_model_keeps_every_form_that_it_is_asked(seed):
    samplings = [
        Sampling(json_schema=json.dumps(NESTED)),
        Sampling(regex=r"(Mr|Mrs) [A-Z][a-z]{2,5}(, \w+)?[^a-z]\.+x*?"),
        Sampling(choice=("one", "two")),
    ]
    for sampling in samplings:
        request = Request("r", (Message("user", "About tea and bread."),), sampling, seed)
        answer = FakeGenerator().answer(request)
        assert broken_form(sampling, answer) is None, answer.text


def test_the_fake_model_breaks_a_form_when_it_is_cut():
    sampling = Sampling(json_schema=json.dumps(NESTED), max_tokens=5)
    request = Request("r", (Message("user", "About tea."),), sampling, 1)
    answer = FakeGenerator(FakeOptions()).answer(request)
    assert broken_form(sampling, answer) == "the answer was cut at max_tokens and is no JSON"
