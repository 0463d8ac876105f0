from __future__ import annotations

import polars as pl
import pytest

from databuild.errors import SchemaError
from databuild.fix.mask import MaskConfig, mask_text
from databuild.fix.unmask import unmask_rows
from databuild.text.sealing import Seal

SECRET = "a secret of the tests, not of anybody else"  # noqa: S105 -- a test's own


@pytest.fixture
def sealed(monkeypatch):
    monkeypatch.setenv("TEST_MAPPING_KEY", SECRET)
    turns = [
        {"role": "user", "content": "I am bo@post.org"},
        {"role": "assistant", "content": "Hi bo@post.org"},
    ]
    rows = pl.DataFrame(
        {
            "row_id": ["a", "b"],
            "prompt": ["ann@post.org and 81.2.69.142", "plain [EMAIL]"],
            "messages": [turns, None],
        }
    )
    config = MaskConfig(columns=["prompt", "messages"], mapping_key_env="TEST_MAPPING_KEY")
    return rows, mask_text(rows, config, seed=7).rows


def test_texts_and_messages_are_restored(sealed):
    rows, masked = sealed
    assert masked["messages"].to_list()[0][1]["content"] == "Hi [EMAIL_2]"
    made = unmask_rows(masked, Seal(SECRET))
    assert made.select("prompt", "messages").equals(rows.select("prompt", "messages"))
    assert "pii_mapping" not in made.columns


def test_an_answer_that_was_made_from_a_masked_prompt_gets_the_values_of_its_stand_ins(sealed):
    _, masked = sealed
    masked = masked.with_columns(answer=pl.Series(["I wrote to [EMAIL_2].", "[EMAIL] is not mine"]))
    made = unmask_rows(masked, Seal(SECRET), ["answer"])
    assert made["answer"].to_list() == ["I wrote to bo@post.org.", "[EMAIL] is not mine"]


def test_a_table_that_was_not_masked_is_refused(sealed):
    with pytest.raises(SchemaError, match="there is no column 'pii_mapping'"):
        unmask_rows(sealed[0], Seal(SECRET))
    with pytest.raises(SchemaError, match="there is no column 'answr'"):
        unmask_rows(sealed[1], Seal(SECRET), ["answr"])
