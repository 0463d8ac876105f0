"""A training in its child process: what all kinds share, from the job to the metrics.

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

from databuild.errors import DatabuildError, ServiceError
from databuild.train.checkpoints import drop_broken, newest
from databuild.train.job import LOG, METRICS
from databuild.train.memory import is_out_of_memory, out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from databuild.engine.child import Json
    from databuild.train.options import TrainOptions

_MADE = ("checkpoints", "best", "final", "adapter", METRICS)


class DivergedError(Exception):
    """The loss or the gradient is no finite number any more."""


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


def work_of(job: Json, options: TrainOptions, tell: Callable[[Json], None]) -> Work:
    """Make the work of a job; its time begins now."""
    return Work(
        kind=job["kind"], options=options, model=Path(job["model"]), rows=Path(job["rows"]),
        eval_rows=Path(job["eval_rows"]) if job["eval_rows"] else None, out=Path(job["out"]),
        device=job["device"], tell=tell, started=time.monotonic(),
    )  # fmt: skip


def result_of(carry_out: Callable[[], Json]) -> Json:
    """Do one job; a trouble of ours is a result, so that the parent can raise the same error."""
    try:
        return carry_out()
    except DatabuildError as error:
        trouble = {"class": type(error).__name__, "what": error.what, "fix": error.fix}
        return {"error": trouble}


def finished(work: Work, job: Json, version: int) -> Json | None:
    """Make `out` this job's folder, without another job's work; return what is done already.

    Args:
        work: The work.
        job: What it was made of.
        version: Raised when the same job would give another model.
    """
    told = {k: v for k, v in job.items() if k not in {"out", "rows", "eval_rows", "model"}}
    digest = hashlib.blake2b(json.dumps([version, told], sort_keys=True).encode())
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
    for name in _MADE:
        path = work.out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    _write(note, {"key": key, **job})
    return None


def rows_told(
    n_rows: int, n_evaluated: int, skipped: Sequence[Mapping[str, str]], longest: int
) -> Json:
    """What is said of the rows before the model is loaded.

    Returns:
        `rows`, `evaluated`, `skipped`: how many; `reasons`: rows by reason; `such_as`: the first
        three that are left out; `longest`: tokens of the longest row that is used.

    Example:
        >>> skipped = [{"row_id": "a", "reason": "too long: 9 tokens, max_length is 8"}]
        >>> told = rows_told(1, 0, skipped, 2)
        >>> told["rows"], told["skipped"], told["reasons"], told["such_as"], told["longest"]
        (1, 1, {'too long': 1}, ['a'], 2)
    """
    return {
        "rows": n_rows,
        "evaluated": n_evaluated,
        "skipped": len(skipped),
        "reasons": dict(Counter(row["reason"].partition(":")[0] for row in skipped)),
        "such_as": [row["row_id"] for row in skipped[:3]],
        "longest": longest,
    }


def fit(
    work: Work,
    told: Json,
    build: Callable[[], Any],
    save: Callable[[Any], Json],
    dtype: str,
) -> Json:
    """Train from the newest whole checkpoint, save, and write the metrics.

    Args:
        work: The work.
        told: `rows_told`; the parent and the log get it first.
        build: Makes the trainer.
        save: Writes the models; returns what is to stand in the metrics besides.
        dtype: What is computed in, for the metrics.

    Raises:
        ServiceError: Memory ran out, or the loss is no number.
    """
    work.tell(told)
    _log(json.dumps(told))
    try:
        return _fitted(work, build, save, dtype)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).partition("\n")[0][:200] or type(error).__name__
        where = f"train.{work.kind}"
        raise out_of_memory(where, work.options, told["longest"], said) from error


def _fitted(work: Work, build: Callable[[], Any], save: Callable[[Any], Json], dtype: str) -> Json:
    checkpoint, left_out = _checkpoint(work)
    trainer = build()
    setup_s = work.elapsed()
    work.phase("training")
    try:
        outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except DivergedError as error:
        raise ServiceError(
            f"train.{work.kind}",
            f"{error}; the whole log is {work.out / LOG}",
            fix="lower learning_rate, raise warmup_steps, or set max_grad_norm to 1.0 or less",
        ) from error
    train_s = work.elapsed() - setup_s
    work.phase("saving")
    metrics = {
        **save(trainer),
        "kind": work.kind,
        "steps": outcome.global_step,
        "stopped_early": outcome.global_step < trainer.state.max_steps,
        "train_loss": outcome.training_loss,
        "resumed_from_step": int(checkpoint.name.rpartition("-")[2]) if checkpoint else None,
        "checkpoints_left_out": left_out,
        "dtype": dtype,
        "device": str(trainer.args.device),
        **_cost(work, setup_s, train_s),
        "history": trainer.state.log_history,
        "options": work.options.model_dump(mode="json"),
    }
    _write(work.out / METRICS, metrics)
    shutil.rmtree(work.out / "checkpoints", ignore_errors=True)
    return metrics


def _checkpoint(work: Work) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint, and what is said of the broken ones, which are removed."""
    left_out = drop_broken(work.out / "checkpoints")
    checkpoint = newest(work.out / "checkpoints")
    if left_out:
        goes_on = f"going on from {checkpoint.name}" if checkpoint else "starting again"
        work.tell({"checkpoints_left_out": left_out, "note": f"{left_out[-1]}; {goes_on}"})
        _log(f"{'; '.join(left_out)}; {goes_on}")
    return checkpoint, left_out


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


def _log(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _write(path: Path, value: Json) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=1))
    part.replace(path)
