"""Models that are asked in turn: one process at a time, and each answers for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import databuild.models.vllm as vllm_module
from databuild.engine.ledger import Meter
from databuild.engine.resources import Ask, Silence
from databuild.engine.store import ModelTarget
from databuild.models.fitting import adapter_in
from databuild.models.protocol import Answer, Message, Request, Sampling
from databuild.models.services import LocalServices
from tests.models.test_fitting import adapter, model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALIVE: list[Process] = []
STARTED: list[Process] = []


class Process(vllm_module.VllmGenerator):
    """A vLLM whose process is a line in a list."""

    def start(self) -> None:
        if self._child is None:
            found = adapter_in(self.model)
            self._child = object()  # type: ignore[assignment]
            self._base = found.base if found else self.model
            self._rank = found.rank if found else 0
            assert not ALIVE, "two processes share the machine"
            ALIVE.append(self)
            STARTED.append(self)

    def is_alive(self) -> bool:
        return True

    def stream(self, requests: Any) -> Iterator[Answer]:
        self.start()
        for request in requests:
            yield Answer(request.id, f"{self.model.name} answers", "stop", 1, 2)

    def _send(self, message: dict[str, Any]) -> None:
        assert "load" in message or "adapt" in message

    def _await(self, kind: str, skip: str | None = None, timeout_s: float | None = None) -> Any:
        assert (kind, skip, timeout_s) == ("loaded", None, None)

    def close(self) -> None:
        if self._child is not None:
            ALIVE.remove(self)
            self._child = None


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServices]:
    monkeypatch.setattr(vllm_module, "VllmGenerator", Process)
    ALIVE.clear()
    STARTED.clear()
    made = LocalServices(tmp_path / "runs", "cuda")
    yield made
    made.close()
    assert not ALIVE


def asking(services: LocalServices, folder: Path, **options: Any) -> Any:
    target = ModelTarget(
        identity=f"hf@{folder.name}{options}", kind="folder", location=str(folder), options=options
    )
    ask = Ask("generator", "answers", {"model": target}, folder, 0, Silence(), Meter("r/a"))
    return services.provide(ask)


def said(ask: Any, name: str) -> str | None:
    request = Request(name, (Message("user", "Hi"),), Sampling(), 1)
    answers: dict[str, Answer] = ask([request])
    return answers[name].text


def test_two_models_of_one_shape_share_a_process_and_answer_for_themselves(services, tmp_path):
    one, two = (asking(services, model(tmp_path / name)) for name in ("one", "two"))
    turns = [said(one, "1"), said(two, "2"), said(one, "3"), said(two, "4")]
    assert turns == ["one answers", "two answers"] * 2
    assert len(STARTED) == 1


def test_models_of_other_shapes_or_options_run_one_after_another(services, tmp_path):
    small = asking(services, model(tmp_path / "small"))
    large = asking(services, model(tmp_path / "large", hidden_size=16))
    short = asking(services, tmp_path / "small", max_model_len=64)
    turns = [said(small, "1"), said(large, "2"), said(short, "3"), said(small, "4")]
    assert turns == ["small answers", "large answers", "small answers", "small answers"]
    assert len(STARTED) == 4


def test_adapters_of_one_base_are_swapped_in_its_process(services, tmp_path):
    base = model(tmp_path / "base")
    one, two = (asking(services, adapter(tmp_path / name, "../base")) for name in ("a1", "a2"))
    whole = asking(services, base)
    big = asking(services, adapter(tmp_path / "big", "../base", rank=32))
    turns = [said(one, "1"), said(two, "2"), said(whole, "3"), said(one, "4"), said(big, "5")]
    assert turns == ["a1 answers", "a2 answers", "base answers", "a1 answers", "big answers"]
    assert len(STARTED) == 2  # the last has a higher rank than the process was started for


def test_a_journal_that_has_everything_starts_no_process(services, tmp_path):
    one = asking(services, model(tmp_path / "one"))
    said(one, "1")
    services.close()
    STARTED.clear()
    assert said(asking(services, tmp_path / "one"), "1") == "one answers"
    assert STARTED == []


@pytest.mark.parametrize(
    ("kind", "options", "has_choice"),
    [
        ("fake", {}, True),
        ("folder", {}, True),
        ("endpoint", {}, False),
        ("endpoint", {"dialect": "vllm"}, True),
    ],
)
def test_a_step_can_see_whether_its_model_can_be_held_to_choices(
    services, tmp_path, kind, options, has_choice
):
    location = "http://127.0.0.1:9/v1" if kind == "endpoint" else str(tmp_path)
    if kind == "endpoint":
        options = {"model": "m", **options}
    target = ModelTarget(identity="m@1", kind=kind, location=location, options=options)
    ask = Ask("generator", "answers", {"model": target}, tmp_path, 0, Silence(), Meter("r/a"))
    assert services.provide(ask).has_choice == has_choice
