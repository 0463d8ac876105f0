"""generate.respond with several models, a route, and several system prompts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from pydantic import ValidationError

import databuild
from databuild.errors import RecipeError
from databuild.generate.respond import RespondConfig, sample_answers
from databuild.models.protocol import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.step import Produced


class Echo:
    """Answers with its name and what it was asked; fails where the prompt names it."""

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.requests: list[Any] = []

    def __call__(self, requests: Any) -> dict[str, Answer]:
        self.requests += requests
        return {one.id: self.answer(one) for one in requests}

    def answer(self, request: Any) -> Answer:
        asked = request.messages[-1].content
        if f"not {self.name}" in asked:
            return Answer(request.id, None, "error", error="timed out")
        return Answer(request.id, f"{self.name}: {asked}", "stop")


def respond(rows: pl.DataFrame, names: list[str], **options: Any) -> tuple[Produced, list[Echo]]:
    config = RespondConfig(**options)
    asks = [Echo(name) for name in names]
    generators = {one.name: one for one in asks}
    made = sample_answers(
        rows, config, generator=generators.get("model"), seed=7,
        models={name: f"id-of-{name}" for name in names}, generators=generators,
    )  # fmt: skip
    return made, asks


def prompts(*texts: str | None, **more: Any) -> pl.DataFrame:
    return pl.DataFrame({"row_id": [f"r{i}" for i in range(len(texts))], "prompt": texts, **more})


def test_every_model_answers_every_prompt_and_the_row_says_which() -> None:
    made, (a, b) = respond(prompts("Hi", "Yo"), ["models.x", "models.y"], models=["x", "y"], k=2)
    found = made.rows.select("model_name", "model", "response", "k").sort("response", "k")
    assert found.rows()[:3] == [
        ("x", "id-of-models.x", "models.x: Hi", 0),
        ("x", "id-of-models.x", "models.x: Hi", 1),
        ("x", "id-of-models.x", "models.x: Yo", 0),
    ]
    assert made.rows.height == 8
    assert len({one.seed for one in a.requests + b.requests}) == 8


def test_a_failure_says_which_model_failed() -> None:
    made, _ = respond(prompts("not models.y", None), ["models.x", "models.y"], models=["x", "y"])
    assert made.rows["model_name"].to_list() == ["x"]
    assert made.failed is not None
    assert sorted(made.failed.select("error", "retry").rows()) == [
        ("the prompt is empty", False),
        ("timed out (model y)", True),
    ]


def test_a_row_goes_to_the_model_of_its_capability() -> None:
    rows = prompts("1+1", "def f", "Hi", "?", capability=["math", "code", "chat", None])
    routed = {"route": "capability", "models": {"math": "a", "code": "b"}}
    made, asks = respond(rows, ["model", "models.math", "models.code"], model="c", **routed)
    found = dict(made.rows.select("response", "model_name").rows())
    assert found == {
        "models.math: 1+1": "math",
        "models.code: def f": "code",
        "model: Hi": None,
        "model: ?": None,
    }
    assert [one.id for one in asks[1].requests] == ["r0-0"]
    without, _ = respond(rows, ["models.math", "models.code"], **routed)
    assert without.rows.height == 2
    assert without.failed is not None
    assert without.failed["error"].to_list() == [
        "no model for this capability: 'chat'",
        "no model for this capability: None",
    ]


def test_each_row_gets_one_system_prompt_by_its_id() -> None:
    rows = prompts(*(f"p{i}" for i in range(60)))
    made, (ask,) = respond(rows, ["model"], model="m", system=["A", "B", "C"], k=2)
    said = {(one.id.split("-")[0], one.messages[0].content) for one in ask.requests}
    assert len(said) == 60  # both answers of a row have the same
    counts = made.rows["system_variant"].value_counts().sort("system_variant")
    assert counts["system_variant"].to_list() == [0, 1, 2]
    assert min(counts["count"].to_list()) > 15  # of 120, 40 each are to be expected
    alone, _ = respond(rows[17:18], ["model"], model="m", system=["A", "B", "C"])
    drawn = made.rows.filter(pl.col("parent_ids").list.first() == "r17")["system_variant"]
    assert alone.rows["system_variant"][0] == drawn[0]


def test_each_system_asks_every_row_with_every_one() -> None:
    made, (ask,) = respond(prompts("Hi"), ["model"], model="m", system=["A", "B"], each_system=True)
    assert [one.messages[0].content for one in ask.requests] == ["A", "B"]
    assert made.rows["system_variant"].to_list() == [0, 1]
    assert len({one.seed for one in ask.requests}) == 2


def test_a_conversation_with_its_own_system_prompt_keeps_it_and_is_asked_once() -> None:
    talk = [{"role": "system", "content": "Mine"}, {"role": "user", "content": "Hi"}]
    rows = prompts("Hi", messages=[talk])
    made, (ask,) = respond(rows, ["model"], model="m", system=["A", "B"], each_system=True)
    assert [[m.content for m in one.messages] for one in ask.requests] == [["Mine", "Hi"]]
    assert made.rows["system_variant"].to_list() == [None]


def test_one_model_and_one_system_prompt_are_asked_as_ever() -> None:
    made, (ask,) = respond(prompts("Hi"), ["model"], model="m", system="A", k=2)
    assert [one.id for one in ask.requests] == ["r0-0", "r0-1"]
    assert not {"model_name", "system_variant"} & set(made.rows.columns)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "name the `model`"),
        ({"model": "a", "models": ["b"]}, "need a `route`"),
        ({"model": "a", "route": "c"}, "route needs `models`"),
        ({"model": "a", "each_system": True}, "needs a list of system prompts"),
        ({"model": "a", "system": []}, "list of system prompts is empty"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        RespondConfig.model_validate(options)


RECIPE = """
name: two
seed: 1
models:
  one: {fake: {seed: 1}}
  two: {fake: {seed: 2, refuse_ratio: 0.0}}
steps:
  raw: {use: ingest.files, path: p.jsonl}
  answers: {use: generate.respond, from: raw, models: [one, two], k: 2, max_tokens: 30}
"""


def test_a_recipe_asks_two_models(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "Explain rain."}\n{"prompt": "Why?"}\n', "utf-8")
    (tmp_path / "r.yaml").write_text(RECIPE, "utf-8")
    databuild.run(tmp_path / "r.yaml", runs=tmp_path / "runs")
    (file,) = (tmp_path / "runs/two").glob("answers-*/part-00000.parquet")
    found = pl.read_parquet(file)
    assert found.group_by("model_name", "model").len().sort("model_name")["len"].to_list() == [4, 4]
    assert found["model"].n_unique() == 2
    assert found["response"].n_unique() == 8
    assert len(list((tmp_path / "runs/journals").iterdir())) == 2


def test_a_model_that_there_is_not_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "Why?"}\n', "utf-8")
    wrong = RECIPE.replace("models: [one, two]", "models: {a: one, b: too}")
    (tmp_path / "r.yaml").write_text(wrong, "utf-8")
    with pytest.raises(RecipeError, match=r"r.yaml:9: `models.b` .* names the model 'too'"):
        databuild.check(tmp_path / "r.yaml")
