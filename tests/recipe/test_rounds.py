"""Rounds become plain steps: their names, what each takes from whom, and what is measured when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from databuild import api
from databuild.errors import DatabuildError, RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.recipe.bind import Node

RECIPE = """\
name: wheel
models:
  start: {fake: {}}
vars: {size: 2}
steps:
  raw: {use: ingest.files, path: p.jsonl}
  pools: {use: sample.parts, from: raw, column: pool, parts: [train, dev, held, far]}
  rounds: {use: sample.split, from: pools.train, parts: {r1: 0.4, r2: 0.3, r3: 0.3}}
  answers: {use: generate.respond, from: "rounds.r${round}", model: best, k: "${size}"}
  scored: {use: reward.verify, from: answers}
  chosen: {use: pairs.best, from: scored}
  sft: {use: train.sft, from: chosen, model: best, seed: "${round}"}
  tuned: {use: train.sft, from: chosen, model: sft}
  exam: {use: generate.respond, from: "${exam.part}", model: "${exam.model}", temperature: 0}
  marks: {use: reward.verify, from: exam}
  prose: {use: ingest.files, path: p.jsonl}
  reading: {use: evaluate.perplexity, from: prose, model: "${exam.model}", column: prompt}
flywheel:
  rounds: 3
  best: start
  repeat: [answers, scored, chosen, sft, tuned]
  candidate: tuned
  exam: [exam, marks]
  gate: {part: pools.dev, metric: strict_pass, min_gain: 0.01}
  final: {parts: [pools.held, pools.far], text: reading}
"""
ROUND = ["answers", "scored", "chosen", "sft", "tuned"]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    row = '{"prompt": "Hi", "pool": "train", "constraints": [{"kind": "lowercase", "value": ""}], "about": ["hi"]}'
    (tmp_path / "p.jsonl").write_text(f"{row}\n")
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path / "r.yaml"


def nodes(recipe: Path, *overrides: str) -> dict[str, Node]:
    return {node.name: node for node in api.check(recipe, overrides).nodes}


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_every_round_has_its_steps_its_exams_and_its_promotion(recipe: Path, rounds: int) -> None:
    found = nodes(recipe, f"flywheel.rounds={rounds}")
    expected = {
        "raw",
        "pools",
        "rounds",
        "prose",
        "reading@base",
        "reading@best",
        "verdict@reading",
    }
    for number in range(1, rounds + 1):
        expected |= {f"{name}@{number}" for name in ROUND}
        expected |= {
            f"{step}@{number}-{who}" for step in ("exam", "marks") for who in ("best", "candidate")
        }
        expected.add(f"best@{number}")
    for part in ("held", "far"):
        expected |= {
            f"{step}@{part}-{who}" for step in ("exam", "marks") for who in ("base", "best")
        }
        expected.add(f"verdict@{part}")
    assert set(found) == expected


def test_each_round_starts_from_the_best_model_so_far(recipe: Path) -> None:
    found = nodes(recipe)
    for number, best in ((1, "start"), (2, "best@1"), (3, "best@2")):
        assert found[f"answers@{number}"].models == {"model": best}
        assert found[f"sft@{number}"].models == {"model": best}
        assert found[f"tuned@{number}"].models == {"model": f"sft@{number}"}
        assert found[f"exam@{number}-best"].models == {"model": best}
        assert found[f"exam@{number}-candidate"].models == {"model": f"tuned@{number}"}
        assert found[f"best@{number}"].models == {"candidate": f"tuned@{number}", "best": best}
    assert found["exam@held-base"].models == found["reading@base"].models == {"model": "start"}
    assert found["exam@far-best"].models == found["reading@best"].models == {"model": "best@3"}


def test_each_round_takes_its_own_rows_and_knows_its_number(recipe: Path) -> None:
    found = nodes(recipe)
    for number in (1, 2, 3):
        answers, sft = found[f"answers@{number}"], found[f"sft@{number}"]
        assert str(answers.inputs["rows"]) == f"rounds.r{number}"
        assert answers.config.model_dump()["k"] == 2
        assert sft.config.model_dump()["seed"] == number
        assert str(sft.inputs["rows"]) == f"chosen@{number}"
        assert (answers.round, answers.origin, answers.where) == (number, "answers", f"{recipe}:9")


def test_the_gate_compares_the_last_step_of_two_exams_on_dev(recipe: Path) -> None:
    gate = nodes(recipe)["best@2"]
    assert (gate.use, gate.round) == ("flywheel.promote", 2)
    assert {slot: str(ref) for slot, ref in gate.inputs.items()} == {
        "rows": "marks@2-candidate", "best_rows": "marks@2-best",
    }  # fmt: skip
    assert gate.config.model_dump() == {
        "metric": "strict_pass", "min_gain": 0.01, "candidate": "tuned@2", "best": "best@1",
        "sure": False, "by": None, "max_loss": None, "keep": {},
    }  # fmt: skip
    assert str(nodes(recipe)["exam@2-best"].inputs["rows"]) == "pools.dev"


def test_held_out_parts_are_seen_by_nothing_but_the_last_measurement(recipe: Path) -> None:
    found = nodes(recipe)
    for part in ("held", "far"):
        users = {
            n.name for n in found.values() if f"pools.{part}" in {str(r) for r in n.inputs.values()}
        }
        assert users == {f"exam@{part}-base", f"exam@{part}-best"}
        verdict = found[f"verdict@{part}"]
        assert (verdict.use, str(verdict.inputs["rows"])) == (
            "evaluate.compare",
            f"marks@{part}-best",
        )
        assert str(verdict.inputs["base"]) == f"marks@{part}-base"
    order = list(found)
    assert min(
        order.index(f"exam@{part}-{who}") for part in ("held", "far") for who in ("base", "best")
    ) > max(order.index(f"best@{number}") for number in (1, 2, 3))


def test_a_step_after_the_rounds_may_name_one_of_them(recipe: Path) -> None:
    found = nodes(recipe, "steps.sets={use: export.trl, from: chosen@3, kind: sft}")
    assert str(found["sets"].inputs["rows"]) == "chosen@3"


def test_without_text_nothing_is_read(recipe: Path) -> None:
    found = nodes(recipe, "flywheel.final={parts: pools.held}", "reading.model=start")
    assert {name for name in found if name.startswith("reading")} == {"reading"}
    assert "verdict@held" in found
    assert "verdict@far" not in found


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("[answers, scored, chosen,", "[answers, scord, chosen,", 21, r"`flywheel\.repeat` names the step 'scord'; did you mean 'scored'"),
        ("exam: [exam, marks]", "exam: [exam, mark]", 23, r"`flywheel\.exam` names the step 'mark'; did you mean 'marks'"),
        ("text: reading", "text: readin", 25, r"`flywheel\.final` names the step 'readin'; did you mean 'reading'"),
        ("candidate: tuned", "candidate: tund", 22, r"names the step 'tund'; did you mean 'tuned'"),
        ("candidate: tuned", "candidate: raw", 22, r"the candidate 'raw' is not among `repeat`"),
        ("best: start", "best: strat", 20, r"names the model 'strat'; did you mean 'start'"),
        ("part: pools.dev", "part: pools.dv", None, r"'pools' has no part 'dv'; did you mean 'dev'"),
        ("pools.far]", "pools.fa]", None, r"'pools' has no part 'fa'; did you mean 'far'"),
        ("metric: strict_pass", "metric: strictpass", 24, r"needs the column 'strictpass'.*did you mean 'strict_pass'"),
        ("metric: strict_pass", "metrik: strict_pass", 24, r"no field 'flywheel\.gate\.metrik'; did you mean 'metric'"),
        ("text: reading", "txt: reading", 25, r"no field 'flywheel\.final\.txt'; did you mean 'text'"),
        ("rounds: 3", "round: 3", 19, r"no field 'flywheel\.round'; did you mean 'rounds'"),
        ("rounds: 3", "rounds: 0", 19, r"'flywheel\.rounds': input should be greater than or equal to 1, given 0"),
        ("rounds: 3", "rounds: 4", 9, r"'rounds' has no part 'r4'; did you mean"),
        ("repeat: [answers, scored, chosen, sft, tuned]", "repeat: []", 21, r"'flywheel\.repeat'.*at least 1"),
        ("pools.far]", "rounds.held, pools.held]", None, "two steps would be called 'exam@held-base'"),
        ("from: answers}", "from: answer}", 10, r"takes its input from 'answer'; did you mean 'answers"),
        ("r${round}", "r${rnd}", 9, r"\$\{rnd\} is no variable; did you mean 'round'"),
        ('from: "${exam.part}"', 'from: "${exam.prt}"', 14, r"\$\{exam\.prt\} is no variable; did you mean 'exam.part'"),
        ("from: prose", 'from: "rounds.r${round}"', 17, r"\$\{round\} is no variable"),
        ("candidate: tuned", "candidate: scored", None, "names the model 'scored@1'"),
    ],
)  # fmt: skip
def test_what_the_flywheel_misnames_is_found(
    recipe: Path, old: str, new: str, line: int | None, message: str
) -> None:
    text = recipe.read_text()
    assert text.count(old) == 1
    recipe.write_text(text.replace(old, new))
    with pytest.raises(DatabuildError, match=message) as caught:
        api.check(recipe)
    if line is not None:
        assert re.match(rf"{re.escape(str(recipe))}:{line}: ", str(caught.value))


def test_no_round_can_take_the_name_of_a_measured_part(recipe: Path) -> None:
    """A part called `1` would be examined as `exam@1-best`, which is the exam of round 1."""
    text = recipe.read_text().replace("[train, dev, held, far]", "[train, dev, '1']")
    recipe.write_text(text.replace("[pools.held, pools.far]", "[pools.1]"))
    with pytest.raises(RecipeError, match="two steps would be called 'exam@1-best'"):
        api.check(recipe)
