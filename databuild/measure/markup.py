"""measure.markup: what formats, chats and web pages left behind in a text."""

from __future__ import annotations

import polars as pl
from pydantic import field_validator

from databuild.engine.step import step
from databuild.recipe.options import Column, Names, StepConfig
from databuild.text.code import CODE, code_ratio
from databuild.text.faults import fault_list, known_faults

FAULTS = (
    "html_tags", "html_entities", "special_tokens", "role_labels", "markdown_debris",
    "broken_latex", "citations",
)  # fmt: skip
_TAG = (
    r"(?i)</?(?:p|br|div|span|b|i|em|strong|u|a|ul|ol|li|table|thead|tbody|tr|td|th|"
    r"h[1-6]|img|font|center|blockquote|sup|sub|hr|script|style|iframe|nav|section|"
    r"article|header|footer|button|html|head|body|meta|link)(?:\s[^<>]*)?/?>"
)
_ENTITY = (
    r"(?i)&(?:amp|lt|gt|quot|nbsp|apos|mdash|ndash|[lr][sd]quo|hellip|copy|reg|"
    r"trade|deg|euro|pound|bull|middot|times|eacute|egrave|agrave|ccedil|[aou]uml|"
    r"szlig|#\d{2,6}|#x[0-9a-f]{2,5});"
)
_SPECIAL = (
    r"<\|[A-Za-z_0-9]{1,40}\|>|<｜[^｜<>]{1,40}｜>|\[/?INST\]|<</?SYS>>|</?s>|<(?:bos|"
    r"eos|pad|unk|mask|sep|cls|start_of_turn|end_of_turn|extra_id_\d+|eot|eom|eod)>|"
    r"\[(?:MASK|SEP|CLS|PAD|UNK|BOS|EOS|gMASK)\]|[Ġ▁][a-z]+"
)
_LABEL = (
    r"(?m)^[ \t]*(?:#{2,4}[ \t]*(?:Human|Assistant|User|System|Instruction|Input|"
    r"Response|Output|用户|助手|系统)[ \t]*[:：]|(?:Human|Assistant|ASSISTANT|USER|HUMAN)[ "
    r"\t]*:|\*\*(?:Human|Assistant|User)[:：]?\*\*[:：]?)"
)
_DEBRIS = (
    r"!\[[^\]\n]*\]\([^)\n]*\)|\]\(\s*\)|\[\]\(|\[\^?\d+\]:|\\[_*#>~-]|\[(?:edit|"
    r"citation needed|link|image|img)\]|(?m:^\|?(?:[ \t]*:?-+:?[ \t]*\|){2,}[ "
    r"\t]*$\n?\z)"
)
_CITATION = r"\[\d{1,3}\](?:\[\d{1,3}\])*|【\d+†[^】]*】|\[\^\d+\]|\(Source: ?https?://"
# One of these is in every text below; most texts are passed over by them alone.
_HINTS = [
    "<", "&", "[", "**", "\\", "$", "Human", "Assistant", "HUMAN", "USER", "ASSIST", "##", "【",
    "Ġ", "▁",
]  # fmt: skip
# Text that is a web page, and prompts that ask for one.
_PAGE = r"(?i)<!doctype|<html|<head>|<body|<style|<script|<\?xml"
_ASKS_FOR_TAGS = r"(?i)html|xml|svg|\btags?\b|web ?(?:page|site)|css|javascript|jsx|react|网页"
_COUNTS = ("html_tags", "html_entities", "special_tokens", "role_labels")


class MarkupConfig(StepConfig):
    """Options of `measure.markup`."""

    column: Column = "response"
    """The text column to measure; the new columns begin with its name."""
    prompt: Column | None = None
    """The column with the task; where it speaks of HTML, tags or web pages, tags are no fault."""
    ignore: Names = ()
    """Faults that are not looked for."""

    @field_validator("ignore")
    @classmethod
    def _must_exist(cls, ignore: tuple[str, ...]) -> tuple[str, ...]:
        return known_faults(ignore, FAULTS)


def _names(config: MarkupConfig) -> tuple[str, ...]:
    facts = (*(f"n_{count}" for count in _COUNTS), "markup_faults")
    return tuple(f"{config.column}_{fact}" for fact in facts)


@step("measure.markup", kind="measure", sees="row", version=1, adds=_names)
def measure_markup(rows: pl.DataFrame, config: MarkupConfig) -> pl.DataFrame:
    r"""Find tags, entities, chat tokens and broken markup in a text column, outside its code.

    With `<c>` for the column: `<c>_n_html_tags` tags of some 40 elements, `<c>_n_html_entities`
    (`&nbsp;`), `<c>_n_special_tokens` (`<|im_end|>`, `[INST]`, `</s>`, `<<SYS>>`, `[MASK]` ...),
    `<c>_n_role_labels` lines that begin with "### Response:", "Human:", "Assistant:" ...;
    `<c>_markup_faults` a list of those four where there is one (tags not in a whole web page, nor
    where the prompt asks for them), and

    - `markdown_debris`: an image link, an empty link, an escaped sign, "[edit]", a reference;
      an odd number of `**`;
    - `broken_latex`: `$$`, `\[ \]`, `\( \)`, `\begin \end` or the braces after a command do not
      pair;
    - `citations`: "[12]" or "【3†source】" after a word, without the list that they point to.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `MarkupConfig`.

    Returns:
        n rows with `row_id` and the five columns, in order.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "response": ["Fine.<br>Bye<|im_end|>"]})
        >>> measure_markup(rows, MarkupConfig())["response_markup_faults"].to_list()
        [['html_tags', 'special_tokens']]
    """
    prompt = pl.lit("") if config.prompt is None else pl.col(config.prompt).fill_null("")
    texts = rows.select(text=pl.col(config.column).fill_null(""), prompt=prompt)
    texts = texts.with_row_index("row")
    marked = texts.filter(pl.col("text").str.contains_any(_HINTS))
    plain = pl.col("text").str.replace_all(CODE, " ")
    marked = marked.with_columns(code_ratio=code_ratio(marked["text"]), plain=plain)
    patterns = (_TAG, _ENTITY, _SPECIAL, _LABEL)
    counted = marked.with_columns(
        pl.col("plain").str.count_matches(pattern).cast(pl.Int64).alias(f"n_{count}")
        for pattern, count in zip(patterns, _COUNTS, strict=True)
    )
    faults = fault_list(_checks(), config.ignore)
    found = counted.select("row", *(f"n_{count}" for count in _COUNTS), markup_faults=faults)
    joined = texts.select("row").join(found, on="row", how="left", maintain_order="left")
    nothing = pl.lit([], dtype=pl.List(pl.String))
    return rows.select("row_id").with_columns(
        joined.with_columns(pl.col("markup_faults").fill_null(nothing))
        .fill_null(0)
        .drop("row")
        .rename(dict(zip(found.columns[1:], _names(config), strict=True)))
    )


def _checks() -> dict[str, pl.Expr]:
    plain = pl.col("plain")
    checks = {count: pl.col(f"n_{count}") > 0 for count in _COUNTS}
    checks["html_tags"] &= ~plain.str.contains(_PAGE) & ~pl.col("prompt").str.contains(
        _ASKS_FOR_TAGS
    )
    stars = plain.str.replace_all(r"\*{3,}|\\\*", "").str.count_matches("**", literal=True)
    powers = plain.str.contains(r"[\w)]\*\*[\w(]")
    checks["markdown_debris"] = plain.str.contains(_DEBRIS) | (
        (stars % 2 == 1) & ~powers & (pl.col("code_ratio") < 0.5)
    )
    checks["broken_latex"] = _is_broken_latex(plain)
    checks["citations"] = plain.str.contains(rf"\w[.,]?[ ]?(?:{_CITATION})") & (
        pl.col("code_ratio") == 0
    )
    return checks


def _is_broken_latex(text: pl.Expr) -> pl.Expr:
    def count(literal: str) -> pl.Expr:
        return text.str.count_matches(literal, literal=True)

    has_command = text.str.contains(
        r"\\(?:frac|sqrt|sum|int|text|mathbf|mathrm|left|cdot|times|alpha|beta|pi|begin)"
    )
    pairs = [(r"\[", r"\]"), (r"\(", r"\)"), (r"\begin{", r"\end{"), (r"\left", r"\right")]
    unpaired = [count(left) != count(right) for left, right in pairs]
    braces = has_command & (
        (count("{") - count(r"\{").cast(pl.Int64)) != (count("}") - count(r"\}").cast(pl.Int64))
    )
    return pl.any_horizontal(*(one & has_command for one in unpaired), count("$$") % 2 == 1, braces)
