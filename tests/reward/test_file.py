from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from pydantic import ValidationError

from databuild import api
from databuild.errors import DatabuildError
from databuild.reward.file import FileConfig, measure_with_file

if TYPE_CHECKING:
    from pathlib import Path

SCORE = """
import math
import numpy as np

def score(response, answer):
    if response == "raise":
        return answer.nothing
    if response == "exit":
        raise SystemExit(3)
    return {"nan": math.nan, "inf": -math.inf, "none": None, "text": "0.5", "bool": True,
            "pair": (0.25, "short"), "numpy": np.float32(0.5), "huge": 10**400,
            "null": 0.0 if answer is None else 1.0}.get(response, float(response == answer))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "score.py"
    path.write_text(SCORE)
    return path


def run(file: Path, said: list, answers: list, **options) -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            "row_id": [str(n) for n in range(len(said))],
            "response": pl.Series(said, dtype=pl.String),
            "answer": pl.Series(answers, dtype=pl.String),
        }
    )
    config = FileConfig(path="score.py", columns=["response", "answer"], **options)
    return measure_with_file(rows, config, files=(file,))


def test_scores_are_what_the_function_returns(file):
    said = ["tea", "cup", "bool", "pair", "numpy", "null"]
    found = run(file, said, ["tea", "tea", "", "", "", None], name="mine")
    assert found["mine_score"].to_list() == [1.0, 0.0, 1.0, 0.25, 0.5, 0.0]
    assert found["mine_reason"].to_list() == [None, None, None, "short", None, None]
    assert found["error"].null_count() == 6


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("raise", r"score\(\) raised AttributeError: .* \(line 7\)"),
        ("exit", r"score\(\) raised SystemExit: 3 \(line 9\)"),
        ("nan", r"score\(\) returned nan, not a number"),
        ("inf", r"score\(\) returned -inf, not a number"),
        ("huge", r"score\(\) returned inf, not a number"),
        ("none", r"score\(\) returned nothing"),
        ("text", r"score\(\) returned no number: '0.5'"),
    ],
)
def test_what_is_no_score_is_an_error_of_its_row_alone(file, said, error):
    found = run(file, [said, "tea"], ["tea", "tea"])
    assert found["file_score"].to_list() == [None, 1.0]
    assert pl.Series([found["error"][0]]).str.contains(f"^{error}$").item()
    assert found["error"][1] is None


def test_a_gold_answer_must_get_full_marks(file):
    found = run(file, ["cup", "tea", "tea"], ["tea", "raise", "none"], gold="answer")
    assert found["file_score"].to_list() == [0.0, None, None]
    assert "does not get full marks: score() raised" in found["error"][1]
    assert found["error"][2] == "the gold answer does not get full marks: score() returned nothing"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"path": ["a.py", "b.py"]}, "names one file"),
        ({"path": "a.py", "columns": []}, "at least 1 item"),
        ({"path": "a.py", "columns": ["prompt"], "gold": "answer"}, "not among `columns`"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, match):
    with pytest.raises(ValidationError, match=match):
        FileConfig(**options)


def recipe(folder: Path, source: str | None, options: str = "") -> Path:
    (folder / "rows.jsonl").write_text('{"prompt": "p", "response": "tea"}\n')
    if source is not None:
        (folder / "score.py").write_text(source)
    path = folder / "own.yaml"
    path.write_text(
        "name: own\nsteps:\n  raw: {use: ingest.files, path: rows.jsonl}\n"
        f"  scored: {{use: reward.file, from: raw, path: score.py{options}}}\n"
    )
    return path


@pytest.mark.parametrize(
    ("source", "options", "match"),
    [
        (None, "", "no file matches 'score.py'"),
        ("def scor(prompt, response): ...", "", "did you mean 'scor'"),
        ("def score(prompt): ...", "", r"score\(\) does not take the columns prompt, response"),
        ("def score(prompt, response, gold): ...", "", "missing a required argument: 'gold'"),
        ("import nothing_here", "", "No module named 'nothing_here'"),
        ("score = 3", "", "no function 'score'"),
        ("def f(**k): ...", ", function: f, columns: [promt]", "needs the column 'promt'"),
    ],
)
def test_check_finds_what_is_wrong_before_anything_runs(tmp_path, source, options, match):
    with pytest.raises(DatabuildError, match=match):
        api.check(recipe(tmp_path, source, options))


def test_the_file_is_part_of_the_key_by_its_content(tmp_path):
    path = recipe(tmp_path, "def score(prompt, response): return 1\n")
    runs = tmp_path / "runs"
    api.run(path, runs=runs)
    assert api.show("scored", "own", runs=runs)["file_score"].to_list() == [1.0]
    (tmp_path / "score.py").write_text("def score(prompt, response): return 2\n")
    api.run(path, runs=runs)
    assert api.show("scored", "own", runs=runs)["file_score"].to_list() == [2.0]
