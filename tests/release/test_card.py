"""The card: valid for the hub, safe, complete, and its lines of code run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.errors import RecipeError, SchemaError, StepError
from databuild.release.card import card
from databuild.release.drawing import plots
from databuild.release.tally import SAMPLE, Tally
from databuild.release.versions import Gate, Split, Version, Versions
from tests.release.conftest import tickets

if TYPE_CHECKING:
    from tests.release.conftest import Shop


def version(**more: object) -> Version:
    told = {
        "name": "x", "version": "1.0.0", "created": "2026-01-02T03:04:05+00:00", "databuild": "0.1.0",
        "recipe": "x", "run": "r", "fingerprint": "f" * 32, "files": [],
        "configs": {"sft": {"train": Split(step="a", rows=3, columns={})}},
    }  # fmt: skip
    return Version.model_validate({**told, **more})


def test_the_head_is_what_the_hub_reads() -> None:
    from huggingface_hub import DatasetCard

    data = {"sft": {"languages": {"en": 90, "no": 9, "und": 5, "xx": 1}, "text": "response"}}
    told = card(version(licence={"raw": "CC-BY-SA-4.0"}, about={"data": data}))
    found = DatasetCard(told).data.to_dict()
    assert found["license"] == ["cc-by-sa-4.0"]
    assert found["language"] == ["en", "no"]  # Norwegian, not false; what is rare may be an error
    assert found["size_categories"] == ["n<1K"]
    [config] = found["configs"]
    assert config["data_files"] == [{"split": "train", "path": "data/sft/train-*.parquet"}]


def test_names_and_reasons_are_no_markup() -> None:
    bad = "<script>alert(1)</script> | `x`\n# Title"
    made = {"step": "a", "use": "b.c", "words": bad, "options": {"keep": bad}, "in": 0, "out": 1,
            "dropped": 0, "failed": 1, "reasons": {bad: 1}}  # fmt: skip
    source = {"step": "a", "files": [bad], "n_files": 1, "digest": "d"}
    text = card(version(
        about={"made": [made], "sources": [source], "limits": [bad], "data": {}},
        gates=[Gate(name="leak", passed=False, told=bad, override=bad)], licence={"a": bad},
    ))  # fmt: skip
    prose = re.sub(r"`[^`\n]*`", "", text.replace("\\`", ""))
    assert "<script>" not in prose
    assert "\n# Title" not in text
    for line in text.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in {4, 5, 6}, line


def test_limits_say_what_was_not_checked_made_up_or_overridden() -> None:
    about = {
        "models": [{"identity": m, "step": "s", "use": "generate.respond", "role": "generator",
                    "sampling": {"k": 3}, "prompts": []} for m in ("a", "b")],
        "agreement": [{"step": "page", "votes": ["votes"], "alpha": 0.4, "low": None, "n_units": 9,
                       "least": None, "simulated": 12}],
        "data": {"sft": {"rows": 9000, "languages": {"en": 500}, "languages_of": 500, "text": "prompt"}},
        "limits": ["Only one shop."],
    }  # fmt: skip
    gates = [Gate(name="personal", passed=None, told="no"),
             Gate(name="shortfall", passed=False, told="split: fr has 1 of 9", override="few")]  # fmt: skip
    told = card(version(about=about, gates=gates)).partition("## Known limits")[2]
    for expected in (
        "Nobody looked for personal data", "The check shortfall was not passed: split: fr has 1 of 9",
        "written by 2 models", "12 of the votes that votes pulled are simulated",
        "in a sample of 500 rows", "Only one shop.",
    ):  # fmt: skip
        assert expected in told


def test_a_released_card_tells_strata_steps_licences_and_how_to_cite(shop: Shop) -> None:
    rows = [{**row, "tone": "kind" if n % 2 else "dry"} for n, row in enumerate(tickets(20))]
    section = (
        'licence: {raw: CC-BY-NC-4.0}\n  about: "What people ask a shop."\n  authors: [Ada, Bo]'
    )
    split = "parts: {train: 0.7, dev: 0.3}, stratify: tone}"
    shop.run(
        rows, **{"licence: {raw: CC-BY-4.0}": section, "parts: {train: 0.7, dev: 0.3}}": split}
    )
    folder = shop.release()
    text = (folder / "README.md").read_text("utf-8")
    assert "What people ask a shop." in text
    assert "| sft | `tone` | dry 10, kind 10 |" in text
    assert "(sample.split): Draw parts without replacement" in text
    assert (
        "Strictest of them together: CC-BY-NC-4.0, which asks for attribution, non-commercial."
        in text
    )
    assert "not legal advice" in text
    assert "author = {Ada and Bo}" in text
    found = Versions(shop.store, "shop").read("latest")
    drawn = {one.path for one in found.files if one.path.startswith("plots/")}
    assert "plots/sft-tone.svg" in drawn
    for path in drawn:
        assert f"]({path})" in text
        assert (folder / path).read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert {name for name, _ in plots(found)} == {p[6:-4] for p in drawn}


def test_who_has_only_the_folder_finds_where_a_row_comes_from_in_five_lines(
    shop: Shop, monkeypatch, capsys
) -> None:
    shop.run(tickets(20))
    folder = shop.release()
    [code] = re.findall(r"```python\n(.*?)\n```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) == 5
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(shop.folder / "cache"))
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 -- the card's own lines
    rows = names["rows"]
    assert rows.num_rows == 14  # type: ignore[attr-defined]
    told = capsys.readouterr().out
    assert "ingest.files" in told
    assert "rows.jsonl" in told


def test_a_licence_that_the_recipe_refuses_is_refused(shop: Shop) -> None:
    refuse = "licence: {raw: CC-BY-NC-4.0}\n  refuse_licences: [non-commercial]"
    shop.run(tickets(20), **{"licence: {raw: CC-BY-4.0}": refuse})
    with pytest.raises(StepError, match="gate `licence` is not passed: refused: non-commercial"):
        shop.release()
    with pytest.raises(RecipeError, match="refuse_licences names 'comercial'"):
        shop.run(tickets(20), **{"licence: {raw": "refuse_licences: [comercial]\n  licence: {raw"})


def test_a_round_that_there_was_not_is_said(shop: Shop) -> None:
    from databuild import api

    shop.run(tickets(20))
    with pytest.raises(SchemaError, match="none has a round 3"):
        api.release(shop.folder / "shop.yaml", "shop", turn=3, store=shop.store,
                    runs=shop.folder / "runs")  # fmt: skip


def test_what_is_counted_depends_on_no_order_and_no_cuts() -> None:
    n = 1200
    rows = pl.DataFrame({
        "row_id": [f"{n * 7919 % 1_000_003:032x}" for n in range(n)],
        "response": ["The parcel is on its way to you and will be there soon." if n % 3 else "包裹在路上。"
                     for n in range(n)],
        "tone": ["kind", "dry", None] * (n // 3), "score": [n / 4 if n % 5 else None for n in range(n)],
        "nan": [float("nan")] * n,
    })  # fmt: skip
    told = []
    for some in (rows, rows.reverse()):
        one = Tally(["tone", "row_id", "absent"])
        for cut in (some[:7], some[7:900], some[900:]):
            one.add("sft", cut)
        told.append(one.facts()["sft"])
    assert told[0] == told[1]
    assert told[0]["languages_of"] == SAMPLE == sum(told[0]["languages"].values())
    assert set(told[0]["languages"]) == {"en", "zh"}
    assert told[0]["strata"] == {"tone": {"(none)": 400, "dry": 400, "kind": 400}}
    assert told[0]["means"]["score"] == [960, 150.0]
    assert "nan" not in told[0]["means"]
    assert sum(told[0]["chars"].values()) == n
