"""Write tables and their lineage into the folder of a version that is being made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.errors import StepError
from databuild.release.ancestry import ancestors, sources
from databuild.release.chunks import chunks
from databuild.release.contents import frames_of
from databuild.release.finding import index_path, write_ids
from databuild.release.tally import Tally
from databuild.schema.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from databuild.engine.lineage import Runs
    from databuild.release.contents import Parted, Tables
    from databuild.release.encryption import Sealing
    from databuild.release.versions import File, Versions


class Writer:
    """Writes tables into a version's folder, and notes what the gates want to know of them."""

    def __init__(
        self,
        versions: Versions,
        folder: Path,
        tick: Callable[[int], None],
        strata: Iterable[str] = (),
        sealing: Sealing | None = None,
    ) -> None:
        self.tally = Tally(strata)
        self.versions, self.folder, self.tick = versions, folder, tick
        self.sealing = sealing
        self.files: list[File] = []
        self.ids: dict[tuple[str, str], pl.Series] = {}
        self.columns: dict[tuple[str, str], dict[str, str]] = {}
        self.prompts: dict[str, dict[str, pl.Series | None]] = {}
        self.personal: dict[str, int] = {}

    def facts(self) -> dict[str, Any]:
        """What was counted of the rows, but for columns that are encrypted: a card has no key."""
        hidden = self.sealing.columns if self.sealing else ()
        return self.tally.facts(hidden)

    def table(self, config: str, split: str, view: Parted) -> None:
        """Write one split, cut where its rows say so."""
        place = self.folder / "data" / config
        place.mkdir(parents=True, exist_ok=True)
        ids, prompts = [], []
        for rows in self._write(place, split, frames_of(view)):
            ids.append(rows["row_id"])
            self.columns[config, split] = {c: str(t) for c, t in rows.schema.items()}
            if rows.schema.get("prompt") == pl.String:
                prompts.append(rows["prompt"].drop_nulls())
            self._count_personal(rows)
            self.tally.add(config, rows)
            self.tick(rows.height)
        if not ids:
            what = f"{config}/{split} has no rows"
            fix = "look at the steps before with `databuild show`, or leave the split out"
            raise StepError("release", what, fix=fix)
        self.ids[config, split] = pl.concat(ids)
        self.prompts.setdefault(config, {})[split] = pl.concat(prompts) if prompts else None

    def lineage(self, runs: Runs, tables: Tables) -> pl.DataFrame:
        """Write where all rows came from; return that table."""
        released = [
            (ref.step, self.ids[config, split])
            for config, splits in tables.items()
            for split, (ref, _) in splits.items()
        ]
        rows = ancestors(runs, released)
        self.lineage_of(rows)
        return rows

    def lineage_of(self, rows: pl.DataFrame) -> None:
        """Write the lines of ancestors that are known, and the way to the sources."""
        place = self.folder / "lineage"
        place.mkdir(exist_ok=True)
        origins = sources(rows, pl.concat(list(self.ids.values())))
        for name, table in (("rows", rows), ("sources", origins)):
            for _ in self._write(place, name, [table]):
                pass

    def _write(
        self, place: Path, name: str, frames: Iterable[pl.DataFrame]
    ) -> Iterator[pl.DataFrame]:
        for n, rows in enumerate(chunks(frames)):
            path = place / f"{name}-{n:05d}.parquet"
            seal = self.sealing.write(rows, path) if self.sealing else None
            if not self.sealing:
                write_parquet(rows, path)
            kept = self.versions.keep(path, self.folder, rows.height)
            self.files.append(kept.model_copy(update={"seal": seal}))
            if name != "sources":
                index = self.folder / index_path(self.files[-1].path)
                write_ids(rows, index)
                self.files.append(self.versions.keep(index, self.folder))
            yield rows

    def _count_personal(self, rows: pl.DataFrame) -> None:
        for name, dtype in rows.schema.items():
            if name.endswith("_pii") and isinstance(dtype, pl.List):
                n_spans = int((rows[name].list.len() > 0).sum())
                self.personal[name] = self.personal.get(name, 0) + n_spans
