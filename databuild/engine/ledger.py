"""What asking models cost: answers, tokens and seconds per step and model, and limits on them.

**Paid and reused.** An answer is *paid* by the step whose name stands beside it in the journal, and
by no other: whoever finds it there later *reuses* it. So a step that was killed and went on has
paid for all that it asked, once, and a second recipe that asks the same has paid nothing.

What is not known is not guessed: a cost needs prices, which a recipe states per model
(`prices: {input: ..., output: ...}`, per million tokens). Answers that were in flight when a
process was killed are in no journal, so a server may have charged for tokens that stand nowhere
here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from databuild.errors import BudgetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from databuild.recipe.model import Budget, Prices

_BYTES_PER_TOKEN = 3
"""Assumed of a prompt that is not counted yet; English has about 4.5, Chinese about 4."""


class Usage(BaseModel):
    """What a step asked of one model."""

    model_config = ConfigDict(extra="forbid")

    paid: int = 0
    """Requests that this step made itself, in this attempt or an earlier one."""
    failed: int = 0
    """Of those, the ones of this attempt that ended without a text."""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    """Time that it waited for them, the start of the model included."""
    reused: int = 0
    """Answers that another step, recipe or run had paid for."""
    reused_tokens_in: int = 0
    reused_tokens_out: int = 0

    def __add__(self, other: Usage) -> Usage:
        """The usage of both."""
        mine, theirs = self.model_dump(), other.model_dump()
        return Usage.model_validate({name: mine[name] + theirs[name] for name in mine})

    def cost(self, prices: Prices | None) -> float | None:
        """What the paid tokens cost, in the currency of the prices; None without prices.

        Example:
            >>> from databuild.recipe.model import Prices
            >>> Usage(tokens_in=2_000_000, tokens_out=500_000).cost(Prices(input=0.15, output=0.6))
            0.6
            >>> Usage(tokens_in=5).cost(None) is None
            True
        """
        if prices is None:
            return None
        return (self.tokens_in * prices.input + self.tokens_out * prices.output) / 1e6


Usages = dict[str, Usage]
"""By the identity of the model."""


def added(*many: Mapping[str, Usage]) -> Usages:
    """The usage of several steps or parts, by model."""
    total: Usages = {}
    for one in many:
        for identity, usage in one.items():
            total[identity] = total[identity] + usage if identity in total else usage
    return total


@dataclass(frozen=True)
class Limit:
    """A budget, whose it is, and what had been paid of it before."""

    of: str
    """`the recipe` or `step <name>`."""
    budget: Budget
    before: Mapping[str, Usage] = field(default_factory=dict)


@dataclass
class Spent:
    """What counts against a budget."""

    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    def add(self, usage: Usage, prices: Prices | None) -> None:
        """Count a usage. A model without prices adds nothing to the cost."""
        self.tokens += usage.tokens_in + usage.tokens_out
        self.cost += usage.cost(prices) or 0.0
        self.seconds += usage.seconds


class Meter:
    """Counts what one step asks, and stops it when a budget is spent.

    Args:
        by: Names the step in the journals: `<recipe>/<step>-<key>`.
        limits: The budgets that it is under.
        prices: Per model identity, where they are known.
        step: Named by the error.
    """

    def __init__(
        self,
        by: str = "",
        limits: Iterable[Limit] = (),
        prices: Mapping[str, Prices] | None = None,
        step: str = "",
    ) -> None:
        self.by, self.step, self._prices = by, step, dict(prices or {})
        self.total: Usages = {}
        self._taken: Usages = {}
        self._limits = [(limit, self._spent(limit.before)) for limit in limits]
        self._reserved: dict[str, tuple[int, float]] = {}

    @property
    def is_limited(self) -> bool:
        """Whether there is any budget to keep."""
        return bool(self._limits)

    def already(self, usages: Mapping[str, Usage]) -> None:
        """Count what an earlier attempt paid for parts that are finished."""
        self.total = added(self.total, usages)
        for _, spent in self._limits:
            for identity, usage in usages.items():
                spent.add(usage, self._prices.get(identity))

    def count(self, usages: Mapping[str, Usage]) -> None:
        """Count what was asked now, or found in the journal."""
        self._taken = added(self._taken, usages)
        self.already(usages)

    def take(self) -> Usages:
        """What was counted since the last take."""
        taken, self._taken = self._taken, {}
        return taken

    def admits(self, identity: str, request: str, n_bytes: int, max_tokens: int) -> bool:
        """Whether a request may be made: whether even its longest answer is within every budget.

        The tokens of requests in flight count as if each were as long as it may be, so a budget of
        tokens or cost is overrun at most by what prompts are longer than one token in three bytes.
        """
        tokens = n_bytes // _BYTES_PER_TOKEN + max_tokens
        most = Usage(tokens_in=n_bytes // _BYTES_PER_TOKEN, tokens_out=max_tokens)
        cost = most.cost(self._prices.get(identity)) or 0.0
        flying = sum(one[0] for one in self._reserved.values())
        flying_cost = sum(one[1] for one in self._reserved.values())
        for limit, spent in self._limits:
            budget = limit.budget
            if budget.tokens is not None and spent.tokens + flying + tokens > budget.tokens:
                return False
            if budget.cost is not None and spent.cost + flying_cost + cost > budget.cost:
                return False
            if budget.seconds is not None and spent.seconds >= budget.seconds:
                return False
        self._reserved[request] = (tokens, cost)
        return True

    def settle(self, request: str) -> None:
        """A request is over: what it used is counted, no longer what it might have used."""
        self._reserved.pop(request, None)

    def exhausted(self, n_left: int) -> BudgetError:
        """The error that stops a step whose next request is over a budget."""
        told = [text for limit, spent in self._limits for text in _state(limit, spent)]
        what = (
            f"the budget is spent, {n_left:,} requests are left to make: {'; '.join(told)} "
            "(a request counts with its longest answer). All finished answers are kept"
        )
        fix = "raise the budget and run again, which goes on from here"
        return BudgetError(self.step or "budget", what, fix=fix)

    def _spent(self, before: Mapping[str, Usage]) -> Spent:
        spent = Spent()
        for identity, usage in before.items():
            spent.add(usage, self._prices.get(identity))
        return spent


def _state(limit: Limit, spent: Spent) -> list[str]:
    budget = limit.budget
    told = []
    if budget.tokens is not None:
        told.append(f"{limit.of} has used {spent.tokens:,} of {budget.tokens:,} tokens")
    if budget.cost is not None:
        told.append(f"{limit.of} has cost {spent.cost:.4g} of {budget.cost:g}")
    if budget.seconds is not None:
        told.append(f"{limit.of} has asked for {spent.seconds:.0f} of {budget.seconds:g} s")
    return told


class Stopwatch:
    """The time between answers, each of which is charged with what passed since the one before."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self) -> float:
        """Seconds since the last lap, or since the start."""
        now = time.monotonic()
        passed, self._last = now - self._last, now
        return passed
