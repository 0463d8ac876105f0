"""Texts as vectors of a transformer encoder, in a child process: any sentence-transformers folder.

What a folder says is done (`databuild.models.pooling`: which modules, which pooling, the longest
text). A text that is longer than the model reads is cut at its end, and counted.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.engine.child import Child, Json, connect
from databuild.models.embedder import Embedded
from databuild.models.pooling import pooled, read_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

BATCH_TOKENS = 8_192


class Encoder:
    """An encoder in a child process, started with the first texts and stopped by `close`.

    Vectors are float32. Texts of similar length are read together, and padding changes the last
    bits of a vector: vectors are the same to about 1e-6, not bit for bit, in other company.

    Args:
        folder: A sentence-transformers or transformers folder.
        log: Receives the child's output.
        where: The step that the errors name.
    """

    def __init__(self, folder: Path, *, log: Path, where: str = "model") -> None:
        self._folder, self._log, self._where = folder, log, where
        self._child: Child | None = None
        self._longest = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row for each text.

        Raises:
            ServiceError: The model cannot be loaded, or the process died.
        """
        return self.read(texts).vectors_ND

    def read(self, texts: Sequence[str], prefix: str | None = None) -> Embedded:
        """One row for each text, and which were cut.

        Raises:
            ServiceError: As `embed`.
        """
        import numpy as np

        with tempfile.TemporaryDirectory(prefix="databuild-vectors-") as folder:
            out = Path(folder) / "vectors.npy"
            job = {"texts": list(texts), "prefix": prefix, "out": str(out)}
            self._started().send(job)
            done = self._wait_for("done")
            vectors_ND: NDArray[np.float32] = np.load(out)
        is_cut_N = np.zeros(len(texts), dtype=np.bool_)
        is_cut_N[np.asarray(done["cut"], dtype=np.int64)] = True
        return Embedded(vectors_ND, is_cut_N, self._longest)

    def close(self) -> None:
        """Stop the process. Safe to call twice."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _started(self) -> Child:
        if self._child is None:
            from databuild.models.vllm_arguments import find_device

            env = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
            self._child = Child(__name__, where=self._where, log=self._log, env=env)
            self._child.send({"folder": str(self._folder), "device": find_device()})
            self._longest = int(self._wait_for("longest")["longest"])
        return self._child

    def _wait_for(self, what: str) -> Json:
        assert self._child is not None
        while what not in (message := self._child.receive() or {}):
            pass
        return message


class Model:
    """What the child holds: tokenizer, weights, and how tokens become one vector."""

    def __init__(self, folder: Path, device: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        self.shape = read_shape(folder)
        self.device = torch.device(device)
        place = self.shape.network
        has_own = (place / "tokenizer_config.json").is_file()
        self.tokenizer = AutoTokenizer.from_pretrained(place if has_own else folder)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.network = AutoModel.from_pretrained(place, dtype=torch.float32).to(self.device).eval()
        reach = getattr(self.network.config, "max_position_embeddings", None)
        self.longest = self.shape.limit(reach, self.tokenizer.model_max_length)

    def embed(self, texts: list[str], prefix: str | None) -> tuple[Any, list[int]]:
        """A float32 tensor, one row for each text, and the places of those that were cut."""
        import torch

        prefix = self.shape.prompt if prefix is None else prefix
        given = [(prefix + text).lower() if self.shape.lower else prefix + text for text in texts]
        width = int(self.network.config.hidden_size) * len(self.shape.ways)
        vectors_ND = torch.zeros((len(texts), width), dtype=torch.float32)
        if not given:
            return vectors_ND, []
        lengths = [len(ids) for ids in self.tokenizer(given)["input_ids"]]
        tokens = self.tokenizer(given, truncation=True, max_length=self.longest)["input_ids"]
        with torch.inference_mode():
            for batch in _batches([len(ids) for ids in tokens]):
                ids = {"input_ids": [tokens[i] for i in batch]}
                padded = self.tokenizer.pad(ids, return_tensors="pt").to(self.device)
                hidden_NTD = self.network(**padded).last_hidden_state
                pooled_ND = pooled(hidden_NTD, padded["attention_mask"], self.shape.ways)
                if self.shape.is_normal:
                    pooled_ND = torch.nn.functional.normalize(pooled_ND, dim=-1)
                vectors_ND[batch] = pooled_ND.float().cpu()
        return vectors_ND, [place for place, n in enumerate(lengths) if n > self.longest]


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Group texts by length, so that little is padding."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[index] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _serve() -> None:
    """Load the model, then answer texts with files of vectors until the parent is gone."""
    import numpy as np

    parent = connect()
    try:
        job: Json = parent.receive() or {}
        model = Model(Path(job["folder"]), job["device"])
        parent.send({"longest": model.longest})
        while True:
            asked = parent.receive()
            if asked is None:
                continue
            vectors_ND, cut = model.embed(asked["texts"], asked["prefix"])
            np.save(asked["out"], vectors_ND.numpy())
            parent.send({"done": len(asked["texts"]), "cut": cut})
    except Exception as error:  # noqa: BLE001 -- the boundary of a process
        traceback.print_exc()
        sys.stderr.flush()
        parent.send({"fatal": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    _serve()
