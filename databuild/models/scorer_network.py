"""The network of a reward model: token ids in, rewards out. Runs in the child process."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from databuild.models.scorer import Reading, Reward
from databuild.models.scorer_texts import Text, batches, read_talks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from databuild.engine.child import Json

_NOT_FINITE = "the model's reward is not a finite number"
_FIRST_SIZES = 1 << 40
"""A tokenizer's `model_max_length` above it says that there is no limit."""


class UnfitError(Exception):
    """The folder loads, and yet gives no reward that means anything."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


class Network:
    """Tokenizer and weights of a folder.

    Args:
        folder: The folder.
        head: The end of its architecture's name: `ForSequenceClassification` or
            `ForTokenClassification`.
        device: `cpu` or `cuda`.
        dtype: What to compute in, `float32` or `bfloat16`.

    Raises:
        UnfitError: The folder has no weights for its head, or another model's tokenizer.
    """

    def __init__(self, folder: Path, head: str, device: str, dtype: str) -> None:
        import torch
        import transformers

        self.is_per_token = head == "ForTokenClassification"
        self.device = torch.device(device)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        network, told = getattr(transformers, f"AutoModel{head}").from_pretrained(
            folder, dtype=getattr(torch, dtype), output_loading_info=True
        )
        self.network = network.to(self.device).eval()
        self._check(sorted(told["missing_keys"]))
        self._set_padding()
        config = network.config.get_text_config()
        own = int(self.tokenizer.model_max_length)
        self.longest = min(
            getattr(config, "max_position_embeddings", None) or sys.maxsize,
            own if own < _FIRST_SIZES else sys.maxsize,
        )

    def _check(self, missing: list[str]) -> None:
        if missing:
            what = f"the folder has no weights for {missing[0]}: its rewards would be random"
            raise UnfitError(what, "name a folder that was saved with its reward head")
        n_known, n_words = self.network.get_input_embeddings().weight.shape[0], len(self.tokenizer)
        if n_words > n_known:
            what = f"the tokenizer has {n_words} tokens, the model knows {n_known}: it is another's"
            raise UnfitError(what, "put the model's own tokenizer into its folder")

    def _set_padding(self) -> None:
        """One padding token for tokenizer and model: a decoder finds the end of a text by it."""
        config, tokenizer = self.network.config.get_text_config(), self.tokenizer
        if config.pad_token_id is None:
            pad = tokenizer.pad_token or tokenizer.eos_token
            config.pad_token_id = tokenizer.convert_tokens_to_ids(pad)
        self.pad_id = int(config.pad_token_id)

    def read(self, talks: Sequence[Json], reading: Reading) -> list[Reward]:
        """One reward for each talk, in order; see `databuild.models.scorer`.

        Raises:
            UnfitError: Steps were asked for, and the model has none.
        """
        if reading.steps is not None and not (self.is_per_token or hasattr(self.network, "score")):
            what = f"a {type(self.network).__name__} has one reward for a text, none for its steps"
            raise UnfitError(what, "leave `steps` out, or name a process reward model")
        texts = read_talks(talks, self.tokenizer, reading, min(reading.max_length, self.longest))
        rewards = [Reward(None, len(t.ids), t.is_cut, None, t.error) for t in texts]
        lengths = [len(text.ids) if text.error is None else 0 for text in texts]
        for batch in batches(lengths, reading.batch_tokens):
            found = self._tried(texts, batch, reading)
            for place, reward in zip(batch, found, strict=True):
                rewards[place] = reward
        return rewards

    def _tried(self, texts: list[Text], batch: list[int], reading: Reading) -> list[Reward]:
        """The rewards of a batch, in halves where the whole does not fit into memory."""
        import torch

        try:
            return self._batch([texts[place] for place in batch], reading)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        if len(batch) == 1:
            text = texts[batch[0]]
            what = f"out of memory at {len(text.ids)} tokens: lower max_length"
            return [Reward(None, len(text.ids), text.is_cut, None, what)]
        half = len(batch) // 2
        return [
            *self._tried(texts, batch[:half], reading),
            *self._tried(texts, batch[half:], reading),
        ]

    def _batch(self, texts: list[Text], reading: Reading) -> list[Reward]:
        import torch

        width = max(len(text.ids) for text in texts)
        ids = torch.full((len(texts), width), self.pad_id, dtype=torch.long)
        seen = torch.zeros((len(texts), width), dtype=torch.long)
        for row, text in enumerate(texts):
            ids[row, : len(text.ids)] = torch.tensor(text.ids)
            seen[row, : len(text.ids)] = 1
        # Without a mask attention takes its fastest way: none where all are of one length.
        given: dict[str, Any] = {"input_ids": ids.to(self.device)}
        if int(seen.sum()) < seen.numel():
            given["attention_mask"] = seen.to(self.device)
        with torch.inference_mode():
            if reading.steps is not None:
                return self._steps(texts, self._logits_everywhere(given), reading)
            logits = self.network(**given).logits.float()
        values = _log_odds(logits, reading.label).tolist()
        return [_reward(text, value) for text, value in zip(texts, values, strict=True)]

    def _logits_everywhere(self, given: dict[str, Any]) -> torch.Tensor:
        logits: torch.Tensor
        if self.is_per_token:
            logits = self.network(**given).logits
        else:
            logits = self.network.score(self.network.base_model(**given).last_hidden_state)
        return logits.float()

    def _steps(self, texts: list[Text], logits: torch.Tensor, reading: Reading) -> list[Reward]:
        found = []
        for row, text in enumerate(texts):
            odds = _log_odds(logits[row, text.marks], reading.label)
            steps = tuple(odds.sigmoid().tolist())
            bad = not all(map(math.isfinite, steps))
            found.append(
                Reward(None, len(text.ids), text.is_cut, None, _NOT_FINITE)
                if bad
                else Reward(None, len(text.ids), text.is_cut, steps)
            )
        return found


def _log_odds(logits: torch.Tensor, label: int | None) -> torch.Tensor:
    """The one logit, or of several labels log(p / (1 - p)) of the chosen one."""
    if label is None:
        return logits.squeeze(-1)
    others = logits[..., [i for i in range(logits.shape[-1]) if i != label]]
    return logits[..., label] - others.logsumexp(-1)


def _reward(text: Text, value: float) -> Reward:
    if not math.isfinite(value):
        return Reward(None, len(text.ids), text.is_cut, None, _NOT_FINITE)
    return Reward(value, len(text.ids), text.is_cut)
