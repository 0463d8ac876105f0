"""The options that every step of annotation has."""

from __future__ import annotations

from pydantic import Field

from databuild.annotate.desk import Tool
from databuild.annotate.tasks import TaskName
from databuild.recipe.options import StepConfig


class DatasetConfig(StepConfig):
    """Which votes: the data set, its task, and where people answer."""

    dataset: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")
    """The name of the data set in the tool, and of its log `journals/votes/<dataset>.jsonl`."""
    task: TaskName = "preference"
    """What is asked: `preference` (which of two answers is better, in four strengths each way),
    `rating` (one answer, 1 to 5), `thumbs` (one answer, wanted or not), `ranking` (several answers)
    or `verification` (a question and answer made from a passage)."""
    tool: Tool = "argilla"
    """Where people answer: `argilla`, `files` (JSONL and CSV under `journals/votes/<dataset>/`) or
    `label_studio` (its JSON, in the same folder)."""
    server: str | None = None
    """The address of a team's Argilla; null is the local one of `databuild annotate up`."""
