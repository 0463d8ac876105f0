"""The compose file for teams: complete, with health checks, and without a password in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from ruamel.yaml import YAML

from databuild.annotate import installation
from databuild.shipped import shipped

SECRETS = {"ARGILLA_AUTH_SECRET_KEY", "ARGILLA_PASSWORD", "ARGILLA_API_KEY", "POSTGRES_PASSWORD"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return YAML(typ="safe").load(shipped("annotation/compose.yaml"))


def test_every_service_is_pinned_restarted_and_checked(compose):
    assert set(compose["services"]) == {"argilla", "worker", "postgres", "elasticsearch", "redis"}
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.]*", service["image"]), name
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert service["healthcheck"]["interval"], name


def test_what_starts_later_waits_for_health(compose):
    services = compose["services"]
    stores = {"postgres", "elasticsearch", "redis"}
    assert set(services["argilla"]["depends_on"]) == stores
    assert set(services["worker"]["depends_on"]) == {"argilla"}
    for service in (services["argilla"], services["worker"]):
        conditions = {one["condition"] for one in service["depends_on"].values()}
        assert conditions == {"service_healthy"}


def test_every_secret_comes_from_the_environment_and_must_be_given(compose):
    text = shipped("annotation/compose.yaml").read_text(encoding="utf-8")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    wanted = set(re.findall(r"\$\{(\w+):\?", body))
    assert wanted >= SECRETS
    environments = [service.get("environment", {}) for service in compose["services"].values()]
    for name, value in (pair for one in environments for pair in one.items()):
        if re.search(r"PASSWORD|SECRET|API_KEY", name):
            assert value.startswith("${"), name
            assert ":?" in value, name


def test_every_volume_and_network_is_declared_and_only_the_page_is_published(compose):
    for name, service in compose["services"].items():
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(
            compose["volumes"]
        )
        assert set(service["networks"]) <= set(compose["networks"])
        ports = service.get("ports", [])
        assert bool(ports) == (name == "argilla")
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert compose["networks"]["inside"]["internal"] is True


def test_docker_compose_accepts_it(tmp_path):
    docker = shutil.which("docker")
    version = [docker or "docker", "compose", "version"]
    if docker is None or subprocess.run(version, capture_output=True, check=False).returncode:
        pytest.skip("no docker compose here")
    given = tmp_path / "env"
    given.write_text("".join(f"{name}=x\n" for name in [*SECRETS, "ARGILLA_USERNAME"]), "utf-8")
    file = str(shipped("annotation/compose.yaml"))
    words = [docker, "compose", "-f", file, "--env-file", str(given), "config", "-q"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.live
def test_argilla_knows_every_setting_that_is_named_for_it(compose, argilla_home):
    python = installation.install(lambda _: None)
    ask = (
        "import json; from argilla_server.settings import Settings; print(json.dumps("
        "[Settings.model_config['env_prefix'] + name.upper() for name in Settings.model_fields]))"
    )
    read = subprocess.run(
        [python, "-c", ask], capture_output=True, text=True, check=True, cwd=argilla_home,
        env={"ARGILLA_HOME_PATH": str(argilla_home / "asked"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    known = set(json.loads(read.stdout.splitlines()[-1])) | {"ARGILLA_AUTH_SECRET_KEY"}
    for name in ("argilla", "worker"):
        named = set(compose["services"][name]["environment"])
        assert {one for one in named if one.startswith("ARGILLA_")} <= known
        # What the image's own start script makes the first account and workspace of.
        assert {"USERNAME", "PASSWORD", "API_KEY", "WORKSPACE"} <= named
