from __future__ import annotations

import polars as pl
import pytest

from databuild.measure.leak import LeakConfig, measure_leaks

ROWS = pl.DataFrame(
    {
        "row_id": list("abcde"),
        "prompt": ["What is two and two?", "Sing!", "", None, "Ｓｉｎｇ!"],
        "response": ["Four.", "La la", "what is two and two?", None, "  "],
    }
)
DEV = pl.DataFrame({"row_id": ["z", "y"], "prompt": ["WHAT is  two and two?"] * 2})
EXAM = pl.DataFrame({"row_id": ["q", "r", "s"], "prompt": ["sing!", None, ""]})


def leaks(column: str, config: LeakConfig, *tables: pl.DataFrame, **others: pl.DataFrame):
    found = measure_leaks(ROWS, config, *tables, **others)
    names = [f"{column}_is_leaked", f"{column}_leaked_in", f"{column}_leaked_row_id"]
    return found.table.select(names).rows()


def test_the_first_table_and_its_smallest_row_are_named():
    not_leaked = (False, None, None)
    assert leaks("prompt", LeakConfig(), DEV, exam=EXAM) == [
        (True, "against", "y"), (True, "exam", "q"), not_leaked, not_leaked, (True, "exam", "q"),
    ]  # fmt: skip


def test_an_answer_may_leak_a_prompt():
    config = LeakConfig(columns=("prompt", "response"), in_columns="prompt")
    assert [row[0] for row in leaks("response", config, DEV)] == [False, False, True, False, False]
    assert measure_leaks(ROWS, config, DEV).facts == {"leaked": {"prompt": 1, "response": 1}}


def test_columns_are_asked_of_the_tables_that_must_have_them():
    config = LeakConfig(columns="response", in_columns=("prompt", "question"))
    assert measure_leaks.columns_read(config, "rows") == ("response",)
    assert measure_leaks.columns_read(config, "against") == ("prompt", "question")
    assert measure_leaks.columns_read(config, "exam") == ("prompt", "question")
    assert measure_leaks.columns_read(LeakConfig(), "exam") == ("prompt",)


def test_nothing_leaks_from_an_empty_table_or_into_one():
    assert not any(row[0] for row in leaks("prompt", LeakConfig(), DEV.head(0)))
    assert measure_leaks(ROWS.head(0), LeakConfig(), DEV).table.is_empty()


def test_one_column_at_least():
    with pytest.raises(ValueError, match="at least 1 item"):
        LeakConfig(columns=())
