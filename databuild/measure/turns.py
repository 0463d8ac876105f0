"""measure.turns: faults in the structure of a conversation."""

from __future__ import annotations

import polars as pl
from pydantic import field_validator

from databuild.engine.step import step
from databuild.recipe.options import Column, Names, StepConfig
from databuild.text.faults import check_messages, fault_list, known_faults

FAULTS = (
    "no_turns", "unknown_role", "late_system", "starts_with_answer", "repeated_role", "empty_turn",
    "no_answer", "orphan_tool",
)  # fmt: skip
_ROLES = ("system", "developer", "user", "assistant", "tool")


class TurnsConfig(StepConfig):
    """Options of `measure.turns`."""

    column: Column = "messages"
    """The column with the conversation: a list of structs with `role`, `content` and, if there are
    any, `tool_calls`. The new columns begin with its name."""
    ignore: Names = ()
    """Faults that are not looked for."""

    @field_validator("ignore")
    @classmethod
    def _must_exist(cls, ignore: tuple[str, ...]) -> tuple[str, ...]:
        return known_faults(ignore, FAULTS)


def _names(config: TurnsConfig) -> tuple[str, ...]:
    facts = ("n_turns", "n_answers", "chars", "turn_faults")
    return tuple(f"{config.column}_{fact}" for fact in facts)


@step("measure.turns", kind="measure", sees="row", version=1, adds=_names)
def measure_turns(rows: pl.DataFrame, config: TurnsConfig) -> pl.DataFrame:
    """Count the turns of a conversation and find faults in their order.

    With `<c>` for the column: `<c>_n_turns`, `<c>_n_answers` (role `assistant`), `<c>_chars` of all
    contents; `<c>_turn_faults` a list of

    - `no_turns`: none, or null; `unknown_role`: none of system, developer, user, assistant, tool;
    - `late_system`: a system or developer turn after another role;
    - `starts_with_answer`: the first turn that is not of the system is no user's;
    - `repeated_role`: two user or two assistant turns in a row;
    - `empty_turn`: nothing visible, and no tool call;
    - `no_answer`: the last turn is not the assistant's;
    - `orphan_tool`: a tool's turn that follows neither an assistant's nor a tool's.

    Args:
        rows: n rows with `row_id` and the column.
        config: See `TurnsConfig`.

    Returns:
        n rows with `row_id` and the four columns, in order.

    Raises:
        SchemaError: The column is no list of structs with the texts `role` and `content`.

    Example:
        >>> talk = [{"role": "user", "content": "Hi"}, {"role": "user", "content": " "}]
        >>> rows = pl.DataFrame({"row_id": ["a"], "messages": [talk]})
        >>> measure_turns(rows, TurnsConfig())["messages_turn_faults"].to_list()
        [['repeated_role', 'empty_turn', 'no_answer']]
    """
    check_messages(rows, config.column, "measure.turns")
    talks = rows.select(messages=config.column).with_row_index("row")
    turns = _judged(talks)
    named = ("unknown_role", "late_system", "repeated_role", "empty_turn", "orphan_tool")
    spoken = pl.col("role").filter(~pl.col("role").is_in(["system", "developer"]))
    found = turns.group_by("row", maintain_order=True).agg(
        *(pl.col(name).any() for name in named),
        n_turns=pl.len().cast(pl.Int64),
        n_answers=(pl.col("role") == "assistant").sum().cast(pl.Int64),
        chars=pl.col("chars").sum().cast(pl.Int64),
        starts_with_answer=spoken.first() != "user",
        no_answer=pl.col("role").last() != "assistant",
    )
    joined = talks.select("row").join(found, on="row", how="left", maintain_order="left")
    checks = {
        name: pl.col("n_turns").is_null() if name == "no_turns" else pl.col(name) for name in FAULTS
    }
    counts = (pl.col(name).fill_null(0) for name in ("n_turns", "n_answers", "chars"))
    facts = joined.select(*counts, turn_faults=fault_list(checks, config.ignore))
    names = dict(zip(facts.columns, _names(config), strict=True))
    return rows.select("row_id").with_columns(facts.rename(names))


def _judged(talks: pl.DataFrame) -> pl.DataFrame:
    """One row a turn, with the faults that it has by itself or after the one before it."""
    turns = talks.explode("messages").drop_nulls("messages").unnest("messages")
    calls = pl.col("tool_calls") if "tool_calls" in turns.columns else pl.lit(None)
    if isinstance(turns.schema.get("tool_calls"), pl.List):
        calls = pl.when(calls.list.len() > 0).then(1)
    role = pl.col("role").fill_null("")
    before = role.shift(1).over("row").fill_null("")
    content = pl.col("content").fill_null("")
    is_system = role.is_in(["system", "developer"])
    return turns.select(
        "row", role=role, chars=content.str.len_chars(),
        unknown_role=~role.is_in(_ROLES),
        late_system=is_system & (~is_system).cum_sum().over("row").gt(0),
        repeated_role=(role == before) & role.is_in(["user", "assistant"]),
        empty_turn=~content.str.contains(r"[^\s\p{C}]") & calls.is_null(),
        orphan_tool=(role == "tool") & ~before.is_in(["assistant", "tool"]),
    )  # fmt: skip
