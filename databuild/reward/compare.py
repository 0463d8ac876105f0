"""reward.compare: a model says which of two answers is better, asked in both orders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import Field

from databuild.engine.step import Reported, step
from databuild.models.prompting import asked_in
from databuild.models.templates import Prompts
from databuild.recipe.options import Column
from databuild.reward.asking import Fault, JudgingConfig, Panel, Question, Weighing
from databuild.reward.replies import Said, read_verdict
from databuild.text.conversations import with_context
from databuild.text.resampling import bootstrap_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databuild.models.prompting import Ask
    from databuild.models.protocol import Answer

_SHOWN = ("prompt", "first", "second", "reference", "criteria", "ties")
PROMPTS = Prompts(
    Path(__file__).parent / "prompts" / "compare",
    {"verdict": _SHOWN, "reasons": (*_SHOWN, "structured")},
)
_ORDERS = ("ab", "ba")
_WORTH = {"a": 1.0, "b": -1.0, "tie": 0.0}


class PairwiseConfig(JudgingConfig):
    """Options of `reward.compare`."""

    prompt: Column = "prompt"
    """What was asked."""
    a: Column = "response_a"
    """One answer."""
    b: Column = "response_b"
    """The other answer."""
    reference: Column | None = None
    """A column with a right answer, which the judge is shown."""
    name: str = Field(default="compare", pattern=r"^[A-Za-z]\w*$")
    """What the new columns begin with."""
    ties: bool = True
    """Whether the judge may say that both are equally good."""


def _adds(config: PairwiseConfig) -> tuple[str, ...]:
    facts = ("preference", "consistent", "first", *(("reason",) if config.reasons else ()))
    return tuple(f"{config.name}_{fact}" for fact in facts)


@dataclass(frozen=True)
class _Verdict:
    """What was said of a pair in one order: 1 the first shown is better, -1 the second."""

    first: float
    reasons: str | None = None


@step(
    "reward.compare",
    kind="measure",
    sees="table",
    version=1,
    also=lambda config: () if config.messages is None else (config.messages,),
    adds=_adds,
    brings=lambda config: PROMPTS.shipped(config.prompts),
    checks=lambda _config, files: PROMPTS.check(files),
)
def compare_answers(
    rows: pl.DataFrame,
    config: PairwiseConfig,
    *,
    generator: Ask,
    seed: int,
    files: tuple[Path, ...],
) -> Reported:
    """Let a model say which of two answers is better, once with each of them shown first.

    Pairwise comparison with swapped positions (Zheng et al. 2023, arXiv:2306.05685, sections 3.1
    and 3.4). A verdict is worth 1 (the answer shown first is better), 0 (tie) or -1; with
    `expectation` the probability of the first less that of the second.

    Args:
        rows: n pairs with `row_id` and the columns that `config` names.
        config: See `PairwiseConfig`.
        generator: Answers requests, two for each pair; what the journal holds is not asked again.
        seed: The step's seed.
        files: The user's own prompts.

    Returns:
        n rows with `row_id`; `<name>_preference: f64` (-1 to 1; above 0 where `a` is better): the
        mean of both orders, so that a judge who always picks the first gets 0;
        `<name>_consistent: bool`: both orders say the same; `<name>_first: f64`: the share of the
        two orders in which the answer shown first won, a tie counting half; with `reasons` also
        `<name>_reason: str` (those of both orders). All are null, with an error, where a text is
        null or blank, or either order has no judgement (as in `reward.judge`).
        Facts: `pairs` (judged), `unreadable` and `failed` (pairs of which an order could not be
        read, or failed), `ties` (share of verdicts), `consistent` (share of pairs), `position`:
        how often the first shown won among verdicts that are no ties, with its 95 % interval over
        pairs; 0.5 is a judge without position bias.

    Example:
        >>> from databuild.models.protocol import Answer
        >>> rows = pl.DataFrame(
        ...     {"row_id": ["x"], "prompt": ["2+2?"], "response_a": ["4"], "response_b": ["5"]}
        ... )
        >>> def ask(requests):
        ...     return {r.id: Answer(r.id, "A", "stop") for r in requests}
        >>> config = PairwiseConfig(model="start")
        >>> found = compare_answers(rows, config, generator=ask, seed=7, files=())
        >>> found.table.rows()
        [('x', 0.0, False, 1.0, None, False)]
        >>> found.facts["position"]
        {'mean': 1.0, 'low': 1.0, 'high': 1.0, 'n': 2}
    """
    rows = rows.sort("row_id")
    questions, faults = _questions(rows, config, files)
    found = _verdicts(questions, config, generator, seed)
    ids = rows["row_id"].to_list()
    both: dict[str, Fault | tuple[_Verdict, _Verdict]] = dict(faults)
    for row_id in ids:
        if row_id not in both:
            both[row_id] = _both(found[row_id, "ab"], found[row_id, "ba"])
    return Reported(_table(ids, both, config), _facts(both, seed))


def _verdicts(
    questions: Sequence[Question], config: PairwiseConfig, generator: Ask, seed: int
) -> dict[tuple[str, str], _Verdict | Fault]:
    """What is said of each pair in each order, by (row_id, order)."""
    prefix = len(config.name) + 1
    told: dict[tuple[str, str], Any]
    if config.expectation:
        told = dict(Weighing(generator, seed).shares(questions, _words(config)))
    else:

        def read(_question: Question, answer: Answer) -> Said | None:
            said = read_verdict(answer.text or "")
            return None if said and said.value == "tie" and not config.ties else said

        tries = config.tries if config.temperature else 1
        told = dict(Panel(generator, seed, tries, read).replies(questions))
    return {(row_id, stage[prefix:]): _verdict(said) for (row_id, stage), said in told.items()}


def _verdict(said: Said | dict[str, float] | Fault) -> _Verdict | Fault:
    if isinstance(said, Fault):
        return said
    if isinstance(said, Said):
        return _Verdict(_WORTH[str(said.value)], said.reasons)
    return _Verdict(said["A"] - said["B"])


def _both(ab: _Verdict | Fault, ba: _Verdict | Fault) -> Fault | tuple[_Verdict, _Verdict]:
    if isinstance(ab, Fault):
        return ab
    return ba if isinstance(ba, Fault) else (ab, ba)


def _words(config: PairwiseConfig) -> tuple[str, ...]:
    return ("A", "B", "tie") if config.ties else ("A", "B")


def _questions(
    rows: pl.DataFrame, config: PairwiseConfig, files: Sequence[Path]
) -> tuple[list[Question], dict[str, Fault]]:
    """What is asked of each pair, in both orders, and the pairs that nothing can be asked about."""
    name = "reasons" if config.reasons else "verdict"
    templates = PROMPTS.read(files)
    sampling = config.held_to("verdict", _words(config))
    reference = pl.lit(None, pl.String) if config.reference is None else pl.col(config.reference)
    told = rows.select(
        "row_id",
        with_context(rows, config.prompt, config.messages).alias("asked"),
        pl.col(config.a).alias("one"),
        pl.col(config.b).alias("other"),
        reference.cast(pl.String).alias("reference"),
        asked_in(config.language, [config.prompt, config.a, config.b]),
    )
    same: dict[str, Any] = {"criteria": config.criteria, "ties": config.ties}
    if config.reasons:
        same["structured"] = config.structured
    questions, faults = [], {}
    for row_id, prompt, one, other, right, language in told.iter_rows():
        if not (prompt or "").strip():
            faults[row_id] = Fault("the prompt is empty", retry=False)
        elif not (one or "").strip() or not (other or "").strip():
            faults[row_id] = Fault("there are no two answers", retry=False)
        else:
            for order, (first, second) in zip(_ORDERS, ((one, other), (other, one)), strict=True):
                messages = templates[name, language].messages(
                    prompt=prompt, first=first, second=second, reference=(right or "").strip(),
                    **same,
                )  # fmt: skip
                stage = f"{config.name}-{order}"
                questions.append(Question(row_id, stage, messages, sampling))
    return questions, faults


def _table(
    ids: Sequence[str],
    both: dict[str, Fault | tuple[_Verdict, _Verdict]],
    config: PairwiseConfig,
) -> pl.DataFrame:
    records: list[tuple[Any, ...]] = []
    for row_id in ids:
        said = both[row_id]
        if isinstance(said, Fault):
            records.append((row_id, None, None, None, None, said.error, said.retry))
            continue
        ab, ba = said
        preference = (ab.first - ba.first) / 2
        first = float(np.mean([_won(ab.first), _won(ba.first)]))
        is_same = bool(np.sign(ab.first) == -np.sign(ba.first))
        given = [one.reasons for one in said if one.reasons]
        reason = "\n\n".join(given) or None
        records.append((row_id, preference, is_same, first, reason, None, False))
    name = config.name
    schema = {
        "row_id": pl.String, f"{name}_preference": pl.Float64, f"{name}_consistent": pl.Boolean,
        f"{name}_first": pl.Float64, f"{name}_reason": pl.String, "error": pl.String,
        "retry": pl.Boolean,
    }  # fmt: skip
    table = pl.DataFrame(records, schema=schema, orient="row")
    return table if config.reasons else table.drop(f"{name}_reason")


def _won(value: float) -> float:
    """1 where the first shown won, 0 where the second did, half for a tie."""
    return float(np.sign(value) + 1) / 2


def _facts(both: dict[str, Fault | tuple[_Verdict, _Verdict]], seed: int) -> dict[str, Any]:
    faults = [one for one in both.values() if isinstance(one, Fault)]
    unreadable = sum(one.error.startswith("the judgement") for one in faults)
    judged = [both[row_id] for row_id in sorted(both)]
    firsts_N2 = np.array(
        [[one.first for one in pair] for pair in judged if not isinstance(pair, Fault)]
    ).reshape(-1, 2)
    facts: dict[str, Any] = {
        "pairs": len(firsts_N2), "unreadable": unreadable, "failed": len(faults) - unreadable,
    }  # fmt: skip
    if not len(firsts_N2):
        return facts
    facts["ties"] = round(float((firsts_N2 == 0).mean()), 4)
    same = np.sign(firsts_N2[:, 0]) == -np.sign(firsts_N2[:, 1])
    facts["consistent"] = round(float(same.mean()), 4)
    decided = (firsts_N2 != 0).sum(axis=1).astype(np.float64)
    wins = (firsts_N2 > 0).sum(axis=1).astype(np.float64)
    if found := bootstrap_ratio(wins, decided, seed):
        told = {name: round(value, 4) for name, value in found._asdict().items()}
        facts["position"] = {**told, "n": int(decided.sum())}
    return facts
