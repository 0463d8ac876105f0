"""databuild: from raw files to a versioned data set, a trained model, a verdict, and round again.

The same dozen names serve a notebook and the command line. They are loaded when first used, so that
`databuild --help` does not wait for Polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from databuild.api import check, ledger, plan, profile, run, show, status, why
    from databuild.cli.environment import environment as env
    from databuild.cli.quickstart import write_recipe as init
    from databuild.engine.step import Produced, step
    from databuild.errors import DatabuildError
    from databuild.recipe.options import StepConfig
    from databuild.report.page import write_report

__all__ = [
    "DatabuildError",
    "Produced",
    "StepConfig",
    "check",
    "env",
    "init",
    "ledger",
    "plan",
    "profile",
    "run",
    "show",
    "status",
    "step",
    "why",
    "write_report",
]

_HOMES = {
    "DatabuildError": "errors",
    "Produced": "engine.step",
    "StepConfig": "recipe.options",
    "env": "cli.environment:environment",
    "init": "cli.quickstart:write_recipe",
    "step": "engine.step",
    "write_report": "report.page",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module 'databuild' has no attribute {name!r}"
        raise AttributeError(msg)
    home, _, inside = _HOMES.get(name, "api").partition(":")
    value = getattr(import_module(f"databuild.{home}"), inside or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
