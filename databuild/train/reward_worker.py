"""The child process of `train.reward`: `python -m databuild.train.reward_worker`.

Nothing here is imported by the parent, which never loads torch.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.engine.child import Channel, Json, serve_job
from databuild.errors import DatabuildError, ServiceError, StepError
from databuild.train.examples import read_rows
from databuild.train.job import LOG, METRICS
from databuild.train.reward_options import RewardOptions
from databuild.train.reward_pairs import Pair, Pairs, hold_back, other_answers, read_pairs
from databuild.train.worker import Work

if TYPE_CHECKING:
    from collections.abc import Callable

JOB_VERSION = 1
"""Raised when the same job would give another model: checkpoints of other versions are dropped."""
_MADE = ("checkpoints", "best", "final", "adapter", METRICS)


def main(job: Json, parent: Channel) -> Json:
    """Do one job; a trouble of ours is a result, so that the parent can raise the same error."""
    try:
        return carry_out(job, parent.send)
    except DatabuildError as error:
        trouble = {"class": type(error).__name__, "what": error.what, "fix": error.fix}
        return {"error": trouble}


def carry_out(job: Json, tell: Callable[[Json], None]) -> Json:
    """Train as `job` says and return the metrics; a finished job returns them at once.

    Args:
        job: `model`, `rows`, `out` (paths), `options`, `device`.
        tell: Gets every phase and every optimiser step.

    Raises:
        DatabuildError: There is nothing to train on, the model does not fit, training diverged.
    """
    work = Work(
        kind="reward", options=RewardOptions.model_validate(job["options"]),  # type: ignore[arg-type]
        model=Path(job["model"]), rows=Path(job["rows"]), eval_rows=None, out=Path(job["out"]),
        device=job["device"], tell=tell, started=time.monotonic(),
    )  # fmt: skip
    return _finished(work, job) or _train(work)


def _finished(work: Work, job: Json) -> Json | None:
    """Make `out` this job's folder, without another job's work; return what is done already."""
    told = [JOB_VERSION, job["options"], job["device"]]
    digest = hashlib.blake2b(json.dumps(told, sort_keys=True).encode())
    digest.update(work.rows.read_bytes())
    digest.update((work.model / "config.json").read_bytes())
    for path in sorted(work.model.glob("*.safetensors")):
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    work.out.mkdir(parents=True, exist_ok=True)
    note, key = work.out / "job.json", digest.hexdigest()[:32]
    if note.exists() and json.loads(note.read_text()).get("key") == key:
        whole = all((work.out / name).exists() for name in ("best", "final", METRICS))
        return json.loads((work.out / METRICS).read_text()) if whole else None
    for name in _MADE:
        path = work.out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    _write(note, {"key": key, **job})
    return None


def _train(work: Work) -> Json:
    work.phase("imports")
    from databuild.train import reward_saving, reward_trainer, trainers
    from databuild.train.saving import last_checkpoint

    work.phase("rows")
    tokenizer = trainers.load_tokenizer(work.model)
    pairs, train, held, others = _parted(work, tokenizer)
    work.phase("model")
    trainer = reward_trainer.build(work, tokenizer, [*train, *others], held)
    setup_s = work.elapsed()
    work.phase("training")
    checkpoint = last_checkpoint(work.out / "checkpoints")
    try:
        outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except trainers.DivergedError as error:
        what = f"{error}; the whole log is {work.out / LOG}"
        fix = "lower learning_rate, raise warmup_steps, or set max_grad_norm to 1.0 or less"
        raise ServiceError("train.reward", what, fix=fix) from error
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise _too_large(work, error) from error
    train_s = work.elapsed() - setup_s
    saved = reward_saving.save(work, trainer, tokenizer, train, held)
    metrics = {
        **saved,
        "kind": "reward",
        "steps": outcome.global_step,
        "train_loss": outcome.training_loss,
        "rows_used": len(train),
        "rows_evaluated": len(held),
        "rows_skipped": pairs.skipped,
        "prompts": pairs.n_prompts,
        "random_negatives": len(others),
        "resumed_from_step": int(checkpoint.name.rpartition("-")[2]) if checkpoint else None,
        "dtype": trainers.compute_dtype(work),
        "device": str(trainer.args.device),
        **_cost(work, setup_s, train_s),
        "history": trainer.state.log_history,
        "options": work.options.model_dump(mode="json"),
    }
    _write(work.out / METRICS, metrics)
    shutil.rmtree(work.out / "checkpoints", ignore_errors=True)
    return metrics


def _too_large(work: Work, error: RuntimeError) -> ServiceError:
    """Out of memory, with what would fit."""
    options: RewardOptions = work.options  # type: ignore[assignment]
    size, steps = options.per_device_train_batch_size, options.gradient_accumulation_steps
    what = f"out of memory with {size} pairs of up to {options.max_length} tokens at once: {error}"
    fix = (
        f"set per_device_train_batch_size={max(size // 2, 1)} and "
        f"gradient_accumulation_steps={steps * 2}, which learns the same"
        if size > 1
        else "set gradient_checkpointing=true, or lower max_length or first_layers"
    )
    return ServiceError("train.reward", what, fix=fix)


def _parted(work: Work, tokenizer: Any) -> tuple[Pairs, list[Pair], list[Pair], list[Pair]]:
    """All pairs; of them those to train on, those held back; and the random negatives."""
    options: RewardOptions = work.options  # type: ignore[assignment]
    pairs = read_pairs(read_rows(work.rows), options, tokenizer)
    train, held = hold_back(pairs, options.eval_fraction, options.seed)
    if not train:
        reasons = sorted({row["reason"].partition(":")[0] for row in pairs.skipped})
        what = (
            f"no pair is left to train on: {len(pairs.skipped)} of {len(pairs.skipped)} rows cannot"
            f" be used ({', '.join(reasons) or 'the table is empty'})"
        )
        raise StepError("train.reward", what, fix="give it pairs, or raise max_length")
    held.sort(key=lambda pair: (pair.prompt, pair.row_id))
    others = other_answers(train, options.random_negatives, options.seed, options.max_length)
    return pairs, train, held, others


def _cost(work: Work, setup_s: float, train_s: float) -> Json:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = {
        "setup": setup_s,
        "training": train_s,
        "saving": work.elapsed() - setup_s - train_s,
        "cpu": usage.ru_utime + usage.ru_stime,
    }
    return {
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "peak_memory_bytes": usage.ru_maxrss * 1024,
    }


def _write(path: Path, value: Json) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=1))
    part.replace(path)


if __name__ == "__main__":
    serve_job(main)
