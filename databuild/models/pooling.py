"""How the folder of an encoder says that its tokens become one vector.

sentence-transformers writes a folder as a list of modules (`modules.json`); each has a folder with
a `config.json`. Pooling has been written in two ways: up to version 5 as one truth value per way
(`pooling_mode_cls_token: true`), since then by name (`pooling_mode: "cls"`). Both are read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from databuild.errors import ServiceError

if TYPE_CHECKING:
    from pathlib import Path

WAYS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
"""The ways of sentence-transformers, in the order in which it joins several of them."""
_OLD_NAMES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_USUAL_LONGEST = 512


@dataclass(frozen=True)
class Shape:
    """What an encoder's folder says of its vectors."""

    network: Path
    """Where the transformer lies."""
    ways: tuple[str, ...] = ("mean",)
    """Of `WAYS`; the results of several stand one behind the other."""
    is_normal: bool = True
    """Vectors are scaled to length 1."""
    longest: int | None = None
    """Tokens that are read of a text, special ones included; None where the folder says nothing."""
    lower: bool = False
    """Texts are lower-cased first."""
    prompt: str = ""
    """What the folder puts before a text that is given no prefix."""

    def limit(self, *known: int | None) -> int:
        """The longest text in tokens, given what the network and the tokenizer can take.

        A folder that does not say how long a text may be is read to 512 tokens.

        Example:
            >>> from pathlib import Path
            >>> Shape(Path("m"), longest=8192).limit(32_768, None), Shape(Path("m")).limit(32_768)
            (8192, 512)
        """
        return min(self.longest or _USUAL_LONGEST, *(n for n in known if n), 1 << 20)


def read_shape(folder: Path, *, where: str = "model") -> Shape:
    """Read what a sentence-transformers folder says; a plain transformers folder says nothing.

    Without a list of modules the tokens' mean is taken and scaled to length 1.

    Raises:
        ServiceError: A module is not known here (only a transformer, pooling and normalising are),
            a way of pooling is not, or a file is damaged.
    """
    modules = _read(folder / "modules.json", [], where)
    places = {str(m.get("type", "")).rpartition(".")[2]: str(m.get("path", "")) for m in modules}
    strange = sorted(set(places) - {"Transformer", "Pooling", "Normalize"})
    if strange:
        what = f"{folder} has the module {strange[0]}, which is not known here"
        raise ServiceError(where, what, fix="use a model of transformer, pooling and normalising")
    pooling = _read(folder / places.get("Pooling", "1_Pooling") / "config.json", {}, where)
    network = folder / places.get("Transformer", "")
    reading = _read(network / "sentence_bert_config.json", {}, where)
    said = _read(folder / "config_sentence_transformers.json", {}, where)
    prompt = (said.get("prompts") or {}).get(said.get("default_prompt_name")) or ""
    if prompt and pooling.get("include_prompt") is False:
        what = f"{folder} leaves its prompt out of the pooling, which is not known here"
        raise ServiceError(where, what, fix="use another model")
    return Shape(
        network=network,
        ways=_ways(pooling, folder, where),
        is_normal=not modules or "Normalize" in places,
        longest=int(reading["max_seq_length"]) if reading.get("max_seq_length") else None,
        lower=bool(reading.get("do_lower_case")),
        prompt=str(prompt),
    )


def _ways(pooling: dict[str, Any], folder: Path, where: str) -> tuple[str, ...]:
    named = pooling.get("pooling_mode")
    if named is not None:
        ways = [named] if isinstance(named, str) else list(named)
    else:
        ways = [way for old, way in _OLD_NAMES.items() if pooling.get(old) is True]
        ways += [name for name, is_on in pooling.items() if _is_unknown_way(name) and is_on is True]
    strange = [way for way in ways if way not in WAYS]
    if strange:
        what = f"{folder} pools in the way {strange[0]!r}; known are {', '.join(WAYS)}"
        raise ServiceError(where, what, fix="use a model that pools in one of these")
    return tuple(ways) or ("mean",)


def _is_unknown_way(name: str) -> bool:
    return name.startswith("pooling_mode_") and name not in _OLD_NAMES


def _read(path: Path, default: Any, where: str) -> Any:
    try:
        found = json.loads(path.read_text("utf-8")) if path.is_file() else default
    except (OSError, ValueError) as error:
        what = f"{path} cannot be read: {error}"
        raise ServiceError(where, what, fix="save the model again") from error
    if not isinstance(found, type(default)):
        what = f"{path} holds {type(found).__name__}, not {type(default).__name__}"
        raise ServiceError(where, what, fix="save the model again")
    return found


def pooled(hidden_NTD: Any, mask_NT: Any, ways: tuple[str, ...]) -> Any:
    """One vector for each text from those of its tokens, as sentence-transformers pools them.

    Args:
        hidden_NTD: A torch tensor: n texts, their tokens, d numbers for each.
        mask_NT: 1 where a token is the text's, 0 where it is padding, on either side.
        ways: Of `WAYS`.

    Returns:
        n rows of d numbers for each way.
    """
    import torch

    pieces = [_pooled(hidden_NTD, mask_NT, way) for way in ways]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)


def _pooled(hidden_NTD: Any, mask_NT: Any, way: str) -> Any:
    import torch

    rows_N = torch.arange(hidden_NTD.shape[0], device=hidden_NTD.device)
    if way == "cls":
        return hidden_NTD[rows_N, mask_NT.argmax(1)]
    if way == "lasttoken":
        return hidden_NTD[rows_N, mask_NT.shape[1] - 1 - mask_NT.flip(1).argmax(1)]
    mask_NT1 = mask_NT.unsqueeze(-1).to(hidden_NTD.dtype)
    if way == "max":
        return hidden_NTD.masked_fill(mask_NT1 == 0, float("-inf")).max(1).values
    if way == "weightedmean":  # the first token counts once, the second twice, and so on
        mask_NT1 = mask_NT1 * mask_NT.cumsum(1).unsqueeze(-1).to(hidden_NTD.dtype)
    total_ND, n_N1 = (hidden_NTD * mask_NT1).sum(1), mask_NT1.sum(1).clamp(min=1e-9)
    return total_ND / (n_N1.sqrt() if way == "mean_sqrt_len_tokens" else n_N1)
