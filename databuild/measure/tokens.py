"""measure.tokens: how many tokens of a named tokenizer a text has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import Field

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.recipe.options import Column, Mark, StepConfig

if TYPE_CHECKING:
    from pathlib import Path

_BATCH = 1000


class TokensConfig(StepConfig):
    """Options of `measure.tokens`."""

    tokenizer: Annotated[str, Mark("path")] = Field(min_length=1)
    """The `tokenizer.json` of a model, or the folder in which it lies, relative to the recipe. All
    files of a folder are part of the step's key, weights too."""
    column: Column = "response"
    """The text column to measure; the new column begins with its name."""
    special: bool = False
    """Count the tokens that the tokenizer adds at the beginning and end, too."""


@step(
    "measure.tokens",
    kind="measure",
    sees="row",
    version=1,
    adds=lambda config: (f"{config.column}_tokens",),
)
def measure_tokens(
    rows: pl.DataFrame, config: TokensConfig, *, files: tuple[Path, ...]
) -> pl.DataFrame:
    """Count the tokens of a text column, as the tokenizer of a model sees them.

    With `<c>` for the column, `<c>_tokens` is the number of tokens of the whole text, without chat
    template, truncation or padding; 0 for an empty or null text. Tokens that the text spells out
    ("<|im_end|>") count as the tokenizer reads them.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `TokensConfig`.
        files: The tokenizer's file, or those of its folder.

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
        ...     measure_tokens(rows, config, files=(path,))["response_tokens"].to_list()
        [3, 0]
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        what = "the package tokenizers is not installed"
        raise StepError("measure.tokens", what, fix="uv add 'databuild[measure]'") from error
    if not files:
        what = f"`tokenizer: {config.tokenizer}` is no file"
        raise StepError("measure.tokens", what, fix="name the model's tokenizer.json")
    path = next((one for one in sorted(files) if one.name == "tokenizer.json"), files[0])
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        what = f"{path} cannot be read as a tokenizer: {error}"
        raise StepError("measure.tokens", what, fix="name the model's tokenizer.json") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = rows[config.column].cast(pl.String).fill_null("").to_list()
    counts: list[int] = []
    for start in range(0, len(texts), _BATCH):
        found = tokenizer.encode_batch_fast(
            texts[start : start + _BATCH], add_special_tokens=config.special
        )
        counts += [len(one) for one in found]
    name = f"{config.column}_tokens"
    return rows.select("row_id").with_columns(pl.Series(name, counts, dtype=pl.Int64))
