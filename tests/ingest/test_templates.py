"""Records that are written alike are cut at their quotes: as any JSON reads, or not at all."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from databuild.ingest import lines
from databuild.ingest.files import FilesConfig, plan_splits, read_files
from databuild.ingest.lines import find_lines
from databuild.ingest.templates import read_alike

SHAPES = {"n": "int", "p": "str", "x": "float", "ok": "bool", "q": "str"}
ROW = {"n": 1, "p": "a", "x": 0.5, "ok": True, "q": "b"}


def alike(content: str | bytes, shapes=SHAPES) -> pl.DataFrame | None:
    data = content if isinstance(content, bytes) else content.encode()
    return read_alike(find_lines(data, 0), shapes)


def written(*rows: dict, **how) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, **how) + "\n" for row in rows)


def test_plain_records_are_cut_and_keep_every_value():
    rows = [
        ROW,
        {"n": -(10**17), "p": "", "x": 3, "ok": False, "q": "twelve bytes, or more: 天 😀 {}[],:'"},
        {"n": None, "p": "\u2028\u0085\ufeff \u00a0", "x": -1e-300, "ok": None, "q": " null "},
        {"n": 0, "p": "}", "x": None, "ok": True, "q": ": 1, "},
    ]
    frame = alike(written(*rows))
    assert frame is not None
    assert frame.to_dicts() == rows
    assert frame.schema == {
        "n": pl.Int64, "p": pl.String, "x": pl.Float64, "ok": pl.Boolean, "q": pl.String,
    }  # fmt: skip


@pytest.mark.parametrize("how", [{"separators": (",", ":")}, {"separators": (" , ", " : ")}])
def test_any_way_of_spacing_that_is_kept_up_is_read(how):
    assert alike(written(ROW, ROW, **how)).to_dicts() == [ROW, ROW]


def test_line_ends_and_a_missing_column_change_nothing():
    content = written(ROW, {**ROW, "q": "c"})
    plain = alike(content)
    assert_frame_equal(alike(content.replace("\n", "\r\n")), plain)
    assert_frame_equal(alike(content.rstrip("\n")), plain)
    assert_frame_equal(alike("\ufeff" + content), plain)
    wider = alike(content, {"m": "int", **SHAPES})
    assert_frame_equal(wider, plain.select(pl.lit(None, pl.Int64).alias("m"), pl.all()))


ODD_ROW = '{"n": 1, "p": "a", "x": 0.5, "ok": true, "q": "b"}'
ODD = [
    '{"n": 1, "p": "a", "x": 0.5, "ok": true, "q": "b" }',
    '{"n":1, "p": "a", "x": 0.5, "ok": true, "q": "b"}',
    '{"n": 1, "p": "a\\n", "x": 0.5, "ok": true, "q": "b"}',
    '{"n": 1, "p": "a\t", "x": 0.5, "ok": true, "q": "b"}',
    '{"n": 1, "p": "a\r", "x": 0.5, "ok": true, "q": "b"}',
    '{"n": 1, "p": "a\0", "x": 0.5, "ok": true, "q": "b"}',
    '{"n": "1", "p": "a", "x": 0.5, "ok": true, "q": "b"}',
    '{"n": 1, "p": 1, "x": 0.5, "ok": true, "q": "b"}',
    '{"n": 1, "p": null, "x": 0.5, "ok": true, "q": "b"}',
    '{"p": "a", "n": 1, "x": 0.5, "ok": true, "q": "b"}',
    '{"n": 1, "n": 1, "p": "a", "x": 0.5, "ok": true, "q": "b"}',
    '{"n": 1, "p": "a", "x": 0.5, "ok": true, "q": "b", "r": "c"}',
    '{"n": 1, "p": "a", "x": 0.5, "ok": true, "q": "b"} {}',
    '{"n": 1, "p": "a", "x": 0.5, "ok": true}',
    '{"n": 1, "p": "a", "x": 0.5, "ok": true, "q": "b"',
    '{"n": 1, "p": "a", "x": 0.5, "ok": true, "q": "b}',
    '{"n": 1, "p": "a", "x": [0.5], "ok": true, "q": "b"}',
    '{"n": 1, "p": "a"", "x": 0.5, "ok": true, "q": "b"}',
    '["n", 1]',
    "   ",
    *(ODD_ROW.replace("1", n, 1)
      for n in ("01", "1.0", "+1", "1e3", "-0", "", "1 ", "9223372036854775808", "1_0", "true")),
    *(ODD_ROW.replace("0.5", x)
      for x in ("NaN", "Infinity", "-inf", "1e999", ".5", "5.", "01.5", "-0", "0x1", "+1", "1_0")),
    *(ODD_ROW.replace("true", ok)
      for ok in ("True", "1", "nul", "truefalse", "{}")),
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_record_that_is_not_like_the_others_leaves_all_to_other_parsers(odd, is_first):
    plain = written(ROW, {**ROW, "p": "c"})
    assert alike(plain) is not None
    both = f"{odd}\n{plain}" if is_first else f"{plain}{odd}\n{plain}"
    assert alike(both) is None


def test_invalid_bytes_and_nested_columns_are_left_to_other_parsers():
    content = written(ROW, ROW)
    assert alike(content.encode().replace(b'"a"', b'"\xff"', 1)) is None
    assert alike(content.encode().replace(b'"a"', b'"\xed\xa0\x80"', 1)) is None
    assert alike(content, {**SHAPES, "q": "json"}) is None
    assert alike(content, {**SHAPES, "q": {"list": "str"}}) is None
    assert alike(content, {k: v for k, v in SHAPES.items() if k != "q"}) is None
    assert alike('{"a\\u0062": 1}\n', {"ab": "int"}) is None


_texts = st.text(st.characters(codec="utf-8"), max_size=15)
_row = st.fixed_dictionaries({
    "n": st.integers(-(2**63), 2**63 - 1) | st.none(), "p": _texts,
    "x": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5) | st.none(),
    "ok": st.booleans() | st.none(), "q": _texts,
})  # fmt: skip


@given(
    rows=st.lists(_row, min_size=1, max_size=8),
    odd=st.lists(st.sampled_from(ODD), max_size=1),
    places=st.randoms(),
    form=st.sampled_from(["lines", "array"]),
)
def test_what_is_cut_is_what_the_careful_parser_reads(tmp_path_factory, rows, odd, places, form):
    records = [json.dumps(row, ensure_ascii=False) for row in rows] + odd
    places.shuffle(records)
    content = "\n".join(records) if form == "lines" else "[" + ",\n ".join(records) + "]"
    path = tmp_path_factory.mktemp("alike") / "a.json"
    path.write_text(content, encoding="utf-8", newline="")
    config = FilesConfig(path="a.json", types=SHAPES)

    def read():
        made = [m for s in plan_splits(config, [path], 1 << 30) for m in read_files(s, config)]
        return pl.concat([m.rows for m in made]), pl.concat([m.failed for m in made])

    fast = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_read_fast", lambda *_: None)
        careful = read()
    assert_frame_equal(fast[0], careful[0], check_exact=True)
    assert_frame_equal(fast[1], careful[1])


def test_files_of_json_lines_and_arrays_are_read_so(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_read_any", lambda *_: pytest.fail("not written alike"))
    config = FilesConfig(path="a")
    rows = [{**ROW, "n": n} for n in range(200)]
    array = "[\n" + ",\n ".join(json.dumps(row) for row in rows) + "\n]\n"
    for name, content in (("a.jsonl", written(*rows)), ("a.json", array)):
        path = tmp_path / name
        path.write_text(content)
        for size in (lines.CHUNK_BYTES, 1000):
            made = [m for s in plan_splits(config, [path], size) for m in read_files(s, config)]
            read = pl.concat([m.rows for m in made])
            assert read.select(list(ROW)).to_dicts() == rows
