"""run: progress on stderr, the outcome on stdout, and a stop that costs nothing."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from databuild.cli.progress import Board, Meter
from databuild.cli.running import Asked

SLOW = "models.start={fake: {latency_s: 0.05}}"


def start(small, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "databuild.cli.main", "run", *words],
        cwd=small.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def stop_in_the_middle(small, number):
    """Run the slow model and stop it once some answers are in the journal."""
    run = start(small, SLOW)
    journals = small.folder / "runs/journals"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if sum(len(p.read_bytes().splitlines()) for p in journals.glob("*/*.jsonl")) >= 10:
            break
        time.sleep(0.05)
    run.send_signal(number)
    stdout, stderr = run.communicate(timeout=60)
    return run.returncode, stdout, stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on_and_goes_on(small, number, code):
    returncode, stdout, stderr = stop_in_the_middle(small, number)
    assert returncode == code
    assert stdout == ""
    assert "Traceback" not in stderr
    assert "Stopped: 4 of 5 steps are finished and kept in runs" in stderr
    assert f"databuild run recipe.yaml '{SLOW}'" in stderr
    told = small.json("status")["recipes"]["small"]
    assert told["status"] == "interrupted"
    assert [name for name, s in told["steps"].items() if s["status"] != "complete"] == ["answers"]
    result = small("run", SLOW)
    assert "answers  starts (generate.respond, resumed)" in result.stderr
    asked = [
        json.loads(line)[0]
        for path in (small.folder / "runs/journals").glob("*/*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert len(asked) == len(set(asked))


def test_without_a_terminal_progress_is_plain_lines_on_stderr(small):
    result = small("run")
    lines = result.stderr.splitlines()
    assert "[1/5] raw  starts (ingest.files)" in lines
    assert any(
        re.fullmatch(r"\[5/5\] answers  done: 40 in, 160 made, .* tokens  [\d.]+s", x)
        for x in lines
    )
    assert "\x1b" not in result.stderr


def test_the_summary_has_every_step_and_fits_a_terminal(small):
    lines = small("run").stdout.splitlines()
    (answers,) = [line.split() for line in lines if line.startswith("answers")]
    assert answers[:3] == ["answers", "40", "160"]
    (clean,) = [line.split() for line in lines if line.startswith("clean")]
    assert clean[:4] == ["clean", "43", "40", "3"]
    assert all(len(line.rstrip()) <= 80 for line in lines)


def test_json_is_all_there_is_on_stdout(small):
    told = small.json("run")
    assert [step["status"] for step in told["steps"]] == ["done"] * 5
    assert told["steps"][2]["rows"]["dropped"] == 3
    assert told["report"].endswith("report.html")
    assert {step["status"] for step in small.json("run")["steps"]} == {"cached"}


def test_a_cached_run_writes_no_report_again_unless_it_tells_of_other_steps(small):
    small("run")
    report = small.folder / "runs/small/report.html"
    before = report.stat().st_mtime_ns
    assert "5 of them cached" in small("run").stdout
    assert report.stat().st_mtime_ns == before
    small("run", "answers.k=2")
    small("run")
    assert ">160<" in report.read_text(encoding="utf-8")


def test_from_runs_a_step_and_what_follows_again(small):
    small("run")
    told = small.json("run", "--from", "clean")
    assert [s["step"] for s in told["steps"] if s["status"] == "cached"] == ["raw", "facts"]
    assert "did you mean 'clean'" in small("run", "--from", "claen", code=2).stderr


def test_the_command_that_goes_on_drops_from_once_it_has_begun():
    asked = Asked(Path("my recipe.yaml"), ["answers.k=2"], Path("try"), 9, "answers", 2, "cpu")
    told = (
        "databuild run 'my recipe.yaml' answers.k=2 --runs try --limit 9 --workers 2 --device cpu"
    )
    assert asked.again(set()) == f"{told} --from answers"
    assert asked.again({"answers@1"}) == told


def test_a_run_without_the_report_extra_succeeds_and_says_so(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "No report: report: jinja2 is not installed. Fix: pip" in small("run").stdout
    told = small.json("run")
    assert told["report"] is None
    assert "jinja2" in told["report_trouble"]


def test_a_device_is_cpu_or_cuda(small):
    assert "neither cpu nor cuda" in small("run", "--device", "tpu", code=2).stderr


@pytest.mark.slow
def test_a_flywheel_ends_with_decisions_verdicts_and_places(wheel):
    told = wheel("run", "models.start={fake: {skill_ratio: 0.3}}").stdout
    assert re.search(
        r"round 1: strict_pass best [\d.]+ %, candidate [\d.]+ % \([+-][\d.]+, 120", told
    )
    assert re.search(r"holdout: strict_pass [\d.]+ % \[[\d.]+, [\d.]+\] -> ", told)
    assert re.search(r"difference [+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\] points", told)
    assert re.search(r"reply length \d+ -> \d+ tokens", told)
    assert re.search(r"perplexity on ordinary text [\d.]+ -> [\d.]+", told)
    for place in re.findall(r"^(?:data set|best model|report): +(.*)$", told, re.MULTILINE):
        assert (wheel.folder / place).exists(), place
    plain = wheel.json("run", "models.start={fake: {skill_ratio: 0.3}}")
    assert [one["round"] for one in plain["promotions"]] == ["1", "2"]
    assert set(plain["verdicts"]) == {"holdout", "ood"}


def test_a_meter_knows_rate_and_time_left():
    meter = Meter("answers@1", "generate.respond")
    meter.total(1600, "answers")
    meter.recent.clear()
    now = time.monotonic()
    meter.recent.extend([(now - 20.0, 400), (now - 0.001, 640)])
    meter.done = 640
    assert meter.text() == "640/1,600 answers  40%  12.0/s  ETA 1m20s"


def test_answers_from_the_journal_say_nothing_about_the_rate():
    meter = Meter("answers", "generate.respond")
    meter.total(100, "answers")
    for _ in range(50):
        meter.tick(1, "from the journal")
    assert meter.rate() is None
    assert "50/100 answers  50%" in meter.text()


def test_a_long_step_has_a_line_now_and_then():
    told = StringIO()
    board = Board(3, Console(file=told, width=80), every_s=0.05)
    with board.shown():
        meter = board.step_starts("answers", "generate.respond", "")
        meter.total(10, "answers")
        meter.tick(4)
        time.sleep(0.3)
        board.step_ends("answers", "done", "10 made")
    lines = told.getvalue().splitlines()
    assert lines[0] == "[1/3] answers  starts (generate.respond)"
    assert any(line.startswith("[1/3] answers  4/10 answers  40%") for line in lines[1:-1])
    assert lines[-1].startswith("[1/3] answers  done: 10 made")


def test_a_terminal_shows_one_live_line_and_the_finished_steps():
    told = StringIO()
    board = Board(2, Console(file=told, force_terminal=True, width=80))
    with board.shown():
        board.step_ends("raw", "cached", "")
        meter = board.step_starts("answers", "generate.respond", "")
        meter.total(10, "answers")
        meter.tick(4)
        time.sleep(0.5)
        board.step_ends("answers", "done", "10 made")
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", told.getvalue())
    assert "1 step is cached" in shown
    assert "4/10 answers  40%" in shown
    assert "✓ answers  10 made" in shown
