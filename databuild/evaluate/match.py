"""`evaluate.match`: answers against reference answers, by the field's usual metrics."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.step import step
from databuild.errors import SchemaError, StepError
from databuild.recipe.options import Column, StepConfig
from databuild.text.rouge import rouge_l
from databuild.text.tokens import folded, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_METRICS = ("exact", "f1", "rouge_l", "bleu")
_ARTICLES = ("a", "an", "the")
# sacrebleu's tokenizers: `zh` takes Chinese characters one by one, `13a` is the field's default.
_HAS_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")


class MatchConfig(StepConfig):
    """Options of `evaluate.match`."""

    response: Column = "response"
    """The answer."""
    reference: Column = "reference"
    """The right answer: a text, or a list of texts of which any is right."""
    name: str = "match"
    """What the columns begin with."""


@step(
    "evaluate.match",
    kind="measure",
    sees="row",
    version=1,
    adds=lambda config: [f"{config.name}_{metric}" for metric in _METRICS],
)
def measure_agreement(rows: pl.DataFrame, config: MatchConfig) -> pl.DataFrame:
    """Measure how well an answer agrees with its reference; of several the best counts.

    Tokens are those of `text.tokens` after NFKC and lower-casing (Chinese by character), without
    the articles a, an, the. `exact`: the same tokens in the same order (SQuAD's exact match,
    Rajpurkar et al. 2016, section 6.1, which leaves out case, punctuation and articles). `f1`: the
    harmonic mean of precision and recall of the bags of tokens (same section). `rouge_l`: the
    F-measure of the longest common subsequence of tokens, articles included (Lin 2004, section 3).
    `bleu`: sentence BLEU with effective order, smoothed exponentially, by sacrebleu (Post 2018),
    tokenizer `13a`, or `zh` where a reference has Chinese characters; its mean over rows is not
    corpus BLEU.

    Args:
        rows: n rows with `row_id` and the two columns that `config` names.
        config: See `MatchConfig`.

    Returns:
        n rows with `<name>_exact` (Boolean) and `<name>_f1`, `<name>_rouge_l`, `<name>_bleu`, 0 to
        1. A row without an answer or a reference has nulls and an `error`; so has one whose
        reference has no token, since nothing could be right.

    Raises:
        SchemaError: The reference is neither text nor lists of texts.
        StepError: sacrebleu or rapidfuzz is not installed.

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a", "b"], "response": ["The red house.", "A red barn"],
        ...     "reference": ["red house", "red house"],
        ... })
        >>> measure_agreement(rows, MatchConfig()).select("match_exact", "match_f1").rows()
        [(True, 1.0), (False, 0.5)]
    """
    bleu = _bleu()
    answers, references = rows[config.response].cast(pl.String), _references(rows, config)
    wanted = iter(_tokenised(pl.Series(list(chain.from_iterable(references)), dtype=pl.String)))
    # Row by row: the libraries compare one pair at a time.
    judged = [
        _judged(
            said, [one for one in islice(wanted, len(texts)) if one], partial(bleu, answer, texts)
        )
        for answer, said, texts in zip(answers, _tokenised(answers), references, strict=True)
    ]
    columns = {
        f"{config.name}_{metric}": [one.get(metric) for one in judged] for metric in _METRICS
    }
    types = [pl.Boolean, *[pl.Float64] * (len(_METRICS) - 1)]
    made = pl.DataFrame(columns, schema=dict(zip(columns, types, strict=True)))
    error = pl.Series("error", [one.get("error") for one in judged], dtype=pl.String)
    return rows.select("row_id").with_columns(*made, error)


def _references(rows: pl.DataFrame, config: MatchConfig) -> list[list[str]]:
    column = rows[config.reference]
    if column.dtype == pl.List(pl.String):
        return [[text for text in texts or [] if text] for texts in column.to_list()]
    if column.dtype not in {pl.String, pl.Null}:
        what = f"the references {config.reference!r} are {column.dtype}"
        raise SchemaError("evaluate.match", what, fix="name a column of texts or lists of texts")
    return [[text] if text else [] for text in column]


def _tokenised(texts: pl.Series) -> list[list[str] | None]:
    return texts.to_frame("text").select(tokens(folded(pl.col("text")))).to_series().to_list()


def _judged(
    said: list[str] | None, wanted: list[list[str]], bleu: Callable[[], float]
) -> dict[str, Any]:
    if said is None:
        return {"error": "no answer"}
    if not wanted:
        return {"error": "no reference with a word"}
    plain = _plain(said)
    return {
        "exact": any(plain == _plain(one) for one in wanted),
        "f1": max(_f1(plain, _plain(one)) for one in wanted),
        "rouge_l": max(rouge_l(said, one) for one in wanted),
        "bleu": bleu(),
    }


def _plain(listed: list[str]) -> list[str]:
    return [token for token in listed if token not in _ARTICLES] or listed


def _f1(said: list[str], wanted: list[str]) -> float:
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))


def _bleu() -> Callable[[str, Sequence[str]], float]:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        what = "sacrebleu, which measures BLEU, is not installed"
        raise StepError("evaluate.match", what, fix="uv add 'databuild[evaluate]'") from error
    spaced, chinese = (BLEU(tokenize=name, effective_order=True) for name in ("13a", "zh"))

    def score(answer: str, references: Sequence[str]) -> float:
        metric = chinese if any(map(_HAS_HAN.search, references)) else spaced
        return float(metric.sentence_score(answer, references).score) / 100

    return score
