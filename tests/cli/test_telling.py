"""What is printed for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from databuild.cli import telling

if TYPE_CHECKING:
    import pytest


def test_a_path_and_an_address_stay_one_line_that_can_be_copied(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = "/" + "long/" * 40 + "with a space"
    telling.say_path("Saved", path)
    telling.say(Text(f"at {path}", no_wrap=True, overflow="ignore"), "word " * 40)
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert (first, second) == (f"Saved: {path}", f"at {path}")
    assert len(rest) > 1  # other text is wrapped
