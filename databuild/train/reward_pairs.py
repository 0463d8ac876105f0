"""Pairs for a reward model: tokens, margins, weights; held-back prompts; answers to other prompts.

Nothing here needs torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.errors import SchemaError
from databuild.text.formats.turns import as_template
from databuild.train.examples import tokenise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.train.reward_options import RewardOptions

POOL_BATCHES = 8
"""Batches whose prompts are sorted by length among themselves."""


@dataclass
class Pair:
    """One pair as the trainer sees it."""

    row_id: str
    prompt: int
    """Number of its prompt: pairs of one prompt are held back together."""
    chosen_ids: list[int]
    rejected_ids: list[int]
    n_prompt: int
    """Tokens of the prompt at the beginning of the chosen text."""
    margin: float = 0.0
    weight: float = 1.0
    n_rejected_prompt: int | None = None
    """Those of the rejected text, where that has another prompt."""

    @property
    def answer_lengths(self) -> tuple[int, int]:
        """Tokens of the chosen and of the rejected answer."""
        other = self.n_prompt if self.n_rejected_prompt is None else self.n_rejected_prompt
        return len(self.chosen_ids) - self.n_prompt, len(self.rejected_ids) - other

    @property
    def length(self) -> int:
        """Tokens of the longer text."""
        return max(len(self.chosen_ids), len(self.rejected_ids))


@dataclass
class Pairs:
    """Pairs that can be trained on, and the rows that cannot, with the reason."""

    rows: list[Pair] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    @property
    def n_prompts(self) -> int:
        """How many prompts they have."""
        return len({pair.prompt for pair in self.rows})


def read_pairs(table: pl.DataFrame, options: RewardOptions, tokenizer: Any) -> Pairs:
    """Tokenise pairs as `train.dpo` does, and name those that cannot be used.

    A row without a prompt whose `chosen_messages` and `rejected_messages` are whole conversations
    is a pair of these, which may ask different things (TRL's implicit prompt). When prompts are
    held back, the chosen one's counts.

    Args:
        table: `row_id`, `prompt`, `chosen`, `rejected`, and the columns that `options` names.
        options: `max_length`, `margin`, `margin_scale`, `weight`.
        tokenizer: A Hugging Face tokenizer.

    Raises:
        SchemaError: A column is missing.
    """
    for column in (options.margin, options.weight):
        if column is not None and column not in table.columns:
            what = f"no column {column!r}; the table has {table.columns}"
            raise SchemaError("train.reward", what, fix="correct the name under margin or weight")
    if "row_id" not in table.columns:
        table = table.with_row_index("row_id")
    whole = _are_whole(table)
    made = tokenise(table.filter(~whole), "dpo", tokenizer, options.max_length)
    pairs, numbers = Pairs(skipped=list(made.skipped)), dict[tuple[int, ...], int]()
    drawn: list[tuple[str, _Sides | str]] = [
        (row_id, _sides(row)) for row_id, row in zip(made.ids, made.rows, strict=True)
    ]
    drawn += [
        (str(row["row_id"]), _whole_sides(row, tokenizer, options.max_length))
        for row in table.filter(whole).iter_rows(named=True)
    ]
    graded = {str(row["row_id"]): row for row in table.iter_rows(named=True)}
    for row_id, sides in drawn:
        grades = sides if isinstance(sides, str) else _grades(graded[row_id], options)
        if isinstance(grades, str) or isinstance(sides, str):
            pairs.skipped.append({"row_id": row_id, "reason": str(grades)})
            continue
        chosen, rejected, n_prompt, n_other = sides
        number = numbers.setdefault(tuple(chosen[:n_prompt]), len(numbers))
        pairs.rows.append(Pair(row_id, number, chosen, rejected, n_prompt, *grades, n_other))
    return pairs


_Sides = tuple[list[int], list[int], int, int]
"""The chosen and the rejected text, and how many tokens of each are its prompt."""


def _sides(row: Mapping[str, Any]) -> _Sides:
    prompt = list(row["prompt_ids"])
    n = len(prompt)
    return [*prompt, *row["chosen_ids"]], [*prompt, *row["rejected_ids"]], n, n


def _are_whole(table: pl.DataFrame) -> pl.Series:
    """Which rows are pairs of whole conversations."""
    talks = [
        name
        for name in ("chosen_messages", "rejected_messages")
        if isinstance(table.schema.get(name), pl.List)
    ]
    if len(talks) < 2:
        return pl.Series([False] * table.height, dtype=pl.Boolean)
    before = pl.col("messages").is_null() if "messages" in table.columns else pl.lit(value=True)
    given = [pl.col(name).list.len().fill_null(0) > 1 for name in talks]
    return table.select(pl.all_horizontal(pl.col("prompt").is_null(), before, *given)).to_series()


def _whole_sides(row: Mapping[str, Any], tokenizer: Any, max_length: int) -> _Sides | str:
    """Two whole conversations in tokens, or the reason why they cannot be used."""
    sides = [_talk(row[f"{side}_messages"], tokenizer) for side in ("chosen", "rejected")]
    for side in sides:
        if isinstance(side, str):
            return side
    (chosen, n_chosen), (rejected, n_rejected) = sides
    longest = max(len(chosen), len(rejected))
    if longest > max_length:
        return f"too long: {longest} tokens, max_length is {max_length}"
    if chosen == rejected:
        return "chosen equals rejected"
    return chosen, rejected, n_chosen, n_rejected


def _talk(turns: Sequence[Mapping[str, Any]], tokenizer: Any) -> Any:
    """The tokens of a conversation, and how many stand before its last turn, or a reason."""
    if tokenizer.chat_template is None:
        return "a whole conversation needs a chat template, which the model has not"
    if turns[-1]["role"] != "assistant":
        return f"the conversation ends with a turn of {turns[-1]['role']}"
    given = as_template([{k: v for k, v in turn.items() if v is not None} for turn in turns])
    from jinja2 import TemplateError

    try:
        texts = [
            tokenizer.apply_chat_template(part, tokenize=False, add_generation_prompt=is_open)
            for part, is_open in ((given, False), (given[:-1], True))
        ]
    except (TemplateError, TypeError) as error:
        return f"the chat template refuses it: {error}"
    whole, before = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
    return list(whole), min(len(before), len(whole))


def _grades(row: Mapping[str, Any], options: RewardOptions) -> tuple[float, float] | str:
    margin, weight = 0.0, 1.0
    if options.margin is not None:
        given = row[options.margin]
        if given is None or not math.isfinite(given):
            return f"no margin in {options.margin}"
        margin = float(given) * options.margin_scale
    if options.weight is not None:
        given = row[options.weight]
        if given is None or not math.isfinite(given) or given <= 0:
            return f"no weight above 0 in {options.weight}"
        weight = float(given)
    return margin, weight


def hold_back(pairs: Pairs, fraction: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Part pairs into those to train on and those held back: whole prompts, drawn by `seed`.

    With a fraction above 0 at least one prompt is held back where there are two.
    """
    prompts = sorted({pair.prompt for pair in pairs.rows})
    wanted = round(len(prompts) * fraction)
    if fraction > 0 and len(prompts) > 1:
        wanted = min(max(wanted, 1), len(prompts) - 1)
    drawn = np.random.default_rng(seed).permutation(len(prompts))[:wanted]
    held = {prompts[i] for i in drawn}
    train = [pair for pair in pairs.rows if pair.prompt not in held]
    return train, [pair for pair in pairs.rows if pair.prompt in held]


def other_answers(pairs: Sequence[Pair], share: float, seed: int, max_length: int) -> list[Pair]:
    """Pairs of a prompt's chosen answer over the chosen answer to another prompt.

    Args:
        pairs: The training pairs.
        share: How many to make for each of them; rounded in all.
        seed: Of the draw.
        max_length: A pair with a longer text is not made.

    Returns:
        At most round(share * n) pairs, without margin and of weight 1; none with one prompt.
    """
    rng = np.random.default_rng([seed, 1])
    wanted = round(len(pairs) * share)
    if not wanted or len({pair.prompt for pair in pairs}) < 2:
        return []
    rounds = -(-wanted // len(pairs))
    order = np.concatenate([rng.permutation(len(pairs)) for _ in range(rounds)])[:wanted]
    made = []
    for number in order:
        pair = pairs[number]
        other = pairs[int(rng.integers(len(pairs)))]
        while other.prompt == pair.prompt:
            other = pairs[int(rng.integers(len(pairs)))]
        ids = pair.chosen_ids[: pair.n_prompt] + other.chosen_ids[other.n_prompt :]
        if len(ids) <= max_length:
            name = f"{pair.row_id}/{other.row_id}"
            made.append(Pair(name, pair.prompt, pair.chosen_ids, ids, pair.n_prompt))
    return made


def order_pairs(pairs: Sequence[Pair], batch_size: int, seed: int, epoch: int) -> list[int]:
    """Every pair's number once: pairs of one prompt together, similar lengths in a batch.

    Prompts are shuffled and gathered into pools of `POOL_BATCHES` batches; each pool is sorted by
    length and cut into batches, which are shuffled. Depends on the arguments alone, so that a
    resumed epoch meets the pairs that it has not seen.

    Example:
        >>> pairs = [Pair("a", 0, [1] * 9, [2], 1), Pair("b", 1, [1], [2], 1)]
        >>> order_pairs([*pairs, Pair("c", 0, [1] * 3, [2], 1)], batch_size=2, seed=0, epoch=0)
        [1, 0, 2]
    """
    rng = np.random.default_rng([seed, epoch])
    groups: dict[int, list[int]] = {}
    for number, pair in enumerate(pairs):
        groups.setdefault(pair.prompt, []).append(number)
    shuffled = [list(groups.values())[i] for i in rng.permutation(len(groups))]
    order: list[int] = []
    pool: list[list[int]] = []
    for place, group in enumerate(shuffled):
        pool.append(group)
        is_full = sum(map(len, pool)) >= batch_size * POOL_BATCHES
        if is_full or place == len(shuffled) - 1:
            pool.sort(key=lambda group: max(pairs[number].length for number in group))
            order += [number for group in pool for number in group]
            pool = []
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    whole = [batch for batch in batches if len(batch) == batch_size]
    rest = [batch for batch in batches if len(batch) < batch_size]  # a short batch comes last
    mixed = [whole[i] for i in rng.permutation(len(whole))] + rest
    return [number for batch in mixed for number in batch]
