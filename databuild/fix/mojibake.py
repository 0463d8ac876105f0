"""fix.mojibake: text that was read in the wrong encoding is read in the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.errors import StepError
from databuild.fix.record import InPlaceConfig, fixed, in_place
from databuild.text.code import outside_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from databuild.engine.step import Produced

# What the encodings that are mistaken for UTF-8 show for its bytes: Latin, Greek, Cyrillic letters,
# signs, box drawing, ligatures. Texts of ASCII and Han alone are not looked at.
_SUSPECT = r"[\x{80}-\x{2FFF}\x{F8FF}\x{FB01}\x{FB02}\x{FFFD}]"
_MAX_PASSES = 4


class MojibakeConfig(InPlaceConfig):
    """Options of `fix.mojibake`."""


@in_place("fix.mojibake", version=2)
def mend_mojibake(rows: pl.DataFrame, config: MojibakeConfig) -> Produced:
    """Undo wrong decodings, such as `Ã©` for `é`, line by line, outside code.

    A line is changed by ftfy's `fix_encoding` (Speer 2019) and only if that leaves fewer unlikely
    sequences (ftfy's badness) than there were. Characters that were lost (U+FFFD) stay lost. Code
    blocks (`text.code.outside_code`) come through byte for byte.

    Args:
        rows: n rows with `row_id` and the columns of `config.columns`.
        config: See `MojibakeConfig`.

    Returns:
        n rows, in order, one parent each. `fixes` notes `mojibake` with the number of unlikely
        sequences that are gone.

    Raises:
        StepError: The package ftfy is not installed.

    Cost:
        Texts without a suspect character cost one regular expression; the others run in Python,
        11,700 texts by CPU second.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["CafÃ© au lait, naÃ¯ve"]})
        >>> mend_mojibake(rows, MojibakeConfig()).rows["prompt"].to_list()
        ['Café au lait, naïve']
    """
    mend = _mender()

    def change(texts: pl.Series) -> tuple[pl.Series, Mapping[str, pl.Series]]:
        suspect = texts.str.contains(_SUSPECT).fill_null(value=False)
        gone = pl.repeat(0, len(texts), dtype=pl.Int64, eager=True)
        if not suspect.any():
            return texts, {}
        places = suspect.arg_true()
        before = texts.gather(places)
        after = outside_code(before, lambda pieces: pl.Series(
            [mend.line_by_line(piece) for piece in pieces], dtype=pl.String
        ))  # fmt: skip
        counts = [
            max(mend.badness(old) - mend.badness(new), 1) if old != new else 0
            for old, new in zip(before, after, strict=True)
        ]
        mended = texts.clone().scatter(places, after)
        return mended, {"mojibake": gone.scatter(places, pl.Series(counts, dtype=pl.Int64))}

    return fixed(rows, config.columns, change, "fix.mojibake", config.messages)


class _Mender:
    """ftfy's two functions."""

    def __init__(self, fix: Callable[[str], str], badness: Callable[[str], int]) -> None:
        self._fix, self.badness = fix, badness

    def line_by_line(self, text: str) -> str:
        """Mend the lines that get better, until none does."""
        return "\n".join(self._line(line) for line in text.split("\n"))

    def _line(self, line: str) -> str:
        for _ in range(_MAX_PASSES):
            before = self.badness(line)
            if not before:
                break
            made = self._fix(line)
            if self.badness(made) >= before or "\n" in made or "```" in made:
                break
            line = made
        return line


def _mender() -> _Mender:
    try:
        import ftfy
        from ftfy.badness import badness
    except ImportError as error:
        what = "it needs the package ftfy, which is not installed"
        raise StepError("fix.mojibake", what, fix="uv add 'databuild[fix]'") from error
    config: Any = ftfy.TextFixerConfig(
        unescape_html=False, remove_terminal_escapes=False, fix_latin_ligatures=False,
        fix_character_width=False, uncurl_quotes=False, fix_line_breaks=False,
        remove_control_chars=False, normalization=None,
    )  # fmt: skip
    return _Mender(lambda text: str(ftfy.fix_encoding(text, config)), badness)
