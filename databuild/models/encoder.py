"""Texts as vectors of a transformer encoder, in a child process: any sentence-transformers folder.

What a folder says is done: `modules.json` (pooling, normalising), `1_Pooling/config.json` (mean of
the tokens or the first token), `sentence_bert_config.json` (the longest text). A folder that says
nothing of it is pooled by the mean of its tokens and normalised.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.engine.child import Child, Json, connect
from databuild.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

BATCH_TOKENS = 8_192
_LONGEST = 512


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

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row for each text.

        Raises:
            ServiceError: The model cannot be loaded, or the process died.
        """
        import numpy as np

        with tempfile.TemporaryDirectory(prefix="databuild-vectors-") as folder:
            out = Path(folder) / "vectors.npy"
            self._started().send({"texts": list(texts), "out": str(out)})
            self._wait_for("done")
            vectors_ND: NDArray[np.float32] = np.load(out)
        return vectors_ND

    def close(self) -> None:
        """Stop the process. Safe to call twice."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _started(self) -> Child:
        if self._child is None:
            from databuild.models.vllm import find_device

            env = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
            self._child = Child(__name__, where=self._where, log=self._log, env=env)
            self._child.send({"folder": str(self._folder), "device": find_device()})
            self._wait_for("ready")
        return self._child

    def _wait_for(self, what: str) -> None:
        assert self._child is not None
        while what not in (self._child.receive() or {}):
            pass


class Model:
    """What the child holds: tokenizer, weights, and how tokens become one vector."""

    def __init__(self, folder: Path, device: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        modules = _read(folder / "modules.json", [])
        types = [str(module.get("type", "")) for module in modules]
        pooling = _read(folder / "1_Pooling" / "config.json", {})
        strange = [
            name for name in types if not name.endswith(("Transformer", "Pooling", "Normalize"))
        ]
        ways = {name for name, is_used in pooling.items() if is_used is True}
        ways &= {name for name in pooling if name.startswith("pooling_mode_")}
        if strange or not ways <= {"pooling_mode_mean_tokens", "pooling_mode_cls_token"}:
            what = f"{folder} pools in a way that is not known here: {strange or sorted(ways)}"
            raise ServiceError("model", what, fix="use a model with mean or first-token pooling")
        self.takes_first = "pooling_mode_cls_token" in ways
        self.is_normal = not modules or any(name.endswith("Normalize") for name in types)
        self.device = torch.device(device)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.network = AutoModel.from_pretrained(folder, dtype=torch.float32).to(self.device).eval()
        sizes = [
            _read(folder / "sentence_bert_config.json", {}).get("max_seq_length"),
            getattr(self.network.config, "max_position_embeddings", None),
            self.tokenizer.model_max_length,
        ]
        self.longest = min([_LONGEST, *(int(size) for size in sizes if size)])

    def embed(self, texts: list[str]) -> Any:
        """A float32 tensor, one row for each text."""
        import torch

        width = int(self.network.config.hidden_size)
        vectors_ND = torch.zeros((len(texts), width), dtype=torch.float32)
        tokens = self.tokenizer(texts, truncation=True, max_length=self.longest)["input_ids"]
        with torch.inference_mode():
            for batch in _batches([len(ids) for ids in tokens]):
                given = {"input_ids": [tokens[i] for i in batch]}
                padded = self.tokenizer.pad(given, return_tensors="pt").to(self.device)
                hidden_NTD = self.network(**padded).last_hidden_state
                mask_NT1 = padded["attention_mask"].unsqueeze(-1).to(hidden_NTD.dtype)
                mean_ND = (hidden_NTD * mask_NT1).sum(1) / mask_NT1.sum(1).clamp(min=1e-9)
                pooled_ND = hidden_NTD[:, 0] if self.takes_first else mean_ND
                if self.is_normal:
                    pooled_ND = torch.nn.functional.normalize(pooled_ND, dim=-1)
                vectors_ND[batch] = pooled_ND.float().cpu()
        return vectors_ND


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


def _read(path: Path, default: Any) -> Any:
    return json.loads(path.read_text("utf-8")) if path.is_file() else default


def _serve() -> None:
    """Load the model, then answer texts with files of vectors until the parent is gone."""
    import numpy as np

    parent = connect()
    try:
        job: Json = parent.receive() or {}
        model = Model(Path(job["folder"]), job["device"])
        parent.send({"ready": True})
        while True:
            asked = parent.receive()
            if asked is None:
                continue
            np.save(asked["out"], model.embed(asked["texts"]).numpy())
            parent.send({"done": len(asked["texts"])})
    except Exception as error:  # noqa: BLE001 -- the boundary of a process
        traceback.print_exc()
        sys.stderr.flush()
        parent.send({"fatal": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    _serve()
