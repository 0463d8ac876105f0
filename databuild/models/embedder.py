"""Texts as vectors: what every embedder answers to, and those that need no torch.

Three kinds, told apart by what lies in a model's folder:

- a *static* model (model2vec): a table of token vectors whose mean is the text's; read here, with
  the libraries tokenizers and safetensors, as model2vec 0.10 reads it;
- an *encoder* (any sentence-transformers or transformers folder): in a child process, see
  `databuild.models.encoder`;
- `hashed-ngrams`, which is no model: counts of hashed character n-grams. Texts that share spelling
  are near each other; it knows nothing of meaning. It is for trying a recipe without a model.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from databuild.errors import ServiceError
from databuild.text.normal import normal_form

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

HASHED = "hashed-ngrams"
HASHED_IDENTITY = "hashed-ngrams@v1"
_CHUNK = 2_048


class Embedder(Protocol):
    """Turns texts into vectors of one length."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of float32 for each text, in order; what a text gets, no other text changes."""

    def close(self) -> None:
        """Give back what it holds. Safe to call twice."""


class HashedNgrams:
    """Counts of hashed character n-grams, as unit vectors: spelling, not meaning.

    A text in its normal form (`text.normal`), with one space put before and after it, has its runs
    of 3 and of 4 code points c hashed to h = sum of c_i * 1000003^(n - 1 - i), times
    0x9E3779B97F4A7C15, modulo 2^64. Bits 56 to 63 name one of 256 places, to which bit 55 adds 1 or
    -1 (feature hashing, Weinberger et al. 2009). A text without a run is the zero vector.

    Example:
        >>> import numpy as np
        >>> one, two, other = HashedNgrams().embed(["red apples", "Red apple", "a blue sky"])
        >>> bool(np.dot(one, two) > 0.7 > np.dot(one, other))
        True
    """

    dimensions = 256
    _RUNS = (3, 4)
    _PRIME, _MIX = np.uint64(1_000_003), np.uint64(0x9E37_79B9_7F4A_7C15)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of 256 numbers for each text."""
        pieces = [self._count(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
        counts_ND = np.concatenate([np.zeros((0, self.dimensions)), *pieces])
        lengths_N = np.linalg.norm(counts_ND, axis=1, keepdims=True)
        vectors_ND: Vectors = (counts_ND / np.maximum(lengths_N, 1.0)).astype(np.float32)
        return vectors_ND

    def close(self) -> None:
        """There is nothing to give back."""

    def _count(self, texts: Sequence[str]) -> NDArray[np.float64]:
        forms = pl.Series(texts, dtype=pl.String).to_frame("t").select(normal_form(pl.col("t")))
        padded = [f" {form} " for form in forms.to_series()]
        codes = np.frombuffer("".join(padded).encode("utf-32-le"), dtype=np.uint32)
        row = np.repeat(np.arange(len(padded)), [len(text) for text in padded])
        counts = np.zeros(len(padded) * self.dimensions)
        for n in self._RUNS:
            if len(codes) < n:
                continue
            last = len(codes) - n + 1
            hashed = np.zeros(last, dtype=np.uint64)
            for i in range(n):
                hashed = hashed * self._PRIME + codes[i : i + last]
            hashed *= self._MIX
            is_whole = row[:last] == row[n - 1 :]
            place = row[:last] * self.dimensions + (hashed >> np.uint64(56)).astype(np.int64)
            sign = 1.0 - 2.0 * ((hashed >> np.uint64(55)) & np.uint64(1)).astype(np.float64)
            counts += np.bincount(place[is_whole], sign[is_whole], minlength=len(counts))
        return counts.reshape(len(padded), self.dimensions)


class StaticEmbedder:
    """A model2vec folder: `config.json`, `tokenizer.json`, `model.safetensors`.

    A text's vector is the mean of the vectors of its tokens (no special ones, the unknown token
    left out, at most 512 or the folder's `max_length`), times their weights where the folder has
    any, of length 1 where its config says `normalize`. A text without a token is the zero vector.

    Args:
        folder: The folder.
        where: What the errors name.

    Raises:
        ServiceError: A library is missing, or the folder is damaged.
    """

    def __init__(self, folder: Path, *, where: str = "model") -> None:
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            what = f"a static model needs the library {error.name}"
            raise ServiceError(where, what, fix="uv add 'databuild[embed]'") from error
        try:
            config = json.loads((folder / "config.json").read_text("utf-8"))
            tensors = load_file(folder / "model.safetensors")
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._vectors_VD = np.asarray(tensors["embeddings"], dtype=np.float32)
        except Exception as error:
            what = f"{folder} is no model2vec folder: {type(error).__name__}: {error}"
            raise ServiceError(where, what, fix="save the model again") from error
        self._weights, self._mapping = tensors.get("weights"), tensors.get("mapping")
        self._is_normal = bool(config.get("normalize", False))
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.enable_truncation(int(config.get("max_length") or 512))
        self._unknown = _unknown_token(tokenizer)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text."""
        vectors_ND = np.zeros((len(texts), self._vectors_VD.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK):
            batch = list(texts[start : start + _CHUNK])
            for row, one in enumerate(
                self._tokenizer.encode_batch(batch, add_special_tokens=False)
            ):
                ids = [token for token in one.ids if token != self._unknown]
                if ids:
                    vectors_ND[start + row] = self._vectors_of(ids).mean(axis=0)
        if self._is_normal:
            vectors_ND /= np.linalg.norm(vectors_ND, axis=1, keepdims=True) + 1e-32
        return vectors_ND

    def close(self) -> None:
        """There is nothing to give back."""

    def _vectors_of(self, ids: list[int]) -> Vectors:
        places = ids if self._mapping is None else self._mapping[ids]
        found_TD = self._vectors_VD[places]
        return found_TD if self._weights is None else found_TD * self._weights[ids][:, None]


def open_embedder(folder: Path, *, log: Path, where: str = "model") -> Embedder:
    """Open the model in a folder: a static one here, any other in a child process.

    Raises:
        ServiceError: The folder holds no model, or a library is missing.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        what = f"{folder} has no config.json that can be read: {error}"
        raise ServiceError(where, what, fix="name a model folder") from error
    if config.get("model_type") == "model2vec" or _says_static(folder / "modules.json"):
        return StaticEmbedder(folder, where=where)
    from databuild.models.encoder import Encoder

    return Encoder(folder, log=log, where=where)


def _says_static(modules: Path) -> bool:
    """Whether a sentence-transformers list of modules names the static one."""
    return modules.is_file() and "StaticEmbedding" in modules.read_text("utf-8")


def _unknown_token(tokenizer: Any) -> int | None:
    model = json.loads(tokenizer.to_str())["model"]
    named = model.get("unk_token")
    found: int | None = model.get("unk_id") if named is None else tokenizer.token_to_id(named)
    return found
