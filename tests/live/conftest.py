"""The real model, unpacked once and kept in pytest's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from databuild.models.packaged import packaged_folder, packaged_identity

if TYPE_CHECKING:
    from pathlib import Path

collect_ignore = ["argilla_upstream"]  # runs in the environment of Argilla's server


@pytest.fixture(scope="session")
def smollm2(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Hugging Face folder of SmolLM2-135M-Instruct."""
    cache = getattr(request.config, "cache", None)
    homes = cache.mkdir("models") if cache else tmp_path_factory.mktemp("models")
    name = "smollm2-135m-instruct"
    home = homes / packaged_identity(name)
    return packaged_folder(name, home, log=tmp_path_factory.mktemp("logs") / "packaged.log")
