"""How surprised a model is by texts: a check that training has not spoilt its ordinary language."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from databuild.engine.child import Channel, Json, run_job, serve_job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def read_texts(
    folder: Path,
    texts: Sequence[str | tuple[str, str]],
    *,
    log: Path,
    where: str = "perplexity",
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    max_tokens: int = 1024,
    batch_tokens: int = 4096,
) -> list[dict[str, Any]]:
    """Read each text with the model of `folder`, in a child process; say how likely it was.

    A text of n tokens (no special ones added, cut at `max_tokens`) has n - 1 predictions: each
    token after the first, given those before it. Its `nll_sum` is the sum of their negative
    natural log probabilities, computed in float32 from the logits. The perplexity of a set of
    texts is exp(sum of nll_sum / sum of n_tokens), which `perplexity_of` computes.

    A pair (context, text) is read as one, and the predictions counted are those of the text's
    tokens after its first, given the context and the tokens before: the same tokens for every
    context, also for none (""). The context is cut to its last `max_tokens` // 2 tokens, the text
    to its first `max_tokens` // 2.

    Args:
        folder: A Hugging Face model folder.
        texts: n texts, or pairs of a context and a text.
        log: Receives the child's output.
        where: The step that the errors name.
        dtype: What to compute in; `auto` as in databuild.models.vllm.choose_dtype.
        max_tokens: Longer texts are cut here.
        batch_tokens: Texts are sorted by length and read together up to so many tokens.

    Returns:
        n dicts in the order of the texts: `nll_sum: float | None`, `n_tokens: int` (predictions),
        `is_cut: bool`, `error: str | None`. A text of fewer than two tokens has an error.

    Raises:
        ServiceError: The model cannot be loaded or the process died.
    """
    if not texts:
        return []
    from databuild.models.vllm_arguments import choose_dtype, find_device

    device = find_device()
    job = {
        "folder": str(folder),
        "texts": list(texts),
        "device": device,
        "dtype": choose_dtype(dtype, device),
        "max_tokens": max_tokens,
        "batch_tokens": batch_tokens,
    }
    env = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    result = run_job(__name__, job, where=where, log=log, env=env)
    rows: list[dict[str, Any]] = result["rows"]
    return rows


def perplexity_of(rows: Sequence[dict[str, Any]]) -> float | None:
    """Return exp(total nll / total predictions) over the texts without error, None without any.

    Example:
        >>> perplexity_of([{"nll_sum": 2.0, "n_tokens": 2}, {"nll_sum": None, "n_tokens": 0}])
        2.718281828459045
    """
    read = [row for row in rows if row["nll_sum"] is not None]
    n_tokens = sum(row["n_tokens"] for row in read)
    return math.exp(sum(row["nll_sum"] for row in read) / n_tokens) if n_tokens else None


def _read(job: Json, parent: Channel) -> Json:
    """Load the model, read all batches. Runs in the child."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = torch.device(job["device"])
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    model = AutoModelForCausalLM.from_pretrained(job["folder"], dtype=getattr(torch, job["dtype"]))
    model.to(device).eval()
    rows: list[Json] = []
    tokens: list[list[int]] = []
    firsts: list[int] = []
    for one in job["texts"]:
        context, text = one if isinstance(one, list) else ("", one)
        most = job["max_tokens"] // 2 if isinstance(one, list) else job["max_tokens"]
        before = tokenizer(context, add_special_tokens=False)["input_ids"] if context else []
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        error = None if len(ids) > 1 else f"a text of {len(ids)} tokens has nothing to predict"
        tokens.append([*before[-most:], *ids[:most]] if error is None else [])
        firsts.append(len(before[-most:]) + 1)
        is_cut = max(len(ids), len(before)) > most
        rows.append({"nll_sum": None, "n_tokens": 0, "is_cut": is_cut, "error": error})
    n_done = 0
    with torch.inference_mode():
        for batch in _batches(tokens, int(job["batch_tokens"])):
            sums = _nll_sums(model, tokens, firsts, batch, device)
            for index, nll in zip(batch, sums, strict=True):
                is_number = not math.isnan(nll)
                rows[index]["nll_sum"] = nll if is_number else None
                rows[index]["error"] = None if is_number else "the model's loss is not a number"
                rows[index]["n_tokens"] = len(tokens[index]) - firsts[index] if is_number else 0
            n_done += len(batch)
            parent.send({"done": n_done, "of": len(rows)})
    return {"rows": rows}


def _batches(tokens: list[list[int]], batch_tokens: int) -> Iterator[list[int]]:
    """Group the texts of two tokens and more by length, so that little is padding."""
    batch: list[int] = []
    for index in sorted(range(len(tokens)), key=lambda i: len(tokens[i])):
        length = len(tokens[index])
        if length < 2:
            continue
        if batch and (len(batch) + 1) * length > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _nll_sums(
    model: Any, tokens: list[list[int]], firsts: list[int], batch: list[int], device: Any
) -> list[float]:
    """Pad on the right, where a causal model cannot see it, and sum over the targets that count.

    Those of text i begin with token `firsts[i]`.
    """
    import torch
    from torch.nn.functional import cross_entropy

    width = max(len(tokens[index]) for index in batch)
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    seen = torch.zeros((len(batch), width), dtype=torch.long)
    for row, index in enumerate(batch):
        ids[row, : len(tokens[index])] = torch.tensor(tokens[index])
        seen[row, : len(tokens[index])] = 1
    ids, seen = ids.to(device), seen.to(device)
    logits = model(input_ids=ids, attention_mask=seen).logits
    targets = ids[:, 1:].masked_fill(seen[:, 1:] == 0, -100)
    for row, index in enumerate(batch):
        targets[row, : firsts[index] - 1] = -100
    # Text by text: a batch's logits in float32 would take GiBs with a large vocabulary.
    sums = [
        cross_entropy(logits[row, :-1].float(), targets[row], ignore_index=-100, reduction="sum")
        for row in range(len(batch))
    ]
    return [float(value) for value in sums]


if __name__ == "__main__":
    serve_job(_read)
