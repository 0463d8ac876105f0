"""measure.tokens: how many tokens of a named tokenizer a text has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.models.fake_training import fake_options_of
from databuild.recipe.options import Column, Mark, ModelRef, StepConfig

if TYPE_CHECKING:
    from pathlib import Path

_BATCH = 1000
_WORD_OR_SIGN = r"\w+|[^\w\s]"


class TokensConfig(StepConfig):
    """Options of `measure.tokens`."""

    model: ModelRef | None = None
    """A model of the recipe: its tokenizer counts, and its identity is part of the step's key. A
    fake model has none: it counts words and signs."""
    tokenizer: Annotated[str | None, Mark("path")] = Field(default=None, min_length=1)
    """In place of `model`: the `tokenizer.json` of one, or the folder in which it lies, relative to
    the recipe. All files of a folder are part of the step's key, weights too."""
    column: Column = "response"
    """The text column to measure; the new column begins with its name."""
    special: bool = False
    """Count the tokens that the tokenizer adds at the beginning and end, too."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.model is None) == (self.tokenizer is None):
            msg = "name one of `model` and `tokenizer`"
            raise ValueError(msg)
        return self


@step(
    "measure.tokens",
    kind="measure",
    sees="row",
    version=2,
    adds=lambda config: (f"{config.column}_tokens",),
)
def measure_tokens(
    rows: pl.DataFrame,
    config: TokensConfig,
    *,
    files: tuple[Path, ...],
    model: Path | None,
) -> pl.DataFrame:
    """Count the tokens of a text column, as the tokenizer of a model sees them.

    With `<c>` for the column, `<c>_tokens` is the number of tokens of the whole text, without chat
    template, truncation or padding; 0 for an empty or null text. Tokens that the text spells out
    ("<|im_end|>") count as the tokenizer reads them.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `TokensConfig`.
        files: The tokenizer's file, or those of its folder; none with a model.
        model: The model's folder, where `config.model` names one.

    Returns:
        n rows with `row_id` and the column, in order.

    Raises:
        StepError: The extra `measure` is not installed, or the file is no tokenizer.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> tokenizer = Tokenizer(models.WordLevel({"?": 0, "rain": 1}, unk_token="?"))
        >>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "response": ["rain, rain", None]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "tokenizer.json")
        ...     tokenizer.save(str(path))
        ...     config = TokensConfig(tokenizer=str(path))
        ...     made = measure_tokens(rows, config, files=(path,), model=None)
        >>> made["response_tokens"].to_list()
        [3, 0]
    """
    text = pl.col(config.column).cast(pl.String).fill_null("")
    if model is not None and fake_options_of(model) is not None:
        counts = rows.select(text.str.count_matches(_WORD_OR_SIGN).cast(pl.Int64)).to_series()
    else:
        path = _tokenizer_of(config, files, model)
        found = _counted(rows.select(text).to_series().to_list(), path, special=config.special)
        counts = pl.Series(found, dtype=pl.Int64)
    return rows.select("row_id").with_columns(counts.alias(f"{config.column}_tokens"))


def _tokenizer_of(config: TokensConfig, files: tuple[Path, ...], model: Path | None) -> Path:
    if model is not None:
        path = model / "tokenizer.json"
        if not path.is_file():
            what = f"the model {config.model!r} has no tokenizer.json"
            fix = "save it with its fast tokenizer, or set `tokenizer`"
            raise StepError("measure.tokens", what, fix=fix)
        return path
    if not files:
        what = f"`tokenizer: {config.tokenizer}` is no file"
        raise StepError("measure.tokens", what, fix="name the model's tokenizer.json")
    return next((one for one in sorted(files) if one.name == "tokenizer.json"), files[0])


def _counted(texts: list[str], path: Path, *, special: bool) -> list[int]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        what = "the package tokenizers is not installed"
        raise StepError("measure.tokens", what, fix="uv add 'databuild[measure]'") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        what = f"{path} cannot be read as a tokenizer: {error}"
        raise StepError("measure.tokens", what, fix="name the model's tokenizer.json") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    counts: list[int] = []
    for start in range(0, len(texts), _BATCH):
        some = texts[start : start + _BATCH]
        found = tokenizer.encode_batch_fast(some, add_special_tokens=special)
        counts += [len(one) for one in found]
    return counts
