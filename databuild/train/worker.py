"""The child process of `train.sft` and `train.dpo`: `python -m databuild.train.worker`.

Nothing here is imported by the parent, which never loads torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.engine.child import Channel, Json, serve_job
from databuild.errors import StepError
from databuild.train.examples import Examples, read_rows, tokenise
from databuild.train.graded import with_grades
from databuild.train.options import DpoOptions, SftOptions
from databuild.train.work import Work, finished, fit, result_of, rows_told, work_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JOB_VERSION = 2
"""Raised when the same job would give another model: checkpoints of other versions are dropped."""


def main(job: Json, parent: Channel) -> Json:
    """Do one job; a trouble of ours is a result, so that the parent can raise the same error."""
    return result_of(lambda: carry_out(job, parent.send))


def carry_out(job: Json, tell: Callable[[Json], None]) -> Json:
    """Train as `job` says and return the metrics.

    Args:
        job: As `databuild.train.job.Training` describes, in JSON.
        tell: Gets every phase and every optimiser step.

    Raises:
        DatabuildError: As `databuild.train.job.train`.
    """
    options = SftOptions if job["kind"] == "sft" else DpoOptions
    work = work_of(job, options.model_validate(job["options"]), tell)
    return finished(work, job, JOB_VERSION) or _train(work)


def _train(work: Work) -> Json:
    work.phase("imports")
    from databuild.train import saving, trainers

    work.phase("rows")
    trainers.config(work, has_eval=False)  # a misspelt name is said before anything is loaded
    tokenizer = trainers.load_tokenizer(work.model)
    rows, held = _examples(work, tokenizer)
    skipped = [*rows.skipped, *held.skipped]
    longest = max((*rows.lengths(), *held.lengths()), default=0)

    def save(trainer: Any) -> Json:
        places, _ = saving.save(work, trainer, tokenizer, trainers.load_model)
        return {
            **places,
            "rows_used": len(rows.rows),
            "rows_evaluated": len(held.rows),
            "rows_skipped": skipped,
            **_tokens(rows),
        }

    return fit(
        work,
        rows_told(len(rows.rows), len(held.rows), skipped, longest),
        lambda: trainers.build(work, tokenizer, rows, held),
        save,
        trainers.compute_dtype(work),
    )


def _examples(work: Work, tokenizer: Any) -> tuple[Examples, Examples]:
    import numpy as np

    made = _tokenised(work, tokenizer, work.rows)
    if work.eval_rows is not None:
        held = _tokenised(work, tokenizer, work.eval_rows)
    else:
        n_held = round(len(made.rows) * work.options.eval_fraction)
        order = np.random.default_rng(work.options.seed).permutation(len(made.rows)).tolist()
        held, made = made.subset(order[:n_held]), made.subset(order[n_held:], made.skipped)
    if not made.rows:
        reasons = sorted({row["reason"].partition(":")[0] for row in made.skipped})
        raise StepError(
            f"train.{work.kind}",
            f"no row is left to train on: {len(made.skipped)} of {len(made.skipped)} rows cannot be"
            f" used ({', '.join(reasons) or 'the table is empty'})",
            fix="give it rows, or raise max_length",
        )
    return made, held


def _tokenised(work: Work, tokenizer: Any, path: Path) -> Examples:
    rows, options = read_rows(path), work.options
    made = tokenise(rows, work.kind, tokenizer, options.max_length)
    if isinstance(options, DpoOptions) and options.is_graded:
        return with_grades(made, rows, options)
    return made


def _tokens(examples: Examples) -> Json:
    learnt = 0
    for row in examples.rows:
        labels = row.get("labels")
        learnt += (
            sum(label != -100 for label in labels)
            if labels is not None
            else len(row["chosen_ids"]) + len(row["rejected_ids"])
        )
    return {"tokens_per_epoch": sum(examples.lengths()), "answer_tokens_per_epoch": learnt}


if __name__ == "__main__":
    serve_job(main)
