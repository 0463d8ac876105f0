"""The stored folding table: read where it is whole, made where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from databuild.dedup.folding_store import stored

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source, beside an empty folder for what is stored."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    source = tmp_path / "source"
    source.write_text("one")
    return source


def numbers(source: Path, n: int) -> list[int]:
    """What is stored of a source, made of n where it is not."""
    found: list[int] = stored((str(source),), lambda: {"n": np.arange(n)})["n"].tolist()
    return found


def test_arrays_are_made_once_for_a_source(asked: Path) -> None:
    assert numbers(asked, 3) == numbers(asked, 4) == [0, 1, 2]
    asked.write_text("two")
    assert numbers(asked, 1) == [0]


def test_what_is_torn_is_made_again(asked: Path) -> None:
    numbers(asked, 3)
    (place,) = asked.with_name("kept").iterdir()
    for content in (b"", b"PK\x03\x04 torn", place.read_bytes()[:-30]):
        place.write_bytes(content)
        assert numbers(asked, 2) == [0, 1]
        assert numbers(asked, 5) == [0, 1]
