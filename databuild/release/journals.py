"""Erase answers from a journal of requests."""

from __future__ import annotations

import fcntl
import os
import re
from typing import TYPE_CHECKING

from databuild.engine.store import writing
from databuild.errors import StoreError
from databuild.schema.identity import digest_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Set
    from pathlib import Path

    from databuild.release.texts import Patterns

_ID = re.compile(rb"[0-9a-f]{32}(?:-\d+)?")
_KEY_BYTES = 36
_LINES = 1 << 15


def journal_name(identity: str) -> str:
    """The folder of a model's journal, as `models.services` names it."""
    start = identity.partition("@")[0].replace(":", "-")[:40]
    return f"{start}-{digest_text(identity)[:12]}"


def erase_requests(path: Path, ids: Set[str], patterns: Patterns, *, whole: bool) -> int:
    """Erase the lines of a journal that are of some rows, or say what these said.

    A line is of a row where its request's id begins with the row's, or is among `ids`. The file is
    replaced in one move.

    Args:
        path: `requests.jsonl`.
        ids: Ids of rows, and of requests (`<row>-<k>`).
        patterns: What the rows said.
        whole: Erase all of it: the model itself is withdrawn.

    Returns:
        How many lines are gone.

    Raises:
        StoreError: A run writes to it.
    """
    meant = {one.encode() for one in ids}
    n, waiting = 0, path.with_name(f".{path.name}.erased")
    with path.open("rb") as handle, writing(path.parent):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what = "a run asks this model and writes to this journal"
            raise StoreError(str(path), what, fix="wait for it to end, then purge again") from error
        with waiting.open("wb") as out:
            for lines in _blocks(handle):
                says = patterns.within_lines(lines)
                for line, does in zip(lines, says, strict=True):
                    if whole or does or _is_of(line, meant):
                        n += 1
                    else:
                        out.write(line)
            out.flush()
            os.fsync(out.fileno())
        if n:
            waiting.replace(path)
        else:
            waiting.unlink()
    return n


def _blocks(handle: Iterator[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    for line in handle:
        block.append(line)
        if len(block) == _LINES:
            yield block
            block = []
    yield block


def _is_of(line: bytes, meant: Set[bytes]) -> bool:
    """Whether a line names a row or a request; its own key, a hash, does not count."""
    return any(one in meant or one[:32] in meant for one in _ID.findall(line, _KEY_BYTES))
