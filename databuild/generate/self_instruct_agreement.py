"""Whether further answers agree with an example, for `generate.self_instruct`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from databuild.generate.answering import want
from databuild.models.protocol import Message
from databuild.text.rouge import mean_rouge
from databuild.text.tokens import folded, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databuild.generate.answering import Wanted
    from databuild.generate.self_instruct import SelfInstructConfig
    from databuild.generate.self_instruct_asking import Asking
    from databuild.generate.self_instruct_heads import Candidate
    from databuild.generate.self_instruct_texts import Instance
    from databuild.models.protocol import Answer


class Example(NamedTuple):
    """An example that was read from an answer."""

    task: Candidate
    asked: Wanted
    answer: Answer
    k: int
    """Its place in the answer."""
    found: Instance


class Disagreement(NamedTuple):
    """Why an example is not kept for its agreement."""

    error: str
    retry: bool | None = None
    """Where it was not answered: whether another run may not meet the error."""


def agreements(
    examples: Sequence[Example], config: SelfInstructConfig, asking: Asking, seed: int
) -> list[float | Disagreement | None]:
    """Ask each example's prompt `consistency` times more, and compare.

    Returns:
        For classification the share of the further answers that say its label, else the mean
        ROUGE-L of all pairs of its answer and the further ones; None where none are asked for.
    """
    if not config.consistency:
        return [None] * len(examples)
    sampling, wanted = config.sampling(), []
    for place, one in enumerate(examples):
        asked = (Message("user", joined(one.task.text, one.found.input)),)
        name, stage = one.asked.row_id, f"check-{one.k}"
        wanted += [
            want(name, n, asked, sampling, seed, stage=stage, about=place)
            for n in range(config.consistency)
        ]
    said: list[list[str]] = [[] for _ in examples]
    errors: dict[int, Disagreement] = {}
    for request, answer, error, retry in asking.ask(wanted, "agreement"):
        if answer is None:
            errors[request.about] = Disagreement(error, retry)
        else:
            said[request.about].append(str(answer.text))
    return [
        errors.get(place) or _agreement(one, said[place], config)
        for place, one in enumerate(examples)
    ]


def _agreement(one: Example, said: list[str], config: SelfInstructConfig) -> float | Disagreement:
    if one.task.type == "classification":
        agreement, least = label_agreement(one.found.output, said), config.min_label_agreement
    else:
        agreement, least = mean_rouge([one.found.output, *said]), config.min_text_agreement
    if agreement >= least:
        return agreement
    return Disagreement(f"answers disagree: {agreement:.2f}")


def label_agreement(label: str, said: Sequence[str]) -> float:
    """The share of answers that say the label: its tokens stand in them, in a row.

    Example:
        >>> label_agreement("Not spam", ["It is not spam.", "spam", "not spam"])
        0.6666666666666666
    """
    rows = pl.DataFrame({"text": pl.Series([label, *said], dtype=pl.String)})
    runs = rows.select(tokens(folded(pl.col("text"))).list.join("\x1f"))["text"].to_list()
    wanted = f"\x1f{runs[0]}\x1f"
    return sum(wanted in f"\x1f{run}\x1f" for run in runs[1:]) / max(1, len(said))


def joined(instruction: str, given: str) -> str:
    """The prompt of an example: its task, then, after a blank line, its input."""
    return f"{instruction}\n\n{given}" if given else instruction
