"""annotate.agreement: how far annotators agree, as a page and as numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field

from databuild.annotate.agreement_page import render
from databuild.annotate.opinions import TASKS, TaskName, opinions
from databuild.annotate.reliability import agreement_of
from databuild.engine.step import step
from databuild.errors import StepError
from databuild.pages.writing import write_page
from databuild.recipe.options import Columns, StepConfig

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


class AgreementConfig(StepConfig):
    """Options of `annotate.agreement`."""

    task: TaskName = "preference"
    """What people were asked."""
    by: Columns = ()
    """Columns, besides `stratum`, whose values agreement is told for, such as a language."""
    resamples: int = Field(default=500, ge=100)
    """Bootstrap resamples, over records, of the intervals."""


@step(
    "annotate.agreement",
    kind="deliver",
    sees="table",
    version=1,
    reads=lambda config: TASKS[config.task].reads,
    also=lambda config: TASKS[config.task].optional,
)
def report_agreement(
    rows: pl.DataFrame, config: AgreementConfig, *, out: Path, seed: int
) -> dict[str, Any]:
    """Write `agreement.html` and `agreement.json`: how far people agree, and who does not.

    What is told is defined in `databuild.annotate.reliability`. It stops nothing: a limit is
    `annotate.gate`'s.

    Args:
        rows: Votes; see `databuild.annotate.opinions`.
        config: See `AgreementConfig`.
        out: An empty folder; gets the two files.
        seed: Seed of the bootstrap.

    Returns:
        `alpha` (value, low, high, n_units), `n_votes`, `n_units`, `n_annotators`, `n_simulated`,
        `gold`, `shown_first`; `rows_skipped`: votes that do not count, with the reason.

    Raises:
        StepError: There is no vote.
        ServiceError: jinja2 is not installed.
    """
    task = TASKS[config.task]
    told, left = opinions(rows, task)
    if told.is_empty():
        what = "there are no rows to write a page about: nobody has voted"
        raise StepError("annotate.agreement", what, fix="pull again when somebody has")
    by = tuple(dict.fromkeys(("stratum", *config.by)))
    found = agreement_of(told, task, by=by, seed=seed, resamples=config.resamples)
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (out / "agreement.json").write_text(text + "\n", "utf-8")
    write_page(out / "agreement.html", render(found))
    names = ("alpha", "n_votes", "n_units", "n_annotators", "n_simulated", "gold", "shown_first")
    facts: dict[str, Any] = {name: found[name] for name in names}
    facts["files"] = ["agreement.html"]
    if found["alpha"]["value"] is not None:
        facts["in_short"] = f"alpha {found['alpha']['value']:.2f}"
    return {**facts, "rows_skipped": left.sort("row_id").to_dicts()} if left.height else facts
