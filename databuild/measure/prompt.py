"""measure.prompt: whether a prompt can be answered at all, from what it says and brings."""

from __future__ import annotations

import polars as pl
from pydantic import Field, field_validator

from databuild.engine.step import step
from databuild.recipe.options import Column, Names, StepConfig
from databuild.text import asking, outside
from databuild.text.faults import fault_list, known_faults
from databuild.text.tokens import tokens

FAULTS = (
    "blank", "placeholder_input", "missing_input", "stub_input", "needs_media", "makes_media",
    "needs_web", "needs_action", "needs_lookup", "needs_forecast", "asks_of_self", "lacks_data",
    "merged_tasks", "answer_inside",
)  # fmt: skip
_NO_INPUT = (
    r"(?i)^\s*[<\[({（]?\s*(?:no\s*-?_?\s*input(?:\s+(?:is\s+)?(?:required|needed|"
    r"given|provided|necessary|available))?"
    r"|n\s*[/.]\s*a|none|null|nan|not applicable|(?:your |the |some |an? |this |my |"
    r"given )?(?:news )?(?:input|text|data|dataset|article|passage|paragraph|"
    r"document|story|essay|image|photo|url|link)(?: (?:goes )?here)?"
    r"|\.{3,}|…+|(?:insert|paste|attach|enter|add|your)\b[^\]>)]{0,60}|无(?:输入)?|"
    r"没有输入|暂无)\s*[>\])}）]?\s*[.。:：]?\s*$"
    r"|(?i)<\s*no\s*_?-?input\s*>|^\s*(?:<[^<>/=]{1,80}>|\[[^\[\],\d]{1,80}\])\s*$"
)
_PROGRAM = (
    r"(?-u:\b)(?:program|function|script|code|api|java|javascript|python|c#|sql|swift|ruby|php|html)"
    r"(?-u:\b)"
)
_VERBS = (
    "write|list|explain|describe|create|give|name|summari[sz]e|translate|calculate|"
    "find|identify|generate|compare|make|tell|provide|rewrite|classify|design|"
    "solve|define|suggest|convert|analy[sz]e|compose|edit|state|discuss|draw|"
    "outline|evaluate"
)
_NUMBERED_TASK = (
    rf"(?mi)^[ \t]*(?:(?:task|question|instruction|q)?[ \t]*\d{{1,2}}[.):、][ "
    rf"\t]*)(?:please[ \t]+)?(?:(?:{_VERBS})(?-u:\b)|请)"
)
_JOINED_TASK = (
    rf"(?i)[.;!?][ \t\r\n]+(?:also|then|next|after that|in addition|additionally|"
    rf"finally|secondly)?,?[ \t]*(?:please[ \t]+)?(?:{_VERBS})(?-u:\b)"
)
_LABEL = (
    r"(?mi)^[ \t]*(?:#{1,4}[ \t]*)?(?:expected )?(?:output|answer|response|"
    r"assistant|输出|回答|答案)[ \t]*[:：]"
)


class PromptConfig(StepConfig):
    """Options of `measure.prompt`."""

    prompt: Column = "prompt"
    """The column with the task; the new columns begin with its name."""
    input: Column | None = None
    """The column with the material that the task is about, where it is a column of its own. What
    comes after the first line end of the prompt is material, too."""
    min_document_words: int = Field(default=50, ge=0)
    """Material of fewer words than this is no article, report or book."""
    ignore: Names = ()
    """Faults that are not looked for."""

    @field_validator("ignore")
    @classmethod
    def _must_exist(cls, ignore: tuple[str, ...]) -> tuple[str, ...]:
        return known_faults(ignore, FAULTS)


def _names(config: PromptConfig) -> tuple[str, ...]:
    facts = ("n_tasks", "asks_for_code", "asks_for_calculation", "faults")
    return tuple(f"{config.prompt}_{fact}" for fact in facts)


@step("measure.prompt", kind="measure", sees="row", version=2, adds=_names)
def measure_prompt(rows: pl.DataFrame, config: PromptConfig) -> pl.DataFrame:
    """Find prompts that a text model cannot answer, or that are not one task.

    With `<c>` for the prompt column: `<c>_n_tasks` numbered tasks, or sentences that begin with
    one of some 30 imperatives, and at least 1; `<c>_asks_for_code`, `<c>_asks_for_calculation`
    (`text.asking`; English and Chinese); `<c>_faults` a list of

    - `blank`: no visible character in prompt and material;
    - `placeholder_input`: the material only stands in for one ("<noinput>", "N/A", "[your text]");
    - `missing_input`: "the following passage" and the like, and nothing follows, not even after a
      colon, in quotes or brackets;
    - `stub_input`: an article, report, book ... is promised, and the material is shorter than
      `min_document_words`; or the material only says what it should be ("a list of cities");
    - `needs_media`, `makes_media`, `needs_web`, `needs_action`: it needs a picture or sound, asks
      for one, for a look into the web, or for a deed (the last two not where a program is asked
      for);
    - `needs_lookup`: it asks for a price, what is near or open, the latest news, the weather, an
      order, an account, a page: what changes or stands in one record; `needs_forecast`: for what
      prices, weather, elections or games will be (neither where a program is asked for);
    - `asks_of_self`: for the answerer's own favourites, home, meals, travels;
    - `lacks_data`: it speaks of given data or begins with "calculate the average" and the like, and
      brings no numbers (these four: `text.outside`);
    - `merged_tasks`: two numbered tasks or more, or four sentences that begin with imperatives;
    - `answer_inside`: a line "Output: ..." or "Answer: ..." with text behind it, and no empty one
      at the end, which would be worked examples.

    Args:
        rows: n rows with `row_id` and the columns that the options name.
        config: See `PromptConfig`.

    Returns:
        n rows with `row_id` and the four columns, in order.

    Example:
        >>> texts = ["Summarize the following article.", "Name three rivers."]
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": texts})
        >>> measure_prompt(rows, PromptConfig())["prompt_faults"].to_list()
        [['missing_input'], []]
    """
    texts = _texts(rows, config)
    n_tasks = _tasks(pl.col("task"), pl.col("material"))
    facts = (
        n_tasks.cast(pl.Int64).alias(f"{config.prompt}_n_tasks"),
        asking.asks_for_code(pl.col("lower")).alias(f"{config.prompt}_asks_for_code"),
        asking.asks_for_calculation(pl.col("lower"), pl.col("lower_material")).alias(
            f"{config.prompt}_asks_for_calculation"
        ),
        fault_list(_checks(config), config.ignore).alias(f"{config.prompt}_faults"),
    )
    return texts.select("row_id", *facts)


def _texts(rows: pl.DataFrame, config: PromptConfig) -> pl.DataFrame:
    prompt = pl.col(config.prompt).fill_null("")
    parts = prompt.str.strip_chars().str.splitn("\n", 2)
    given = [parts.struct.field("field_1")]
    if config.input is not None:
        given.append(pl.col(config.input))
    material = pl.concat_str(*given, separator="\n", ignore_nulls=True).str.strip_chars()
    texts = rows.select("row_id", task=parts.struct.field("field_0"), material=material)
    return texts.with_columns(
        lower=asking.lowered(pl.col("task")), lower_material=asking.lowered(pl.col("material"))
    ).with_columns(
        whole=pl.concat_str("lower", "lower_material", separator=" "),
        words=tokens(pl.col("material").str.slice(0, 2000)).list.len(),
    )


def _tasks(task: pl.Expr, material: pl.Expr) -> pl.Expr:
    both = pl.concat_str(task, material, separator="\n")
    numbered = both.str.count_matches(_NUMBERED_TASK)
    return pl.max_horizontal(numbered, task.str.count_matches(_JOINED_TASK) + 1, 1)


def _checks(config: PromptConfig) -> dict[str, pl.Expr]:
    task, material, lower = pl.col("task"), pl.col("material"), pl.col("lower")
    whole, words = pl.col("whole"), pl.col("words")
    is_empty = material == ""
    both = pl.concat_str(task, material, separator="\n")
    brings = task.str.contains(
        r"[:：]\s*\S|[\"“”‘«「『`\[(（{]|\d|[.?!]\s+\S+\s+\S+\s+\S| [-–—] \S"
    )
    # A program may fetch, play and send; it is words about it that are asked for.
    is_program = asking.asks_for_code(lower) | lower.str.contains(_PROGRAM)
    label_last = both.str.contains(_LABEL + r"[ \t]*\s*\z")
    return {
        "blank": ~whole.str.contains(r"[^\s\p{C}]"),
        "placeholder_input": material.str.contains(_NO_INPUT),
        "missing_input": is_empty
        & ((asking.refers_to_material(lower) & ~brings) | outside.names_material(lower)),
        "stub_input": ~is_empty
        & (
            (asking.promises_document(lower) & (words < config.min_document_words))
            | (asking.refers_to_material(lower) & asking.is_described(pl.col("lower_material")))
        ),
        "needs_media": asking.needs_media(lower, pl.col("lower_material")),
        "makes_media": asking.makes_media(lower),
        "needs_web": asking.needs_web(lower, whole) & ~is_program,
        "needs_action": asking.needs_action(lower) & ~is_program,
        "needs_lookup": outside.needs_lookup(lower, whole) & ~is_program,
        "needs_forecast": outside.needs_forecast(lower) & ~is_program,
        "asks_of_self": outside.asks_of_self(lower) & is_empty,
        "lacks_data": outside.lacks_data(lower, pl.col("lower_material")) & ~is_program,
        "merged_tasks": (both.str.count_matches(_NUMBERED_TASK) >= 2)
        | (task.str.count_matches(_JOINED_TASK) >= 3),
        "answer_inside": both.str.contains(_LABEL + r"[ \t]*[^\s]") & ~label_last,
    }
