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
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import polars as pl

from databuild.errors import ServiceError
from databuild.text.normal import normal_form

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Flags = NDArray[np.bool_]

HASHED = "hashed-ngrams"
HASHED_IDENTITY = "hashed-ngrams@v1"
_CHUNK = 2_048
_GENERATES = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")


class Embedded(NamedTuple):
    """The vectors of texts, and which of the texts were longer than the model reads."""

    vectors_ND: Vectors
    is_cut_N: Flags
    longest: int | None = None
    """How many tokens of a text the model reads; None where it reads all."""


class Embedder(Protocol):
    """Turns texts into vectors of one length."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of float32 for each text, in order; what a text gets, no other text changes."""

    def read(self, texts: Sequence[str], prefix: str | None = None) -> Embedded:
        """The same, and which texts were cut.

        `prefix` is put before every text; None puts there what the model's folder says, if any.
        """

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

    def read(self, texts: Sequence[str], prefix: str | None = None) -> Embedded:
        """The same; no text is ever cut."""
        given = [f"{prefix}{text}" for text in texts] if prefix else texts
        return Embedded(self.embed(given), np.zeros(len(texts), dtype=np.bool_))

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
        config, tensors, self._tokenizer = _static_files(folder, where)
        self._vectors_VD = np.asarray(tensors["embeddings"], dtype=np.float32)
        self._weights, self._mapping = tensors.get("weights"), tensors.get("mapping")
        self._is_normal = bool(config.get("normalize", False))
        self._longest = int(config.get("max_length") or 512)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._longest)
        self._unknown = _unknown_token(self._tokenizer)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text."""
        return self.read(texts).vectors_ND

    def read(self, texts: Sequence[str], prefix: str | None = None) -> Embedded:
        """One row for each text, and which were cut."""
        vectors_ND = np.zeros((len(texts), self._vectors_VD.shape[1]), dtype=np.float32)
        is_cut_N = np.zeros(len(texts), dtype=np.bool_)
        for start in range(0, len(texts), _CHUNK):
            batch = [(prefix or "") + text for text in texts[start : start + _CHUNK]]
            found = self._tokenizer.encode_batch(batch, add_special_tokens=False)
            for row, one in enumerate(found, start):
                is_cut_N[row] = bool(one.overflowing)
                ids = [token for token in one.ids if token != self._unknown]
                if ids:
                    vectors_ND[row] = self._vectors_of(ids).mean(axis=0)
        if self._is_normal:
            vectors_ND /= np.linalg.norm(vectors_ND, axis=1, keepdims=True) + 1e-32
        return Embedded(vectors_ND, is_cut_N, self._longest)

    def close(self) -> None:
        """There is nothing to give back."""

    def _vectors_of(self, ids: list[int]) -> Vectors:
        places = ids if self._mapping is None else self._mapping[ids]
        found_TD = self._vectors_VD[places]
        return found_TD if self._weights is None else found_TD * self._weights[ids][:, None]


def _static_files(folder: Path, where: str) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """The config, tensors and tokenizer of a model2vec folder."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        what = f"a static model needs the library {error.name}"
        raise ServiceError(where, what, fix="uv add 'databuild[embed]'") from error
    try:
        config = dict(json.loads((folder / "config.json").read_text("utf-8")))
        tensors = load_file(folder / "model.safetensors")
        _rows, _width = tensors["embeddings"].shape  # two axes, or a ValueError
        written = (folder / "tokenizer.json").read_text("utf-8")
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise _no_static(folder, where, error) from error
    try:
        return config, tensors, Tokenizer.from_str(written)
    except Exception as error:  # all that tokenizers raises is a bare Exception
        raise _no_static(folder, where, error) from error


def _no_static(folder: Path, where: str, error: Exception) -> ServiceError:
    what = f"{folder} is no model2vec folder: {type(error).__name__}: {error}"
    return ServiceError(where, what, fix="save the model again")


def open_embedder(folder: Path, *, log: Path, where: str = "model") -> Embedder:
    """Open the model in a folder: a static one here, any other in a child process.

    Raises:
        ServiceError: The folder holds no model, or one that generates; or a library is missing.
    """
    try:
        config = dict(json.loads((folder / "config.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        what = f"{folder} has no config.json that can be read: {error}"
        raise ServiceError(where, what, fix="name a model folder") from error
    if config.get("model_type") == "model2vec" or _says_static(folder / "modules.json"):
        return StaticEmbedder(folder, where=where)
    generates = [a for a in config.get("architectures") or () if str(a).endswith(_GENERATES)]
    if generates and not (folder / "modules.json").is_file():
        what = f"{folder} is a model that generates ({generates[0]}), not one that embeds"
        fix = "name a sentence-transformers or model2vec folder, or `packaged: all-minilm-l6-v2`"
        raise ServiceError(where, what, fix=fix)
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
