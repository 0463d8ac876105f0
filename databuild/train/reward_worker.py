"""The child process of `train.reward`: `python -m databuild.train.reward_worker`.

Nothing here is imported by the parent, which never loads torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.engine.child import Channel, Json, serve_job
from databuild.errors import StepError
from databuild.train.examples import read_rows
from databuild.train.reward_options import RewardOptions
from databuild.train.reward_pairs import Pair, hold_back, other_answers, read_pairs
from databuild.train.work import Work, finished, fit, result_of, rows_told, work_of

if TYPE_CHECKING:
    from collections.abc import Callable

JOB_VERSION = 2
"""Raised when the same job would give another model: checkpoints of other versions are dropped."""


def main(job: Json, parent: Channel) -> Json:
    """Do one job; a trouble of ours is a result, so that the parent can raise the same error."""
    return result_of(lambda: carry_out(job, parent.send))


def carry_out(job: Json, tell: Callable[[Json], None]) -> Json:
    """Train as `job` says and return the metrics; a finished job returns them at once.

    Args:
        job: As `databuild.train.job.Training` describes, in JSON.
        tell: Gets every phase and every optimiser step.

    Raises:
        DatabuildError: There is nothing to train on, the model does not fit, training diverged.
    """
    work = work_of(job, RewardOptions.model_validate(job["options"]), tell)
    return finished(work, job, JOB_VERSION) or _train(work)


def _train(work: Work) -> Json:
    work.phase("imports")
    from databuild.train import reward_saving, reward_trainer, trainers

    work.phase("rows")
    trainers.config(work, has_eval=False)  # a misspelt name is said before anything is loaded
    tokenizer = trainers.load_tokenizer(work.model)
    train, held, skipped, n_prompts = _parted(work, tokenizer)
    options: RewardOptions = work.options  # type: ignore[assignment]
    others = other_answers(train, options.random_negatives, options.seed, options.max_length)
    used = [*train, *others]
    longest = max(
        len(ids) for pair in (*used, *held) for ids in (pair.chosen_ids, pair.rejected_ids)
    )

    def save(trainer: Any) -> Json:
        return {
            **reward_saving.save(work, trainer, tokenizer, train, held),
            "rows_used": len(train),
            "rows_evaluated": len(held),
            "rows_skipped": skipped,
            "prompts": n_prompts,
            "random_negatives": len(others),
        }

    return fit(
        work,
        rows_told(len(train), len(held), skipped, longest),
        lambda: reward_trainer.build(work, tokenizer, used, held),
        save,
        trainers.compute_dtype(work),
    )


def _parted(work: Work, tokenizer: Any) -> tuple[list[Pair], list[Pair], list[dict[str, str]], int]:
    """The pairs to train on, those to evaluate on, what is left out, the number of prompts."""
    options: RewardOptions = work.options  # type: ignore[assignment]
    pairs = read_pairs(read_rows(work.rows), options, tokenizer)
    skipped, n_prompts = list(pairs.skipped), pairs.n_prompts
    if work.eval_rows is None:
        train, held = hold_back(pairs, options.eval_fraction, options.seed)
    else:
        dev = read_pairs(read_rows(work.eval_rows), options, tokenizer)
        train, held = pairs.rows, dev.rows
        skipped += dev.skipped
        n_prompts += dev.n_prompts
    if not train:
        reasons = sorted({row["reason"].partition(":")[0] for row in pairs.skipped})
        what = (
            f"no pair is left to train on: {len(pairs.skipped)} of {len(pairs.skipped)} rows cannot"
            f" be used ({', '.join(reasons) or 'the table is empty'})"
        )
        raise StepError("train.reward", what, fix="give it pairs, or raise max_length")
    held.sort(key=lambda pair: (pair.prompt, pair.row_id))
    return train, held, skipped, n_prompts


if __name__ == "__main__":
    serve_job(main)
