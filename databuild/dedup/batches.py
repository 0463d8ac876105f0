"""The index: signed texts of all batches so far, kept in a folder, so that none is signed again.

    <index>/index.json            parameters, and what each batch was
    <index>/batch-00000/          one batch, see `batch_files`

Only kept rows are in it: every dropped row has a kept one near it.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from databuild.dedup.batch_files import write_batch
from databuild.dedup.signing import Parameters, Signed, opened
from databuild.engine.store import read_json, write_json
from databuild.errors import StepError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

FORMAT = 3
_FILE = "index.json"


@dataclass(frozen=True)
class Batch:
    """One batch of an index: what it was, and its signed texts."""

    facts: Mapping[str, Any]
    signed: Signed


def read_index(folder: Path, parameters: Parameters, asked: Mapping[str, Any]) -> list[Batch]:
    """Open the batches of an index; none where there is no index yet.

    Args:
        folder: The index.
        parameters: How the new rows are signed.
        asked: What else must agree, such as the columns, by the name that a user knows.

    Raises:
        StepError: It was made with other parameters.
        StoreError: It is damaged, or is no index.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return []
    if not (folder / _FILE).is_file():
        what = f"there is no {_FILE} in this folder, so it is no index"
        raise StoreError(str(folder), what, fix="name an index, or a folder that is new or empty")
    told = read_json(folder / _FILE)
    if told.get("format") != FORMAT:
        what = f"the index has format {told.get('format')}, this databuild reads {FORMAT}"
        raise StoreError(str(folder), what, fix="make it again from its data")
    wanted = {**parameters.plain(), **asked}
    made = told["parameters"]
    differ = [
        f"{name} {json.dumps(made.get(name))} (now {json.dumps(value)})"
        for name, value in wanted.items()
        if made.get(name) != value
    ]
    if differ:
        what = f"the index was made with {', '.join(differ)}"
        fix = "use the options that it was made with, or another index"
        raise StepError(str(folder), what, fix=fix)
    found = []
    for one in told["batches"]:
        signed = opened(folder / one["folder"], 1)
        if signed.n_rows != one["rows"]:
            what = f"{one['folder']} has {signed.n_rows} rows, and {one['rows']} were written"
            raise StoreError(str(folder), what, fix="restore it, or make the index again")
        found.append(Batch(one, signed))
    return found


def add_batch(
    folder: Path,
    parameters: Parameters,
    asked: Mapping[str, Any],
    signed: Signed,
    keep: NDArray[np.bool_],
    facts: Mapping[str, Any],
) -> None:
    """Add the kept rows of a batch to an index; a kill leaves it as it was.

    Args:
        folder: The index; made where there is none.
        parameters: How the rows were signed.
        asked: What else must agree.
        signed: All rows of the batch.
        keep: Which of them are kept.
        facts: What the batch was, for those who meet its rows later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / _FILE
    empty: dict[str, Any] = {"format": FORMAT, "batches": []}
    told = read_json(place) if place.is_file() else empty
    name = f"batch-{len(told['batches']):05d}"
    shutil.rmtree(folder / name, ignore_errors=True)
    n_rows = write_batch(folder / name, signed, keep, parameters.bands)
    batch = {"folder": name, "rows": n_rows, **facts}
    told["batches"].append(batch)
    told["parameters"] = {**parameters.plain(), **asked}
    write_json(place, told)
