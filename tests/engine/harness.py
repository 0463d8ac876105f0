"""Run the toy recipe without the command line: one call, everything in a temporary folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.engine.execute import Settings
from databuild.engine.keys import FileDigests
from databuild.engine.outputs import Outputs
from databuild.engine.plan import Planned, make_plan
from databuild.engine.resources import Silence
from databuild.engine.run import RunResult, run_nodes
from databuild.engine.step import load_plugin
from databuild.engine.store import Store
from databuild.recipe.bind import Node, Ref, bind
from databuild.recipe.load import load_document
from databuild.recipe.rounds import unroll
from databuild.recipe.validate import as_recipe

if TYPE_CHECKING:
    import polars as pl

TOY = Path(__file__).with_name("toy.py")
STEPS = {step.name: step for step in load_plugin(TOY)}
RECIPE = """
name: toy
steps:
  raw:    {use: toy.lines, path: in.txt, max_failure_ratio: 0.5}
  length: {use: toy.length, from: raw}
  long:   {use: toy.long, from: length}
  halves: {use: toy.halves, from: long}
  twice:  {use: toy.twice, from: halves.low}
  joined: {use: toy.join, from: long}
"""
LINES = ["a", "bb", "ccc", "bb", "!x", "dddd", "é", "ccc", "日本語", ""] * 5


@dataclass
class Toy:
    """A folder with the toy recipe in it."""

    folder: Path
    runs: str = "runs"

    def __post_init__(self) -> None:
        if not (self.folder / "r.yaml").exists():
            self.write(LINES)
            (self.folder / "r.yaml").write_text(RECIPE)

    def write(self, lines: list[str]) -> None:
        (self.folder / "in.txt").write_text("".join(f"{line}\n" for line in lines))

    def nodes(self, *overrides: str) -> list[Node]:
        document = load_document(self.folder / "r.yaml", overrides)
        recipe = as_recipe(document)
        return bind(unroll(recipe, document), STEPS, recipe.models, document)

    def outputs(self, limit: int | None = None) -> Outputs:
        runs = self.folder / self.runs
        outputs = Outputs(
            Store(runs, "toy"), STEPS, {}, FileDigests(runs / "file-digests.json"), 0, limit
        )
        outputs.store.open()
        return outputs

    def plan(self, *overrides: str) -> list[Planned]:
        return make_plan(self.nodes(*overrides), self.outputs())

    def run(self, *overrides: str, again_from: str | None = None, **settings: Any) -> RunResult:
        outputs = self.outputs(settings.get("limit"))
        services: Any = None  # the toy steps need none
        with outputs.store.locked():
            return run_nodes(
                self.nodes(*overrides), outputs, services, Silence(), Settings(**settings),
                again_from=again_from,
            )  # fmt: skip

    def table(self, reference: str) -> pl.DataFrame:
        outputs = self.outputs()
        make_plan(self.nodes(), outputs)
        name, _, part = reference.partition(".")
        return outputs.view(Ref(name, part or None)).read()


def ids(result: RunResult) -> dict[str, str]:
    """The content of every step of a run."""
    return {step.name: step.manifest.digest for step in result.steps}
