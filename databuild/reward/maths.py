"""reward.maths: whether the final answer of a worked solution is the right one."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field

from databuild.engine.step import step
from databuild.recipe.options import Column, StepConfig
from databuild.reward.symbolic import Comparer
from databuild.text.boxed import last_boxed
from databuild.text.final_answers import agree, find_answer, read_value

if TYPE_CHECKING:
    from databuild.text.final_answers import Value

_FACTS: dict[str, Any] = {
    "pass": pl.Boolean,
    "score": pl.Float64,
    "answer": pl.String,
    "reason": pl.String,
}
_NOTHING = (None,) * len(_FACTS)
_UNIT = r"(?:[kcm]m|[km]g|ml|min|mph|[mglhs])"
# A number or plain fraction with its unit or currency, and nothing to work out: `2x` is none.
_BARE = re.compile(
    r"-?[$€£¥￥]?-?\s?(?:\d[\d,]*(?:\.\d*)?|\.\d+)(?:/\d+|\s\d+/\d+)?"
    rf"(?:\s?\\?%|{_UNIT}(?![^\W\d_])|[\u4e00-\u9fff]+)?(?:\s(?:[^\W\d_]{{2,}}|{_UNIT}))*\.?"
)
_SIGNS = re.compile(r"[\\^<>(){}\[\]*+√π∞∪∩]|\d/|[^\W\d_]\d|\d[a-zA-Z]\b")
_MATHS = re.compile(r"[\d\\=<>^+*/(){}\[\]√π∞∪∩]")
_WHOLE_CHARS = 60


class MathsConfig(StepConfig):
    """Options of `reward.maths`."""

    name: str = "maths"
    """What the new columns begin with."""
    response: Column = "response"
    """The worked solution to check."""
    answer: Column = "answer"
    """The right answer; a worked solution is read for its own final answer."""
    gold: Column | None = None
    """A column of solutions that must be right; where one is not, the row has an error."""
    timeout_s: float = Field(default=10.0, gt=0)
    """How long the comparison of two expressions may take, in seconds."""


def _names(config: MathsConfig) -> tuple[str, ...]:
    return tuple(f"{config.name}_{fact}" for fact in _FACTS)


@step("reward.maths", kind="measure", sees="row", version=1, adds=_names)
def measure_maths(rows: pl.DataFrame, config: MathsConfig) -> pl.DataFrame:
    r"""Compare the final answer of a solution with the right one.

    With `<n>` for `config.name`: `<n>_pass`; `<n>_score`, 1 for a pass, else 0; `<n>_answer`, what
    was taken for the final answer; `<n>_reason`, "no final answer" where there is none.

    The final answer is what stands in the last `\boxed{...}`; else after the last marker ("the
    answer is", "####", "答案是": `text.final_answers.find_answer`); else a text of one line and at
    most 60 characters as a whole; else the last number. Two answers are equal where
    `text.final_answers.agree` says so: numbers exactly, or after rounding to the fewer decimal
    places of the two if these are two or more; units must not contradict; choices and texts letter
    by letter. A percentage equals its number with and without the sign, and the hundredth of it.
    What is more than a number with its unit (fractions in LaTeX, sets, intervals, expressions,
    equations) and is not equal that way is compared by math-verify (Hugging Face), as SymPy
    expressions, in a process that is killed after `timeout_s`.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `MathsConfig`.

    Returns:
        n rows, in order. A row has nulls and an `error` where its solution or its right answer is
        null or says nothing, the comparison took too long or failed, or its gold solution is wrong.

    Raises:
        StepError: An expression is to be compared, and the extra `maths` is not installed.

    Cost:
        Numbers: about 4,000 rows per CPU second (tests/bench/verifiers.json). Expressions: 270,
        of which most is starting the process, about a second for each batch that has any.

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a", "b"], "answer": ["1,250 m", "7"],
        ...     "response": ["5 * 250 = 1250. The answer is 1250 meters.", "3 + 5 = 8"],
        ... })
        >>> measure_maths(rows, MathsConfig()).select("maths_pass", "maths_answer").rows()
        [(True, '1250 meters'), (False, '3 + 5 = 8')]
    """
    columns = [config.response, config.answer, config.gold or config.response]
    held = rows.select("row_id", *(pl.col(c).alias(str(n)) for n, c in enumerate(columns)))
    with Comparer(config.timeout_s) as comparer:
        facts = []
        for row_id, response, right, gold in held.iter_rows():
            found = _facts(response, right, comparer)
            if config.gold is not None and found[-1] is None:
                found = _with_gold(found, _facts(gold, right, comparer))
            facts.append((row_id, *found))
    types = dict(zip(_names(config), _FACTS.values(), strict=True))
    schema = {"row_id": pl.String, **types, "error": pl.String}
    return pl.DataFrame(facts, schema=schema, orient="row")


def _with_gold(found: tuple[Any, ...], gold: tuple[Any, ...]) -> tuple[Any, ...]:
    passed, _, answer, reason, error = gold
    if passed:
        return found
    said = error or reason or f"its final answer is {answer!r}"
    return (*_NOTHING, f"the gold answer fails: {said}")


def _facts(response: str | None, right: Any, comparer: Comparer) -> tuple[Any, ...]:
    if response is None:
        return (*_NOTHING, "there is no answer")
    reference = final_answer("" if right is None else str(right))
    if not reference:
        return (*_NOTHING, "there is no right answer to compare it with")
    said = final_answer(response)
    if not said:
        return (False, 0.0, None, "no final answer", None)
    same = _plainly_same(said, reference)
    if same is None:
        verdict = comparer.same(_as_latex(reference), [_as_latex(said), said])
        if isinstance(verdict, str):
            return (*_NOTHING, f"the answers cannot be compared: {verdict}")
        same = verdict
    return (same, float(same), said, None, None)


def final_answer(text: str) -> str:
    r"""The final answer of a solution, as `reward.maths` finds it; "" without one.

    Example:
        >>> final_answer(r"So $x$ is \boxed{\frac12}."), final_answer("[1, 2)")
        ('\\frac12', '[1, 2)')
    """
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    bare = text.strip()
    found = find_answer(bare)
    if found is not None and found[2] == "marker":
        return found[1]
    if "\n" not in bare and len(bare) <= _WHOLE_CHARS:
        return bare
    return found[1] if found else ""


def _plainly_same(said: str, reference: str) -> bool | None:
    """Whether two answers are the same, where that takes no algebra; else None."""
    said, reference = _bare(said), _bare(reference)
    if said == reference:
        return True
    right = read_value(reference)
    is_number = _BARE.fullmatch(reference) is not None
    if right is None or (right.kind == "number" and not is_number):
        return None if _MATHS.search(reference) else False
    found = read_value(said, right)
    is_same = agree(found, right) or _same_share(found, right)
    if not is_number:  # a choice, a text, or an expression
        return is_same or (None if _MATHS.search(reference) else False)
    # `x = 5` and `5 apples` say their last number; `[1, 5]` and `2^5` do not.
    last = said.rsplit("=", 1)[-1].strip()
    return is_same if _BARE.fullmatch(last) or not _SIGNS.search(last) else None


def _same_share(found: Value | None, right: Value) -> bool:
    """Whether one is a percentage and the other its hundredth: 50 % and 0.5."""
    if (
        found is None
        or not isinstance(found.value, Fraction)
        or not isinstance(right.value, Fraction)
    ):
        return False
    pair = {found.unit: found.value, right.unit: right.value}
    return set(pair) == {"%", ""} and pair["%"] == 100 * pair[""]


def _bare(answer: str) -> str:
    bare = answer.strip().strip("$").replace("\\(", "").replace("\\)", "").replace("\\$", "$")
    return bare.replace("\\%", "%").strip().strip("*").strip()


def _as_latex(answer: str) -> str:
    return rf"\boxed{{{answer.strip().strip('$').strip()}}}"
