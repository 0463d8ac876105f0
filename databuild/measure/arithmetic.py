"""measure.arithmetic: numbers in an answer that cannot be right."""

from __future__ import annotations

import polars as pl
from pydantic import field_validator

from databuild.engine.step import step
from databuild.recipe.options import Column, Names, StepConfig
from databuild.text import numbers
from databuild.text.code import CODE
from databuild.text.equations import equations
from databuild.text.faults import fault_list, known_faults
from databuild.text.results import wrong_alphabet, wrong_letters, wrong_result

FAULTS = ("wrong_equation", "wrong_result", "wrong_count", "reversed_years", "impossible_date")
# A line that can hold an equation of numbers; all others never reach Python.
_EQUATION_LINE = (
    r"(?m)^[^\n]*\d[ \t]*[)%]?[ \t]*[-+*/×÷xX·^−–][ \t]*[($€£]?[ "
    r"\t]*\d[^\n]*=[^\n]*\d[^\n]*$|^[^\n]*=[^\n]*\d[ \t]*[)%]?[ \t]*[-+*/×÷xX·^−–][ "
    r"\t]*[($€£]?[ \t]*\d[^\n]*=[^\n]*$"
)
# Where 1 + 1 may well be 10, or 9 + 5 be 2.
_OTHER_RULES = (
    r"(?i)binary|hexadecimal|octal|base[- ]?(?:two|eight|sixteen|\d)|modul|\bmod\b|"
    r"clock|matri|vector|puzzle|boolean|二进制|十六进制"
)
_RESULT_ASKED = (
    r"(?i)(?-u:\b)(?:average|mean|sum|total|add|median|product|multiply|largest|"
    r"biggest|maximum|highest|greatest|smallest|lowest|minimum|least|ascending|"
    r"descending|increasing|decreasing)(?-u:\b)|平均|和|中位数|乘积|最大|最小"
)
_ALPHABET_ASKED = r"(?i)alphabetical|in a dictionary"
_LETTERS_ASKED = (
    r"(?i)(?:how many|number of|count|total) .{0,12}(?:words|letters|characters|vowels|consonants)|"
    r"reverse .{0,20}(?:string|word|letters)|backwards"
)
_NUMBER_LIST = r"\d[ \t]*(?:[,;]|and|&|[ \t])[ \t]*-?\d"
_EXPRESSION = r"^[-+*/^().\d\s×÷−]*\d\s*[-+*/^×÷−]\s*[\d(][-+*/^().\d\s×÷−]*(?:=[ ?]*)?$"
_LISTED = ["\n-", "\n*", "\n•", "\n–", "\n2", "\n(2"]


class ArithmeticConfig(StepConfig):
    """Options of `measure.arithmetic`."""

    response: Column = "response"
    """The column with the answer; the new columns begin with its name."""
    prompt: Column | None = "prompt"
    """The column with the task; null leaves out what compares the two."""
    input: Column | None = None
    """The column with the material of the task, where it is a column of its own. What comes after
    the first line end of the prompt is material, too."""
    ignore: Names = ()
    """Faults that are not looked for."""

    @field_validator("ignore")
    @classmethod
    def _must_exist(cls, ignore: tuple[str, ...]) -> tuple[str, ...]:
        return known_faults(ignore, FAULTS)


def _names(config: ArithmeticConfig) -> tuple[str, ...]:
    facts = ("n_equations", "n_wrong_equations", "wrong_equation", "right_result")
    return tuple(f"{config.response}_{fact}" for fact in (*facts, "arithmetic_faults"))


@step("measure.arithmetic", kind="measure", sees="row", version=2, adds=_names)
def measure_arithmetic(rows: pl.DataFrame, config: ArithmeticConfig) -> pl.DataFrame:
    """Find equations, results, counts and dates in an answer that contradict themselves.

    With `<c>` for the response column: `<c>_n_equations` equations between numbers that could be
    worked out, outside code (`text.equations`), `<c>_n_wrong_equations` those that do not hold,
    rounding allowed, `<c>_wrong_equation` the first of them or null; `<c>_right_result` what a
    plain sum, an order (by size, by alphabet), a count of letters or words, or a word spelt
    backwards in the prompt comes to, if the answer does not have it, else null (`text.results`);
    `<c>_arithmetic_faults` a list of

    - `wrong_equation`, `wrong_result`: as above;
    - `wrong_count`: the prompt asks for a number of things and the answer is a list of another
      number, or a line "three things:" stands over a list of another length (`text.numbers`);
    - `reversed_years`: it ends before it began ("1940-1890", "born 1950 ... died 1940");
    - `impossible_date`: 30 February, 31 April, 2021-13-01 ...

    No equation is judged where the texts speak of other bases, clocks, matrices or modulo.

    Args:
        rows: n rows with `row_id` and the columns that the options name.
        config: See `ArithmeticConfig`.

    Returns:
        n rows with `row_id` and the five columns, in order.

    Cost:
        Lines with an equation, and prompts with plain numbers, are read by Python, each distinct
        one once; all others by expressions (tests/bench/measures.json).

    Example:
        >>> rows = pl.DataFrame(
        ...     {"row_id": ["a"], "prompt": ["Add 2, 3."], "response": ["2 + 3 = 6"]}
        ... )
        >>> measure_arithmetic(rows, ArithmeticConfig())["response_wrong_equation"].to_list()
        ['2 + 3 = 6']
    """
    prompt = pl.lit("") if config.prompt is None else pl.col(config.prompt).fill_null("")
    extra = pl.lit("") if config.input is None else pl.col(config.input).fill_null("")
    parts = prompt.str.strip_chars().str.splitn("\n", 2)
    material = pl.concat_str(
        parts.struct.field("field_1"), extra, separator="\n", ignore_nulls=True
    )
    texts = rows.select(
        "row_id", text=pl.col(config.response).fill_null(""),
        task=parts.struct.field("field_0").fill_null(""), material=material.str.strip_chars(),
    ).with_row_index("row")  # fmt: skip
    texts = _with_counts(_with_results(_with_equations(texts)))
    checks = {
        "wrong_equation": pl.col("n_wrong_equations") > 0,
        "wrong_result": pl.col("right_result").is_not_null(),
        "wrong_count": pl.col("has_wrong_count"),
        "reversed_years": numbers.has_reversed_years(pl.col("text")),
        "impossible_date": numbers.has_impossible_date(pl.col("text")),
    }
    facts = ("n_equations", "n_wrong_equations", "wrong_equation", "right_result")
    found = texts.select("row_id", *facts, fault_list(checks, config.ignore).alias("faults"))
    return found.rename(dict(zip(found.columns[1:], _names(config), strict=True)))


def _with_equations(texts: pl.DataFrame) -> pl.DataFrame:
    may_hold = pl.col("text").str.contains(r"\d[^=\n]*=|=[^\n]*\d")
    lines = (
        texts.filter(may_hold)
        .filter(~_has_other_rules())
        .select(
            "row", line=pl.col("text").str.replace_all(CODE, " ").str.extract_all(_EQUATION_LINE)
        )
        .explode("line")
        .drop_nulls()
    )
    distinct = lines["line"].unique()
    judged = [list(equations(line)) for line in distinct]
    verdicts = pl.DataFrame(
        {
            "line": distinct,
            "n": [len(found) for found in judged],
            "wrong": [[text for text, holds in found if not holds] for found in judged],
        },
        schema={"line": pl.String, "n": pl.Int64, "wrong": pl.List(pl.String)},
    )
    found = (
        lines.join(verdicts, on="line", how="left", maintain_order="left")
        .group_by("row", maintain_order=True)
        .agg(
            n_equations=pl.col("n").sum(),
            n_wrong_equations=pl.col("wrong").list.len().sum().cast(pl.Int64),
            wrong_equation=pl.col("wrong").list.first().drop_nulls().first(),
        )
    )
    counts = ("n_equations", "n_wrong_equations")
    joined = texts.join(found, on="row", how="left", maintain_order="left")
    return joined.with_columns(pl.col(counts).fill_null(0))


def _with_results(texts: pl.DataFrame) -> pl.DataFrame:
    task, material = pl.col("task"), pl.col("material")
    lists = task.str.contains(_NUMBER_LIST) | material.str.contains(_NUMBER_LIST)
    asks = (task.str.contains(_RESULT_ASKED) & lists) | material.str.contains(_EXPRESSION)
    asks |= task.str.contains(_ALPHABET_ASKED) & (material != "")
    asks |= task.str.contains(_LETTERS_ASKED)
    asked = texts.filter(asks & (material.str.len_chars() <= 300)).filter(~_has_other_rules())
    columns = (asked["task"], asked["material"], asked["text"])
    asked_for = zip(*columns, strict=True)
    results = [
        wrong_result(*texts) or wrong_alphabet(*texts) or wrong_letters(*texts)
        for texts in asked_for
    ]
    right = pl.repeat(None, texts.height, dtype=pl.String, eager=True)
    return texts.with_columns(
        right_result=right.scatter(asked["row"], pl.Series(results, dtype=pl.String))
    )


def _with_counts(texts: pl.DataFrame) -> pl.DataFrame:
    listed = texts.filter(pl.col("text").str.contains_any(_LISTED))
    found = listed.select("row", wrong=numbers.has_wrong_count(pl.col("task"), pl.col("text")))
    wrong = pl.zeros(texts.height, dtype=pl.Boolean, eager=True)
    return texts.with_columns(has_wrong_count=wrong.scatter(found["row"], found["wrong"]))


def _has_other_rules() -> pl.Expr:
    return pl.concat_str("task", "material", "text").str.contains(_OTHER_RULES)
