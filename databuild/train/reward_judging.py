"""How well a reward model ranks pairs, against length alone, and whether it has over-fitted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from databuild.train.reward_pairs import Pair

BATCH_TOKENS = 4096


class Judged(NamedTuple):
    """What is known of a reward model on some pairs; all but the counts are 0 to 1."""

    pairs: int
    prompts: int
    accuracy: float
    """Share of the pairs whose chosen answer gets more; equal rewards count half."""
    auc: float
    """Share of all couples of a chosen and a rejected answer, of whatever prompts, likewise."""
    longer_accuracy: float
    """What choosing the longer answer of every pair would give; below 0.5 the shorter is better."""
    length_correlation: float | None
    """Pearson's, -1 to 1, of reward and length of the answer in tokens; None where one is flat."""


def judged(model: Any, pairs: Sequence[Pair]) -> Judged:
    """Read all texts of the pairs once with a sequence-classification model, and count."""
    texts = list(
        dict.fromkeys(t for p in pairs for t in (tuple(p.chosen_ids), tuple(p.rejected_ids)))
    )
    rewards = dict(zip(texts, _rewards(model, texts), strict=True))
    chosen = np.array([rewards[tuple(pair.chosen_ids)] for pair in pairs])
    rejected = np.array([rewards[tuple(pair.rejected_ids)] for pair in pairs])
    lengths = np.array([pair.answer_lengths for pair in pairs])
    return Judged(
        pairs=len(pairs),
        prompts=len({pair.prompt for pair in pairs}),
        accuracy=_share(chosen - rejected),
        auc=auc(chosen, rejected),
        longer_accuracy=_share(lengths[:, 0] - lengths[:, 1]),
        length_correlation=_correlation(np.concatenate([chosen, rejected]), lengths.T.ravel()),
    )


def auc(better: NDArray[np.float64], worse: NDArray[np.float64]) -> float:
    """Area under the ROC curve: how often one of `better` is above one of `worse`; ties half.

    Example:
        >>> auc(np.array([0.9, 0.4]), np.array([0.1, 0.4]))
        0.875
    """
    ranked = np.sort(worse)
    below = np.searchsorted(ranked, better, "left") + np.searchsorted(ranked, better, "right")
    return round(float(below.sum()) / (2 * len(better) * len(worse)), 6)


def overfit(trained: Judged, held: Judged) -> str | None:
    """Say that the model has learnt its pairs by heart, or None where nothing shows it.

    It is said where the accuracy on training pairs is above that on held-back pairs by more than
    twice the standard error of the difference, with a prompt as the unit, and by more than 0.05.

    Example:
        >>> one = Judged(90, 90, 0.95, 0.9, 0.5, None)
        >>> overfit(one, one._replace(accuracy=0.6))
        'over-fitted: 95 % right of the pairs it was trained on, 60 % of those held back'
        >>> overfit(one, one._replace(accuracy=0.9)) is None
        True
    """
    spread = sum(one.accuracy * (1 - one.accuracy) / one.prompts for one in (trained, held))
    gap = trained.accuracy - held.accuracy
    if gap <= max(2 * math.sqrt(spread), 0.05):
        return None
    return (
        f"over-fitted: {trained.accuracy:.0%} right of the pairs it was trained on, "
        f"{held.accuracy:.0%} of those held back"
    ).replace("%", " %")


def _share(differences: NDArray[Any]) -> float:
    return round(float(np.mean((differences > 0) + 0.5 * (differences == 0))), 6)


def _correlation(rewards: NDArray[np.float64], lengths: NDArray[Any]) -> float | None:
    if len(rewards) < 3 or rewards.std() == 0 or lengths.std() == 0:
        return None
    return round(float(np.corrcoef(rewards, lengths)[0, 1]), 6)


def _rewards(model: Any, texts: Sequence[tuple[int, ...]]) -> list[float]:
    import torch

    model.eval()
    pad = model.config.get_text_config().pad_token_id
    found = [0.0] * len(texts)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    while order:
        size = 1
        while size < len(order) and (size + 1) * len(texts[order[size]]) <= BATCH_TOKENS:
            size += 1
        batch, order = order[:size], order[size:]
        width = len(texts[batch[-1]])
        ids = torch.full((size, width), pad, dtype=torch.long)
        seen = torch.zeros((size, width), dtype=torch.long)
        for row, place in enumerate(batch):
            ids[row, : len(texts[place])] = torch.tensor(texts[place])
            seen[row, : len(texts[place])] = 1
        with torch.inference_mode():
            given = {"input_ids": ids.to(model.device), "attention_mask": seen.to(model.device)}
            logits = model(**given).logits
        for place, value in zip(batch, logits.squeeze(-1).float().tolist(), strict=True):
            found[place] = value
    return found
