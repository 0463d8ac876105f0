"""A model's name changes when, and only when, its answers may."""

from __future__ import annotations

import shutil

import pytest

from databuild.errors import ServiceError
from databuild.models.identity import folder_identity


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "model"
    home.mkdir()
    (home / "config.json").write_text("{}")
    (home / "model.safetensors").write_bytes(b"weights")
    (home / "tokenizer.json").write_text("{}")
    return home


def test_the_same_content_elsewhere_is_the_same_model(folder, tmp_path):
    before = folder_identity(folder)
    assert before.startswith("hf@")
    (folder / "README.md").write_text("a card")
    shutil.copytree(folder, tmp_path / "copy")
    assert folder_identity(tmp_path / "copy") == before


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"]
)
def test_other_content_is_another_model(folder, name):
    before = folder_identity(folder)
    with (folder / name).open("a") as file:
        file.write(" ")
    assert folder_identity(folder) != before


def test_content_that_moves_between_files_is_another_model(folder):
    before = folder_identity(folder)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert folder_identity(folder) != before


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_is_no_model_is_an_error(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(ServiceError, match="is no model folder"):
        folder_identity(folder)
