from __future__ import annotations

import polars as pl

from databuild.fix.edit import EditConfig, edit_answers
from databuild.text.constraints import judge

LOWER = [{"kind": "lowercase", "value": ""}]


def rows(*responses: str | None, constraints=LOWER, prompt="p", finish="stop") -> pl.DataFrame:
    n = len(responses)
    return pl.DataFrame(
        {
            "row_id": [f"{prompt}{i}" for i in range(n)],
            "prompt": [prompt] * n,
            "response": responses,
            "constraints": [constraints] * n,
            "about": [["tomato"]] * n,
            "topic": ["tomatoes"] * n,
            "finish_reason": [finish] * n,
        },
        schema_overrides={"response": pl.String},
    )


def test_an_edited_answer_passes_and_names_its_parent():
    table = rows("Tomatoes like a lot of warm sun. They need wa", finish="length")
    made = edit_answers(table, EditConfig())
    (row,) = made.rows.rows(named=True)
    assert row["parent_ids"] == ["p0"]
    assert (row["origin"], row["finish_reason"]) == ("edited", "stop")
    assert judge(row["response"], LOWER, ["tomato"], finished=True).passed


def test_rows_without_an_edit_say_why():
    table = pl.concat(
        [
            rows(
                "tomatoes like a lot of warm sun.",
                "Sun.",
                "Tomatoes like a lot of warm sun.",
                "Tomatoes like a lot of WARM sun.",
                "Tomatoes love the long warm summer days.",
            ),
            rows(
                None,
                "Tomatoes are really very red and round.",
                prompt="q",
                constraints=[{"kind": "x", "value": ""}],
            ),
        ]
    )
    made = edit_answers(table, EditConfig(max_per_prompt=2))
    assert made.rows["parent_ids"].to_list() == [["p2"], ["p4"]]
    assert dict(made.dropped.rows()) == {
        "p0": "already passes", "p1": "no rule can mend it", "p3": "same edit as another",
    }  # fmt: skip
    errors = dict(zip(made.failed["parent_ids"].explode(), made.failed["error"], strict=True))
    assert errors["q0"] == "there is no answer"
    assert errors["q1"].startswith("unknown constraint 'x'")
    one = edit_answers(table, EditConfig(max_per_prompt=1))
    assert dict(one.dropped.rows())["p4"] == "enough edits of this prompt"


def test_edits_can_be_off():
    made = edit_answers(rows("Tomatoes like a lot of warm sun."), EditConfig(max_per_prompt=0))
    assert made.rows.is_empty()
    assert made.dropped["reason"].to_list() == ["edits are off"]
