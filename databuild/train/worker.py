"""The child process of a training: `python -m databuild.train.worker`, started by `train.job`.

Nothing here is imported by the parent, which never loads torch.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.engine.child import Channel, Json, serve_job
from databuild.errors import DatabuildError, ServiceError, StepError
from databuild.train.checkpoints import drop_broken, newest
from databuild.train.examples import Examples, read_rows, tokenise
from databuild.train.graded import with_grades
from databuild.train.job import LOG, METRICS
from databuild.train.memory import is_out_of_memory, out_of_memory
from databuild.train.options import DpoOptions, SftOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from databuild.train.options import TrainOptions

JOB_VERSION = 1
"""Raised when the same job would give another model: checkpoints of other versions are dropped."""


@dataclass
class Work:
    """A job on its way through the worker."""

    kind: Any
    options: TrainOptions
    model: Path
    rows: Path
    eval_rows: Path | None
    out: Path
    device: str
    tell: Callable[[Json], None]
    started: float

    def phase(self, name: str) -> None:
        """Tell the parent what begins now."""
        self.tell({"phase": name, "elapsed_s": round(time.monotonic() - self.started, 2)})

    def elapsed(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self.started


def main(job: Json, parent: Channel) -> Json:
    """Do one job; a trouble of ours is a result, so that the parent can raise the same error."""
    try:
        return carry_out(job, parent.send)
    except DatabuildError as error:
        trouble = {"class": type(error).__name__, "what": error.what, "fix": error.fix}
        return {"error": trouble}


def carry_out(job: Json, tell: Callable[[Json], None]) -> Json:
    """Train as `job` says and return the metrics.

    Args:
        job: As `databuild.train.job.Training` describes, in JSON.
        tell: Gets every phase and every optimiser step.

    Raises:
        DatabuildError: As `databuild.train.job.train`.
    """
    options = SftOptions if job["kind"] == "sft" else DpoOptions
    work = Work(
        kind=job["kind"],
        options=options.model_validate(job["options"]),
        model=Path(job["model"]),
        rows=Path(job["rows"]),
        eval_rows=Path(job["eval_rows"]) if job["eval_rows"] else None,
        out=Path(job["out"]),
        device=job["device"],
        tell=tell,
        started=time.monotonic(),
    )
    return _finished(work, job) or _train(work)


def _finished(work: Work, job: Json) -> Json | None:
    """Make `out` this job's folder, without another job's work; return what is done already."""
    told = {k: v for k, v in job.items() if k not in {"out", "rows", "eval_rows", "model"}}
    digest = hashlib.blake2b(json.dumps([JOB_VERSION, told], sort_keys=True).encode())
    for path in (work.rows, work.eval_rows, work.model / "config.json"):
        digest.update(path.read_bytes() if path else b"-")
    for path in sorted(work.model.glob("*.safetensors")):
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    work.out.mkdir(parents=True, exist_ok=True)
    note, key = work.out / "job.json", digest.hexdigest()[:32]
    if note.exists() and json.loads(note.read_text()).get("key") == key:
        whole = all((work.out / name).exists() for name in ("best", "final", METRICS))
        return json.loads((work.out / METRICS).read_text()) if whole else None
    for name in ("checkpoints", "best", "final", "adapter", METRICS):
        path = work.out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    part = note.with_suffix(".part")
    part.write_text(json.dumps({"key": key, **job}, indent=1))
    part.replace(note)
    return None


def _train(work: Work) -> Json:
    work.phase("imports")
    from databuild.train import trainers

    work.phase("rows")
    trainers.config(work, has_eval=False)  # a misspelt name is said before anything is loaded
    tokenizer = trainers.load_tokenizer(work.model)
    train_rows, eval_rows = _examples(work, tokenizer)
    facts = rows_told(train_rows, eval_rows)
    work.tell(facts)
    _log(json.dumps(facts))
    try:
        return _trained(work, tokenizer, train_rows, eval_rows)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        where = f"train.{work.kind}"
        told = str(error).partition("\n")[0][:200] or type(error).__name__
        raise out_of_memory(where, work.options, facts["longest"], told) from error


def rows_told(train_rows: Examples, eval_rows: Examples) -> Json:
    """What is said of the rows before the model is loaded.

    Returns:
        `rows`, `evaluated`, `skipped`: how many; `reasons`: rows by reason; `such_as`: the first
        three that are left out; `longest`: tokens of the longest row that is used.

    Example:
        >>> skipped = [{"row_id": "a", "reason": "too long: 9 tokens, max_length is 8"}]
        >>> told = rows_told(Examples([{"input_ids": [1, 2]}], ["b"], skipped), Examples())
        >>> told["rows"], told["skipped"], told["reasons"], told["such_as"], told["longest"]
        (1, 1, {'too long': 1}, ['a'], 2)
    """
    skipped = [*train_rows.skipped, *eval_rows.skipped]
    return {
        "rows": len(train_rows.rows),
        "evaluated": len(eval_rows.rows),
        "skipped": len(skipped),
        "reasons": dict(Counter(row["reason"].partition(":")[0] for row in skipped)),
        "such_as": [row["row_id"] for row in skipped[:3]],
        "longest": max((*train_rows.lengths(), *eval_rows.lengths()), default=0),
    }


def _log(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _trained(work: Work, tokenizer: Any, train_rows: Examples, eval_rows: Examples) -> Json:
    from databuild.train import saving, trainers

    left_out = drop_broken(work.out / "checkpoints")
    checkpoint = newest(work.out / "checkpoints")
    if left_out:
        goes_on = f"going on from {checkpoint.name}" if checkpoint else "starting again"
        work.tell({"checkpoints_left_out": left_out, "note": f"{left_out[-1]}; {goes_on}"})
        _log(f"{'; '.join(left_out)}; {goes_on}")
    trainer = trainers.build(work, tokenizer, train_rows, eval_rows)
    setup_s = work.elapsed()
    work.phase("training")
    try:
        outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except trainers.DivergedError as error:
        raise ServiceError(
            f"train.{work.kind}",
            f"{error}; the whole log is {work.out / LOG}",
            fix="lower learning_rate, raise warmup_steps, or set max_grad_norm to 1.0 or less",
        ) from error
    train_s = work.elapsed() - setup_s
    work.phase("saving")
    places = saving.save(work, trainer, tokenizer)
    metrics = {
        **places,
        "kind": work.kind,
        "steps": outcome.global_step,
        "stopped_early": outcome.global_step < trainer.state.max_steps,
        "train_loss": outcome.training_loss,
        "rows_used": len(train_rows.rows),
        "rows_evaluated": len(eval_rows.rows),
        "rows_skipped": [*train_rows.skipped, *eval_rows.skipped],
        **_tokens(train_rows),
        "resumed_from_step": int(checkpoint.name.rpartition("-")[2]) if checkpoint else None,
        "checkpoints_left_out": left_out,
        "dtype": trainers.compute_dtype(work),
        "device": str(trainer.args.device),
        **_cost(work, setup_s, train_s),
        "history": trainer.state.log_history,
        "options": work.options.model_dump(mode="json"),
    }
    part = work.out / f".{METRICS}.part"
    part.write_text(json.dumps(metrics, indent=1))
    part.replace(work.out / METRICS)
    shutil.rmtree(work.out / "checkpoints", ignore_errors=True)
    return metrics


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
