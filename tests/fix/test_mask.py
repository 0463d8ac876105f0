from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild import api
from databuild.errors import SchemaError, StepError
from databuild.fix.mask import MAPPING, MaskConfig, mask_text
from databuild.fix.unmask import unmask_rows
from databuild.measure.pii import PiiConfig, measure_pii
from databuild.text.masking import unmasked
from databuild.text.pseudonyms import Placeholders, Pseudonyms
from databuild.text.sealing import Seal
from tests.text.test_pii import FOUND, NASTY

SECRET = "a secret of the tests, not of anybody else"  # noqa: S105 -- a test's own


def table(*texts, **columns):
    ids = [f"r{i}" for i in range(len(texts))]
    return pl.DataFrame({"row_id": ids, "prompt": pl.Series(texts, dtype=pl.String), **columns})


def mask(rows, **options):
    return mask_text(rows, MaskConfig(**options), seed=7).rows


def test_placeholders_tell_values_apart_within_a_row_and_over_its_columns():
    rows = table(
        "ann@post.org, bo@post.org, ann@post.org", "ann@post.org",
        response=["bo@post.org at 81.2.69.142", None],
    )  # fmt: skip
    made = mask(rows, columns=["prompt", "response"])
    assert made["prompt"].to_list() == ["[EMAIL], [EMAIL_2], [EMAIL]", "[EMAIL]"]
    assert made["response"].to_list() == ["[EMAIL_2] at [IP_ADDRESS]", None]
    assert made["fixes"].to_list()[0] == [
        {"column": "prompt", "fix": "mask.email", "n": 3},
        {"column": "response", "fix": "mask.email", "n": 1},
        {"column": "response", "fix": "mask.ip_address", "n": 1},
    ]


def test_a_placeholder_that_stands_in_the_text_already_is_not_used():
    assert mask(table("[EMAIL] is ann@post.org"))["prompt"][0] == "[EMAIL] is [EMAIL_2]"


@pytest.mark.parametrize("style", ["placeholder", "pseudonym"])
@given(st.lists(st.one_of(NASTY, st.none()), min_size=1, max_size=3))
def test_nothing_is_found_in_a_masked_text_and_a_second_time_changes_nothing(style, texts):
    rows = table(*texts)
    made = mask(rows, style=style)
    again = made.select("prompt", row_id=pl.Series(rows["row_id"]))
    assert measure_pii(again, PiiConfig())["prompt_pii_count"].to_list() == [0] * len(texts)
    assert mask(again, style=style)["prompt"].to_list() == made["prompt"].to_list()
    clean = measure_pii(rows, PiiConfig())["prompt_pii_count"] == 0
    assert made.filter(clean)["prompt"].to_list() == rows.filter(clean)["prompt"].to_list()
    assert made.filter(clean)["fixes"].list.len().sum() == 0


@pytest.mark.parametrize("style", ["placeholder", "pseudonym"])
@given(text=NASTY)
def test_a_sealed_mapping_puts_every_value_back(monkeypatch, style, text):
    monkeypatch.setenv("TEST_MAPPING_KEY", SECRET)
    made = mask(table(text), style=style, mapping_key_env="TEST_MAPPING_KEY")
    sealed = made[MAPPING][0]
    swaps = Seal(SECRET).open(sealed)["prompt"] if sealed else []
    assert unmasked(made["prompt"].to_list(), swaps) == [text]
    assert sealed is not None or made["prompt"][0] == text


def test_pseudonyms_are_stable_over_rows_keep_the_form_and_depend_on_the_key(monkeypatch):
    rows = table("Ann@Post.org, 536-22-8145, +44 20 7946 0958", "ann@post.org", "bo@post.org")
    first, second, third = mask(rows, style="pseudonym")["prompt"]
    mail, ssn, phone = first.split(", ")
    assert mail == second != third
    assert mail.endswith("@example.com")
    assert ssn.startswith("000-")
    assert phone.startswith("+1 ")
    monkeypatch.setenv("TEST_KEY", "sixteen or more chars")
    with_key = mask(rows, style="pseudonym", key_env="TEST_KEY")["prompt"][1]
    assert with_key != second
    assert mask_text(rows, MaskConfig(style="pseudonym", key_env="TEST_KEY"), seed=8).rows[
        "prompt"
    ][1] == with_key  # fmt: skip


@pytest.mark.parametrize(("kind", "marked"), FOUND)
def test_every_type_has_a_stable_pseudonym_that_differs(kind, marked):
    value = marked.partition("«")[2].partition("»")[0]
    names = Pseudonyms(b"k")
    assert names.make(kind, value, 0) == names.make(kind, value, 0) != value
    assert names.make(kind, value, 0) != names.make(kind, value, 1)
    assert names.make(kind, value, 0) != Pseudonyms(b"l").make(kind, value, 0)


def test_code_and_messages_are_masked_too():
    turns = [
        {"role": "user", "content": "```\nk = 'AKIAZ7QK4MPL2XW9RT3B'\n```"},
        {"role": "assistant", "content": None},
    ]
    rows = table("x", messages=[turns])
    made = mask(rows, columns="messages")["messages"][0].to_list()
    assert made == [{"role": "user", "content": "```\nk = '[API_KEY]'\n```"}, turns[1]]


def test_spans_of_ones_own_step_are_masked_as_well():
    spans = [{"type": "person", "start": 3, "end": 6}, {"type": "person", "start": 50, "end": 60}]
    rows = table("Mr Lee, lee@post.org", prompt_names=[spans])
    assert mask(rows, spans="prompt_names")["prompt"][0] == "Mr [PERSON], [EMAIL]"
    with pytest.raises(SchemaError, match=r"'prompt_names' of spans belongs to none of \['answer'"):
        mask(rows.with_columns(answer="prompt"), columns="answer", spans="prompt_names")


def test_a_secret_that_is_missing_or_short_is_said(monkeypatch):
    with pytest.raises(StepError, match="NO_SUCH_KEY is not set"):
        mask(table("a"), mapping_key_env="NO_SUCH_KEY")
    monkeypatch.setenv("SHORT_KEY", "abc")
    with pytest.raises(StepError, match=r"SHORT_KEY holds 3 characters; a secret has 16 or more"):
        mask(table("a"), style="pseudonym", key_env="SHORT_KEY")


def test_a_mapping_opens_only_with_its_secret_and_does_not_show_what_is_in_it():
    seal = Seal(SECRET)
    text = seal.close({"p": [("[EMAIL]", "ann@post.org")]}, "row")
    assert text == seal.close({"p": [("[EMAIL]", "ann@post.org")]}, "row")
    assert text != seal.close({"p": [("[EMAIL]", "ann@post.org")]}, "other row")
    assert "ann" not in text
    for other in (Seal(SECRET + "x"), seal):
        with pytest.raises(StepError, match="sealed with another secret, or was changed"):
            other.open(text if other is not seal else text[:-4] + "AAAA")


def test_masking_twice_keeps_both_mappings(monkeypatch):
    monkeypatch.setenv("TEST_MAPPING_KEY", SECRET)
    rows = table("ann@post.org", answer=["81.2.69.142"])
    once = mask(rows, mapping_key_env="TEST_MAPPING_KEY")
    both = rows.with_columns(once["prompt"], once[MAPPING], once["fixes"])
    twice = mask(both, columns="answer", mapping_key_env="TEST_MAPPING_KEY")
    opened = [Seal(SECRET).open(part) for part in twice[MAPPING][0].split(".")]
    assert opened == [
        {"prompt": [("[EMAIL]", "ann@post.org")]},
        {"answer": [("[IP_ADDRESS]", "81.2.69.142")]},
    ]
    assert [note["fix"] for note in twice["fixes"][0]] == ["mask.email", "mask.ip_address"]


def test_changed_texts_get_the_values_of_their_placeholders():
    swaps = [("[EMAIL]", "a@x.org"), ("[EMAIL_2]", "b@x.org"), ("[EMAIL]", "a@x.org")]
    assert unmasked(["[EMAIL_2] wrote to [EMAIL]", None], swaps) == [
        "b@x.org wrote to a@x.org",
        None,
    ]
    assert Placeholders().make("person name", "x", 0) == "[PERSON_NAME]"


@pytest.mark.parametrize("style", ["placeholder", "pseudonym"])
def test_real_sentences_are_clean_after_masking_and_whole_again_after_unmasking(
    monkeypatch, shared_data, style
):
    monkeypatch.setenv("TEST_MAPPING_KEY", SECRET)
    texts = pl.read_parquet(shared_data / "pii_synthetic.parquet")["full_text"].to_list()
    made = mask(table(*texts), style=style, mapping_key_env="TEST_MAPPING_KEY")
    again = made.select("prompt", MAPPING, row_id=pl.int_range(pl.len()).cast(pl.String))
    assert measure_pii(again, PiiConfig())["prompt_pii_count"].sum() == 0
    assert made[MAPPING].is_not_null().sum() > 100
    assert unmask_rows(again, Seal(SECRET))["prompt"].to_list() == texts


PLUGIN = '''
import polars as pl
from databuild import StepConfig, step


class NamesConfig(StepConfig):
    """Options."""


@step("own.names", kind="measure", sees="row", version=1, reads=("prompt",), adds=("prompt_names",))
def find_names(rows: pl.DataFrame, config: NamesConfig) -> pl.DataFrame:
    """A stand-in for a model that recognises names."""
    spans = [[{"type": "person", "start": t.find("Lee"), "end": t.find("Lee") + 3}] if "Lee" in t else [] for t in rows["prompt"]]
    kind = pl.List(pl.Struct({"type": pl.String, "start": pl.Int64, "end": pl.Int64}))
    return rows.select("row_id", prompt_names=pl.Series(spans, dtype=kind))
'''


def test_a_recogniser_of_ones_own_is_a_plugin_before_the_mask(tmp_path):
    (tmp_path / "own.py").write_text(PLUGIN, "utf-8")
    (tmp_path / "a.jsonl").write_text('{"prompt": "Mr Lee, lee@post.org"}\n{"prompt": "no one"}\n')
    (tmp_path / "r.yaml").write_text(
        "name: own\nplugins: [own.py]\nsteps:\n  raw: {use: ingest.files, path: a.jsonl}\n"
        "  names: {use: own.names, from: raw}\n"
        "  masked: {use: fix.mask, from: names, spans: prompt_names}\n"
    )
    api.run(tmp_path / "r.yaml", runs=tmp_path / "runs")
    (part,) = (tmp_path / "runs" / "own").glob("masked-*/part-*.parquet")
    assert sorted(pl.read_parquet(part)["prompt"]) == ["Mr [PERSON], [EMAIL]", "no one"]
