"""What is to be known of a version beside its rows, as plain JSON: the card is written from it.

It lies in the version's manifest under `about`, for whoever has only the released folder:

| | |
|---|---|
| `told`, `limits`, `authors` | what the recipe says of the data set |
| `made` | the steps behind it, in order: what each does, its options, its rows |
| `sources` | the steps that read files: which, and under which licence |
| `models` | who answered, who judged, with what sampling and prompts |
| `contamination`, `agreement` | what those steps found |
| `data` | what was counted of the rows: see `release.tally` |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from databuild.engine.lineage import Runs
    from databuild.engine.store import Manifest
    from databuild.recipe.model import Release

_BY = {
    "sample.stratify": ("by",), "sample.split": ("stratify",), "sample.parts": ("column",),
    "sample.curriculum": ("by",), "sample.mix": ("by",),
}  # fmt: skip
"""The options that name columns by which rows are chosen."""
_SAMPLING = ("temperature", "top_p", "max_tokens", "k")
_RARER = ("top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
_READERS = ("measure.", "dedup.", "sample.", "evaluate.", "flywheel.")
_FILES, _REASONS = 12, 3


def strata_of(steps: Iterable[Manifest]) -> list[str]:
    """The columns that a recipe chooses rows by, in the order of its steps."""
    found: list[str] = []
    for step in steps:
        for option in _BY.get(step.use, ()):
            value = step.config.get(option)
            names = [value] if isinstance(value, str) else list(value or ())
            found += [name for name in names if isinstance(name, str)]
    return list(dict.fromkeys(found))


def about(
    release: Release,
    runs: Runs,
    behind: set[str],
    words: Mapping[str, str],
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """Gather what a card tells.

    Args:
        release: What the recipe says.
        runs: The finished steps.
        behind: The steps that the released rows came through.
        words: What each kind of step does, in one sentence.
        data: What was counted of the rows.
    """
    steps = [runs.manifests[name] for name in runs.manifests if name in behind]
    return {
        "told": release.about.strip(),
        "limits": list(release.limits),
        "authors": list(release.authors),
        "made": [_made(step, words) for step in steps],
        "sources": [_source(step) for step in steps if not step.inputs],
        "models": [model for step in steps for model in _models(step)],
        "contamination": [
            str(step.metrics.get("card", step.step))
            for step in steps
            if step.use == "dedup.contamination"
        ],
        "agreement": agreement(runs, behind),
        "data": dict(data),
    }


def agreement(runs: Runs, behind: set[str]) -> list[dict[str, Any]]:
    """What is known of how far people agree whose votes are behind some rows.

    Returns:
        For each `annotate.gate` behind them, and each `annotate.agreement` on the votes behind
        them: `step`, `votes` (the steps that pulled them), `alpha` (None: not defined), `low`,
        `high`, `n_units`, `least` (the gate's limit), `people`, `n_votes`, `simulated`.
    """
    pulls = {name for name in behind if runs.manifests[name].use == "annotate.pull"}
    found = []
    for name, step in runs.manifests.items():
        is_gate = step.use == "annotate.gate" and name in behind
        of = sorted(pulls.intersection(runs.behind(name)))
        if of and (is_gate or step.use == "annotate.agreement"):
            told = step.metrics.get("alpha")
            alpha = told if isinstance(told, dict) else {"value": told}
            votes = step.metrics.get("votes") or {}
            found.append({
                "step": name, "votes": of, "alpha": alpha.get("value"), "low": alpha.get("low"),
                "high": alpha.get("high"), "least": step.config.get("min_alpha"),
                "n_units": step.metrics.get("n_units"), "people": step.metrics.get("n_annotators"),
                "n_votes": step.metrics.get("n_votes", votes.get("kept")),
                "simulated": step.metrics.get("n_simulated"),
            })  # fmt: skip
    return found


def _made(step: Manifest, words: Mapping[str, str]) -> dict[str, Any]:
    n = step.rows
    return {
        "step": step.step, "use": step.use, "words": words.get(step.use, ""),
        "options": step.key_parts.get("options") or {},
        "in": n.rows_in, "out": n.rows_out, "dropped": n.dropped, "failed": n.failed,
        "reasons": dict(list(n.by_reason.items())[:_REASONS]),
    }  # fmt: skip


def _source(step: Manifest) -> dict[str, Any]:
    names = list(dict.fromkeys(str(one.get("name", "")) for one in step.splits or ()))
    return {
        "step": step.step, "files": names[:_FILES], "n_files": len(names), "digest": step.digest,
    }  # fmt: skip


def _models(step: Manifest) -> Sequence[dict[str, Any]]:
    """Who was asked in a step, as what, and how."""
    role = "judge" if step.use.startswith("reward.") else "generator"
    role = "reader" if step.use.startswith(_READERS) else role
    asked: Mapping[str, str] = step.key_parts.get("models") or {}
    prompts = step.key_parts.get("brings") or {}
    given = step.key_parts.get("options") or {}
    sampling = {n: step.config[n] for n in _SAMPLING if step.config.get(n) is not None}
    sampling |= {n: given[n] for n in _RARER if n in given}
    return [
        {
            "identity": identity, "step": step.step, "use": step.use, "role": role,
            "sampling": {} if role == "reader" else sampling,
            "prompts": [f"{name} {digest[:12]}" for name, digest in prompts.items()],
            "seed": step.seed,
        }
        for identity in dict.fromkeys(asked.values())
    ]  # fmt: skip
