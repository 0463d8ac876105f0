"""The one list of steps. A new step is a new line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from databuild.dedup.exact import drop_exact_duplicates
from databuild.dedup.minhash import drop_near_duplicates
from databuild.engine.step import Step, load_plugin
from databuild.errors import RecipeError
from databuild.evaluate.compare import compare_with_base
from databuild.evaluate.fluency import compare_fluency
from databuild.evaluate.perplexity import measure_perplexity
from databuild.flywheel.promote import promote_if_better

STEPS: tuple[Step, ...] = (
    drop_exact_duplicates,
    drop_near_duplicates,
    measure_perplexity,
    compare_with_base,
    compare_fluency,
    promote_if_better,
)


def all_steps(plugins: Iterable[Path] = ()) -> Mapping[str, Step]:
    """Every step by name: databuild's own, then those of a recipe's plugins.

    Raises:
        RecipeError: A plugin cannot be loaded, or takes a name that is taken.
    """
    steps = {step.name: step for step in STEPS}
    for path in plugins:
        for step in load_plugin(path):
            if step.name in steps:
                taken = steps[step.name].module
                what = f"it declares the step {step.name!r}, which {taken} declares already"
                raise RecipeError(str(path), what, fix="give your step another name")
            steps[step.name] = step
    return steps
