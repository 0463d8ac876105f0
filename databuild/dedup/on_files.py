"""Near-dedup of files without a recipe: kept rows, dropped rows, clusters and the accounting."""

from __future__ import annotations

import resource
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.dedup import audit
from databuild.dedup.batches import Batch, add_batch, read_index
from databuild.dedup.compared import SMALL
from databuild.dedup.files import Files, check_column, schema_of, text_columns
from databuild.dedup.memory import expected_mib, most_mib
from databuild.dedup.minhash import NearConfig, parameters_of
from databuild.dedup.near import find_near
from databuild.dedup.near_pairs import Search
from databuild.dedup.signing import sign
from databuild.dedup.writing import Outside, Sources, write_clusters, write_rows
from databuild.engine.checkpoints import Checkpoints
from databuild.engine.store import remove_at_once, write_json
from databuild.errors import DatabuildError, SchemaError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from databuild.dedup.near import Found
    from databuild.dedup.signing import Signed
    from databuild.engine.resources import Watcher

WORK, MANIFEST = ".unfinished", "manifest.json"


@dataclass(frozen=True)
class Asked:
    """What is asked of `dedup_files`; the options are those of `dedup.minhash`."""

    inputs: tuple[Path, ...]
    out: Path
    columns: tuple[str, ...] = ()
    """The columns to compare; none: found by their names."""
    threshold: float = 0.7
    ngram: int = 3
    recall: float = 0.9995
    scheme: str = "fast"
    prefer: str | None = None
    against: tuple[Path, ...] = ()
    """Files of earlier rows, all of which count as kept."""
    index: Path | None = None
    """The folder of an index of earlier batches; the kept rows are added to it."""
    workers: int = 1


def dedup_files(asked: Asked, watcher: Watcher) -> dict[str, Any]:
    """Drop near-duplicate rows of Parquet or JSON Lines files.

    Writes to `asked.out`: `kept-*.parquet`, one for each input file, with the input's columns and
    types; `dropped/dropped-*.parquet`, the same columns and `dedup_row`, `dedup_kept_file`,
    `dedup_kept_row`, `dedup_jaccard`, `dedup_stage`, `dedup_cluster`; `clusters.parquet`; and
    `manifest.json`. The number of rows kept and dropped is that of the input. After a kill the same
    call goes on where it stopped.

    Args:
        asked: See `Asked`.
        watcher: Told of the phases `sign`, `search` and `write`.

    Returns:
        The content of `manifest.json`.

    Raises:
        SchemaError: A file cannot be read, or a column is missing or not text.
        StepError: The index was made with other parameters.
        StoreError: `asked.out` has other files in it, or cannot be written.
    """
    started, cpu = time.monotonic(), time.process_time()
    config = NearConfig.model_validate({
        "threshold": asked.threshold, "ngram": asked.ngram, "recall": asked.recall,
        "scheme": asked.scheme,
    })  # fmt: skip
    _check_out(asked.out)
    work = asked.out / WORK
    with _tidy(asked.out):
        work.mkdir(parents=True, exist_ok=True)
        job = _Job.prepare(asked, config, work)
    expected, most = (peak(job.text_bytes, job.n_rows) for peak in (expected_mib, most_mib))
    said = (
        f"peak about {expected:,} MiB of memory, {most:,} at most if the rows are of one template"
    )
    with _phase(watcher, "sign", said, f"{job.n_rows:,} rows") as progress:
        progress.total(job.n_rows, "rows")
        signed, before = job.sign(progress)
    texts = f"{signed.n_texts:,} texts"
    with _phase(watcher, "search", texts, texts) as progress:
        outside = [*before, *(one.signed for one in job.batches)]
        kept = job.checkpoints("search")
        bands = job.parameters.bands
        search = Search(asked.threshold, bands, kept, workers=asked.workers, progress=progress)
        found = find_near(signed, outside, search)
    spent = round(time.process_time() - cpu, 2)
    with _phase(watcher, "write") as progress:
        progress.total(job.new.n_rows, "rows")
        job.write(found, progress)
    job.remember(signed, found)
    told = _manifest(asked, job, signed, found)
    told["seconds"] = {
        "cpu_to_verdicts": spent, "cpu": round(time.process_time() - cpu, 2),
        "wall": round(time.monotonic() - started, 2), "cpu_by_phase": found.seconds,
    }  # fmt: skip
    told["memory_mib"] = {"expected": expected, "at_most": most, "peak": peak_mib()}
    write_json(asked.out / MANIFEST, told)
    remove_at_once(work)
    return told


@dataclass(frozen=True)
class _Job:
    """The files, opened and checked, and where everything goes."""

    asked: Asked
    config: NearConfig
    work: Path
    new: Files
    old: tuple[Files, ...]
    batches: list[Batch]
    columns: tuple[str, ...]

    @classmethod
    def prepare(cls, asked: Asked, config: NearConfig, work: Path) -> _Job:
        inputs = tuple(as_parquet(path, work / "inputs") for path in asked.inputs)
        against = tuple(as_parquet(path, work / "against") for path in asked.against)
        named = dict(zip((*inputs, *against), (*asked.inputs, *asked.against), strict=True))
        columns = text_columns(inputs[0], asked.columns, asked.inputs[0])
        for path, told in named.items():
            text_columns(path, columns, told)
        for path in inputs:
            if asked.prefer:
                check_column(schema_of(path), asked.prefer, named[path])
            _check_new(path, named[path])
        parameters = parameters_of(config)
        batches = (
            read_index(asked.index, parameters, {"columns": list(columns)}) if asked.index else []
        )
        return cls(
            asked, config, work, Files(inputs, columns, asked.prefer),
            tuple(Files((path,), columns) for path in against), batches, columns,
        )  # fmt: skip

    @property
    def parameters(self) -> Any:
        return parameters_of(self.config)

    @property
    def n_rows(self) -> int:
        return self.new.n_rows + sum(one.n_rows for one in self.old)

    @property
    def stamp(self) -> dict[str, Any]:
        """What the unfinished work depends on: another call does not go on with it."""
        paths = [*self.new.paths, *(path for one in self.old for path in one.paths)]
        files = [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in paths]
        batches = [one.facts["folder"] for one in self.batches]
        told = {k: v for k, v in asdict(self.asked).items() if k not in {"out", "workers"}}
        return {**told, **self.parameters.plain(), "files": files, "batches": batches,
                "polars": pl.__version__}  # fmt: skip

    def checkpoints(self, name: str) -> Checkpoints:
        """What is kept of one phase through a kill; of a few rows nothing."""
        return Checkpoints(self.work / name, self.stamp, is_durable=self.n_rows >= SMALL)

    @property
    def text_bytes(self) -> int:
        return sum(one.text_bytes for one in (self.new, *self.old))

    def sign(self, progress: Any) -> tuple[Signed, list[Signed]]:
        """Sign all files."""
        made = []
        for number, files in enumerate((self.new, *self.old)):
            kept = self.checkpoints(f"signed-{number:03d}")
            made.append(sign(files, self.parameters, kept, self.asked.workers, progress))
        return made[0], made[1:]

    def write(self, found: Found, progress: Any) -> None:
        """Write kept and dropped rows, and clusters."""
        outside = [Outside(str(path), None) for path in self.asked.against] + [
            Outside.of_batch(one) for one in self.batches
        ]
        sources = Sources([str(path) for path in self.asked.inputs], self.new.sizes, tuple(outside))
        write_rows(self.asked.out, self.new.paths, sources, found, progress, self.asked.workers)
        write_clusters(self.asked.out / "clusters.parquet", sources, found)

    def remember(self, signed: Signed, found: Found) -> None:
        """Add the kept rows to the index, if there is one."""
        if self.asked.index is None:
            return
        keep = np.ones(signed.n_rows, bool)
        keep[found.dropped] = False
        facts = {
            "files": [str(path) for path in self.asked.inputs], "file_rows": self.new.sizes,
        }  # fmt: skip
        add_batch(
            self.asked.index, self.parameters, {"columns": list(self.columns)}, signed, keep, facts
        )


@contextmanager
def _tidy(out: Path) -> Iterator[None]:
    """Leave no folder behind where the call is refused before anything was done."""
    was_there = out.exists()
    try:
        yield
    except DatabuildError:
        if not was_there:
            shutil.rmtree(out, ignore_errors=True)
        raise


@contextmanager
def _phase(watcher: Watcher, name: str, before: str = "", after: str = "") -> Iterator[Any]:
    progress = watcher.step_starts(name, "dedup", before)
    try:
        yield progress
    except BaseException:
        watcher.step_ends(name, "failed", "")
        raise
    watcher.step_ends(name, "done", after)


def as_parquet(path: Path, work: Path) -> Path:
    """The file itself if it is Parquet; of JSON Lines a Parquet copy in the work folder.

    Raises:
        SchemaError: It is neither, or is broken.
    """
    if path.suffix in {".parquet", ".pq"}:
        return path
    if path.suffix not in {".jsonl", ".ndjson", ".json"}:
        what = f"its name ends in {path.suffix!r}"
        raise SchemaError(str(path), what, fix="name Parquet (.parquet) or JSON Lines (.jsonl)")
    work.mkdir(parents=True, exist_ok=True)
    stat = path.stat()
    copy = work / f"{path.stem}-{stat.st_size}-{stat.st_mtime_ns}.parquet"
    if not copy.exists():
        half = copy.with_suffix(".half")
        try:
            pl.scan_ndjson(path, infer_schema_length=None).sink_parquet(half)
        except (pl.exceptions.PolarsError, OSError) as error:
            what = f"it cannot be read as JSON Lines: {str(error).splitlines()[0]}"
            fix = "mend it, or read it with ingest.files in a recipe, which quarantines bad lines"
            raise SchemaError(str(path), what, fix=fix) from error
        half.replace(copy)
    return copy


def _check_out(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise StoreError(str(out), "this is a file", fix="name a new folder")
    others = sorted(p.name for p in out.iterdir() if p.name != WORK)
    unfinished = (out / WORK).is_dir()
    if others and not unfinished:
        what = f"the folder is not empty: it has {', '.join(others[:3])}"
        if MANIFEST in others:
            remove_at_once(out / WORK)  # where a kill left it half removed
            what = "the folder has a finished result in it"
        raise StoreError(str(out), what, fix="name a new folder, or remove this one")


def _check_new(path: Path, told: Path) -> None:
    taken = [name for name in schema_of(path).names if name.startswith("dedup_")]
    if taken:
        what = f"it has a column {taken[0]!r}, a name that this command writes"
        raise SchemaError(str(told), what, fix="rename the column")


def peak_mib() -> int:
    """The largest size that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _manifest(asked: Asked, job: _Job, signed: Signed, found: Found) -> dict[str, Any]:
    facts = audit.facts(signed, found)
    stages = {name: facts.pop(name) for name in ("exact", "near", "earlier")}
    return {
        "databuild": version("databuild"),
        "inputs": [
            {"path": str(path), "rows": n}
            for path, n in zip(asked.inputs, job.new.sizes, strict=True)
        ],
        "against": [str(path) for path in asked.against],
        "index": str(asked.index) if asked.index else None,
        "columns": list(job.columns), "prefer": asked.prefer,
        "options": job.config.model_dump(include={"threshold", "ngram", "recall", "scheme"}),
        "bands": [job.parameters.bands, job.parameters.band_rows],
        "rows": {
            "in": found.n_rows, "kept": found.n_rows - len(found.dropped),
            "dropped": len(found.dropped), "by_stage": stages,
        },
        "candidates": found.candidates, "skipped_pairs": found.skipped,
        "bucket_cap": facts["bucket_cap"], "largest_clusters": facts["largest_clusters"],
    }  # fmt: skip
