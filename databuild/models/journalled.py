"""A generator that never asks twice: finished answers come from a journal, new ones go into it."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict
from itertools import pairwise
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl
import xxhash

from databuild.engine.journal import unswept
from databuild.engine.ledger import Meter, Stopwatch, Usage
from databuild.errors import StepError
from databuild.models.protocol import (
    Answer,
    Draws,
    Generator,
    Message,
    Request,
    Sampling,
    each_once,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

KEY_VERSION = 1
"""Raised when the meaning of a key changes, so that no old answer is taken for a new one."""


ANSWER: Mapping[str, Any] = {
    "text": pl.String,
    "finish_reason": pl.String,
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
    "logprob": pl.Float64,
}
"""An answer with a text, as columns."""
_NOTE: Mapping[str, Any] = {"by": pl.String, "s": pl.Float64}


class AnswerJournal(Protocol):
    """An append-only store: what `put` has returned from survives the death of this process."""

    def find(self, keys: Sequence[str]) -> Sequence[tuple[dict[str, Any], dict[str, Any]] | None]:
        """Return what was put under each key and what was noted beside it, or None."""
        ...

    def frame(self, keys: bytes, schema: Mapping[str, Any]) -> pl.DataFrame:
        """Return the same as columns, by keys of 16 bytes each: see `Journal.frame`."""
        ...

    def put(self, key: str, value: dict[str, Any], note: dict[str, Any] | None = None) -> None:
        """Keep the value, and what is noted beside it, before returning."""
        ...


class Journalled:
    """Answer what the journal has from there, the rest from a generator, journalling as it goes.

    An answer is in the journal before anybody sees it, so a kill at any point loses none that was
    seen and a second run samples none again. Answers with an error are not kept: their requests
    are made again by the next run. Beside an answer stand who paid for it and how long it took, so
    that the ledger is right after a kill.

    Args:
        generator: A generator, or a function that starts one; called at the first request that the
            journal does not have, so a run that is all cache starts no model.
        journal: See `AnswerJournal`.
        identity: Names the weights and what else decides the answers (dtype, quantisation).
        on_answer: Told of every answer and whether it came from the journal.
        meter: Counts what is paid and what is reused, and keeps the budgets.
    """

    def __init__(
        self,
        generator: Generator | Callable[[], Generator],
        journal: AnswerJournal,
        identity: str,
        on_answer: Callable[[Answer, bool], None] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._given, self.journal, self.identity = generator, journal, identity
        self._on_answer, self._meter = on_answer, meter or Meter()
        self._generator: Generator | None = None
        self._common: tuple[tuple[Message, ...], Sampling, Any] | None = None
        self._sampling: tuple[Sampling | None, str] = (None, "")

    def stream(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield one answer per request: known ones at once, new ones as they finish.

        Raises:
            ServiceError: The generator raised it; every answer until then is in the journal.
            BudgetError: A budget is spent; every answer until then is in the journal.
            StepError: A request id came twice.
        """
        for answer, _ in self.marked(requests):
            yield answer

    def marked(self, requests: Iterable[Request]) -> Iterator[tuple[Answer, bool]]:
        """Yield as `stream` does, each answer with whether it came from the journal."""
        known, missing, keys = self._look_up(requests)
        for answer in known:
            yield self._tell(answer, cached=True)
        if missing:
            yield from self._ask(missing, keys)

    def recall(self, draws: Sequence[Draws]) -> pl.DataFrame:
        """What the journal has of many draws, as columns: no object is made for an answer.

        Returns:
            A row for each answer that is there: `draw`, the number of its draws, `k`, and
            `ANSWER`; in the order of draws and k.

        Raises:
            StepError: Two draws have the same name, so their answers could not be told apart.
        """
        if len({one.name for one in draws}) != len(draws):
            twice = next(a for a, b in pairwise(sorted(one.name for one in draws)) if a == b)
            what = f"the draws {twice!r} came twice"
            raise StepError("generate", what, fix="give all draws names of their own")
        keys = b"".join([key for one in draws for key in self._keys(one)])
        known = self.journal.frame(keys, {**ANSWER, **_NOTE})
        self._count(known)
        sizes = np.array([len(one.seeds) for one in draws], dtype=np.int64)
        of = np.repeat(np.arange(len(draws)), sizes)[known["at"].to_numpy()]
        ks = known["at"].to_numpy() - (np.cumsum(sizes) - sizes)[of]
        return known.select(pl.Series("draw", of), pl.Series("k", ks), *ANSWER)

    def key(self, request: Request) -> str:
        """Return the xxh3-128 (hex) of all that decides an answer, as canonical JSON.

        That is: key version, model identity, messages, sampling, seed and id of the request. What
        the k answers to one prompt have in common is hashed once.
        """
        common = self._common
        if common is None or common[0] is not request.messages or common[1] is not request.sampling:
            hashed = self._hashed(request.messages, request.sampling)
            common = self._common = (request.messages, request.sampling, hashed)
        own = common[2].copy()
        own.update(f",{request.seed},{quoted(request.id)}]".encode())
        key: str = own.hexdigest()
        return key

    def _keys(self, draws: Draws) -> Iterator[bytes]:
        """The keys of the requests of draws, as 16 bytes each."""
        hashed = self._hashed(draws.messages, draws.sampling)
        name = quoted(draws.name)[:-1].encode()
        for k, seed in enumerate(draws.seeds):
            own = hashed.copy()
            own.update(b',%d,%b-%d"]' % (seed, name, k))
            yield own.digest()

    def _hashed(self, messages: tuple[Message, ...], sampling: Sampling) -> Any:
        """The state of the hash after all that requests have in common but seed and id."""
        if self._sampling[0] is not sampling:
            decides = json.dumps(sampling.decides(), sort_keys=True, separators=(",", ":"))
            self._sampling = (sampling, decides)
        said = ",".join([f"[{quoted(one.role)},{quoted(one.content)}]" for one in messages])
        text = f"[{KEY_VERSION},{quoted(self.identity)},[{said}],{self._sampling[1]}"
        return xxhash.xxh3_128(text.encode())

    def close(self) -> None:
        """Close the generator if it was started. Safe to call twice."""
        if self._generator is not None:
            self._generator.close()
        elif not callable(self._given):
            self._given.close()

    def _look_up(
        self, requests: Iterable[Request]
    ) -> tuple[list[Answer], list[Request], dict[str, str]]:
        """What the journal has, what it has not, and the keys of the latter by request id."""
        known: list[Answer] = []
        missing: list[Request] = []
        keys: dict[str, str] = {}
        found = _Found(self._meter.by)
        with unswept():
            asked = list(each_once(requests))
            all_keys = [self.key(request) for request in asked]
            entries = self.journal.find(all_keys)
            for request, key, entry in zip(asked, all_keys, entries, strict=True):
                if entry is None:
                    missing.append(request)
                    keys[request.id] = key
                else:
                    answer = Answer.kept(entry[0])
                    found.add(answer, entry[1])
                    known.append(answer)
        if found:
            self._meter.count({self.identity: found.usage()})
        return known, missing, keys

    def _count(self, known: pl.DataFrame) -> None:
        """Count answers that were in the journal: those that this step paid for, and the rest."""
        if known.is_empty():
            return
        is_mine = pl.col("by").eq_missing(pl.lit(self._meter.by)) & (pl.lit(self._meter.by) != "")
        n_in, n_out = pl.col("prompt_tokens").sum(), pl.col("completion_tokens").sum()
        by = known.group_by(is_mine.alias("mine")).agg(pl.len(), n_in, n_out, pl.col("s").sum())
        usage = Usage()
        for mine, n, tokens_in, tokens_out, seconds in by.iter_rows():
            if mine:
                usage += Usage(paid=n, tokens_in=tokens_in, tokens_out=tokens_out, seconds=seconds)
            else:
                usage += Usage(reused=n, reused_tokens_in=tokens_in, reused_tokens_out=tokens_out)
        self._meter.count({self.identity: usage})

    def _ask(self, missing: list[Request], keys: dict[str, str]) -> Iterator[tuple[Answer, bool]]:
        """Ask for what the journal does not have, as far as the budgets go."""
        waiting = deque(missing)
        meter, watch = self._meter, Stopwatch()
        while waiting:
            before = len(waiting)
            for answer in self._started().stream(self._admitted(waiting)):
                seconds = watch.lap()
                if answer.error is None:
                    note = {"by": meter.by, "s": round(seconds, 4)} if meter.by else None
                    self.journal.put(keys[answer.id], _kept(answer), note)
                meter.settle(answer.id)
                meter.count({self.identity: _paid(answer, seconds)})
                yield self._tell(answer, cached=False)
            if len(waiting) == before:
                raise meter.exhausted(len(waiting))

    def _admitted(self, waiting: deque[Request]) -> Iterator[Request]:
        """Hand the requests on until the next one could exceed a budget."""
        while waiting:
            request = waiting[0]
            if self._meter.is_limited:
                n_bytes = sum(len(message.content.encode()) for message in request.messages)
                most = request.sampling.max_tokens
                if not self._meter.admits(self.identity, request.id, n_bytes, most):
                    return
            yield waiting.popleft()

    def _started(self) -> Generator:
        if self._generator is None:
            self._generator = self._given() if callable(self._given) else self._given
        return self._generator

    def _tell(self, answer: Answer, *, cached: bool) -> tuple[Answer, bool]:
        if self._on_answer is not None:
            self._on_answer(answer, cached)
        return answer, cached


class _Found:
    """Adds up answers that were in the journal: those that this step paid for, and the rest."""

    def __init__(self, by: str) -> None:
        self._by, self._seconds = by, 0.0
        self._mine, self._others = [0, 0, 0], [0, 0, 0]

    def __bool__(self) -> bool:
        return bool(self._mine[0] or self._others[0])

    def add(self, answer: Answer, note: dict[str, Any]) -> None:
        is_mine = bool(self._by) and note.get("by") == self._by
        if is_mine:
            self._seconds += note.get("s", 0.0)
        counted = self._mine if is_mine else self._others
        counted[0] += 1
        counted[1] += answer.prompt_tokens
        counted[2] += answer.completion_tokens

    def usage(self) -> Usage:
        paid, tokens_in, tokens_out = self._mine
        reused, reused_in, reused_out = self._others
        return Usage(
            paid=paid, tokens_in=tokens_in, tokens_out=tokens_out, seconds=self._seconds,
            reused=reused, reused_tokens_in=reused_in, reused_tokens_out=reused_out,
        )  # fmt: skip


def _paid(answer: Answer, seconds: float) -> Usage:
    return Usage(
        paid=1, failed=int(answer.text is None), seconds=seconds,
        tokens_in=answer.prompt_tokens, tokens_out=answer.completion_tokens,
    )  # fmt: skip


def _kept(answer: Answer) -> dict[str, Any]:
    fields = asdict(answer)
    if answer.logprob is None:
        del fields["logprob"]
    return fields
