"""The options of training a reward model, with the names of Hugging Face and TRL."""

from __future__ import annotations

from pydantic import Field

from databuild.recipe.options import Column
from databuild.train.options import TrainOptions


class RewardOptions(TrainOptions):
    """Options of a reward model: the Bradley-Terry loss on pairs (Ouyang et al. 2022, section 3.5).

    The loss of a pair is -log sigmoid(r(chosen) - r(rejected) - margin), times its weight.
    """

    margin: Column | None = None
    """The column that says by how much a pair is to differ, in logits, after `margin_scale`
    (Touvron et al. 2023, Llama 2, section 3.2.2); null asks for any difference."""
    margin_scale: float = Field(default=1.0, gt=0)
    """What `margin` is multiplied by."""
    weight: Column | None = None
    """The column that says how much a pair counts, above 0; divided by its mean over the training
    pairs. Null weighs all alike."""
    center_rewards_coefficient: float | None = Field(default=0.01, gt=0)
    """Times the mean of (r(chosen) + r(rejected))^2 is added to the loss, which keeps rewards about
    0 and comparable (Eisenstein et al. 2023, arXiv 2312.09244, equation 2); null adds nothing."""
    random_negatives: float = Field(default=0.0, ge=0, le=10)
    """Pairs to make besides, as a share of the training pairs: the chosen answer of a prompt over
    the chosen answer of another prompt, so that an answer to another question is no good one."""
    eval_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of the prompts held back, with all their pairs: the checkpoint of lowest loss on them
    is `best`, and accuracy is measured on them. 0 holds back none, and nothing is known then."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate of AdamW."""
    num_train_epochs: float = Field(default=1.0, gt=0)
    """Passes over the pairs. Reward models over-fit in the second (Ouyang et al. 2022, appendix
    C.2)."""
    per_device_train_batch_size: int = Field(default=16, ge=1)
    """Pairs in one forward pass; pairs of one prompt share it, and equal texts are read once."""
    max_length: int = Field(default=1024, ge=8)
    """Longest text in tokens, prompt and answer together. A pair with a longer one is left out and
    named."""
    first_layers: int | None = Field(default=None, ge=1)
    """Keep only so many layers of the start model, counted from the input: with a third of them the
    reward model learns and scores in a third of the time. Null keeps all."""
    seed: int = Field(default=0, ge=0)
    """The training seed: held-back prompts, random negatives, order, adapter initialisation."""
