from __future__ import annotations

import polars as pl

from databuild.measure.frequency import FrequencyConfig, measure_frequency


def frequencies(values: list[object], **kinds) -> list[int | None]:
    rows = pl.DataFrame({"row_id": [str(i) for i in range(len(values))], "x": values}, **kinds)
    found = measure_frequency(rows, FrequencyConfig(column="x")).table
    assert found["row_id"].equals(rows["row_id"])
    return found["x_frequency"].to_list()


def test_texts_that_differ_in_width_case_or_white_space_are_one():
    assert frequencies(["Hi there", "hi\u3000there ", "ＨＩ there", "Hi, there", "你好", "你好 "]) == [3, 3, 3, 1, 2, 2]  # fmt: skip


def test_nulls_are_not_equal_and_blanks_are():
    assert frequencies([None, None, "", " ", "a"]) == [None, None, 2, 2, 1]


def test_other_values_are_counted_too():
    assert frequencies([1.5, 1.5, float("nan"), None]) == [2, 2, None, None]
    chat = [{"role": "user", "content": "Hi"}]
    assert frequencies([chat, [{"role": "user", "content": " hi "}], [], None])[2:] == [1, None]
    assert frequencies([chat, chat, []]) == [2, 2, 1]


def test_the_most_frequent_are_told_first():
    rows = pl.DataFrame({"row_id": list("abcdef"), "prompt": ["b", "a", "A", "B", "c", "b"]})
    assert measure_frequency(rows, FrequencyConfig()).facts == {
        "different": 3,
        "repeated": 2,
        "most_frequent": [{"value": "b", "rows": 3}, {"value": "a", "rows": 2}],
    }


def test_no_rows_have_no_frequencies():
    rows = pl.DataFrame(schema={"row_id": pl.String, "prompt": pl.String})
    found = measure_frequency(rows, FrequencyConfig())
    assert found.table.schema == {"row_id": pl.String, "prompt_frequency": pl.Int64}
    assert found.facts["most_frequent"] == []
