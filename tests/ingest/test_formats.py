"""Every format that a file may have, whatever it is called and packed with, and its faults."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tempfile
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pyarrow import parquet

from databuild.errors import DatabuildError, RecipeError, StepError
from databuild.ingest import arrow_tables, layouts, lines, pieces, records, spool
from databuild.ingest.files import FilesConfig, plan_splits, read_files
from databuild.ingest.json_stream import frame
from databuild.ingest.streams import Stream, TornError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ONE = 1 << 30
ROWS = [{"p": f"row {i} — 例", "n": i, "tags": ["a,b", '"]}']} for i in range(7)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


class Made:
    """What was made of files."""

    def __init__(self, files: Sequence[Path], shard_bytes: int = ONE, **options: Any) -> None:
        config = FilesConfig(path=("no-name",), **options)
        self.splits = json.loads(json.dumps(plan_splits(config, files, shard_bytes)))
        pieces = [list(read_files(split, config)) for split in self.splits]
        made = [piece for split in pieces for piece in split]
        self.n_pieces = len(made)
        self.rows = pl.concat([m.rows for m in made])
        self.failed = pl.concat([m.failed for m in made if m.failed is not None])
        self.notes: Counter[str] = sum((Counter(m.notes) for m in made), Counter())

    @property
    def own(self) -> pl.DataFrame:
        return self.rows.drop("parent_ids", "source_file", "source_record")

    @property
    def errors(self) -> list[str]:
        return [error.partition(":")[0] for error in self.failed["error"]]


def put(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def made_of(folder: Path, name: str, content: bytes | str, **options: Any) -> Made:
    return Made([put(folder, name, content)], **options)


# ------------------------------------------------------------------------------------- JSON layouts

AS_ARRAY = json.dumps(ROWS, ensure_ascii=False, indent=1)
COLUMNS = {name: [row[name] for row in ROWS] for name in ("p", "n", "tags")}
LAYOUTS = {
    "lines": LINES.decode(),
    "lines with returns": LINES.decode().replace("\n", "\r\n"),
    "array": AS_ARRAY,
    "array in one line": json.dumps(ROWS),
    "objects over several lines": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "rows under a key": json.dumps({"version": [1], "note": '"data": [{', "data": ROWS, "end": 1}),
    "rows under a key, over several lines": json.dumps({"version": "1", "data": ROWS}, indent=2),
    "pandas split": json.dumps({
        "columns": list(ROWS[0]), "index": list(range(7)), "data": [list(r.values()) for r in ROWS],
    }),
    "pandas columns": json.dumps({
        name: {str(i): held for i, held in enumerate(column)} for name, column in COLUMNS.items()
    }),
    "pandas index": json.dumps({str(i): row for i, row in enumerate(ROWS)}),
    "datasets": json.dumps(COLUMNS),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["json", "jsonl", "data"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_json_is_read_whatever_its_layout_and_its_name(
    tmp_path: Path, layout: str, suffix: str
) -> None:
    is_one_line = layout.startswith(("pandas", "datasets")) or layout == "rows under a key"
    if suffix == "jsonl" and is_one_line:
        pytest.skip("one line of JSON lines is one record")
    made = made_of(tmp_path, f"a.{suffix}", "\ufeff" + LAYOUTS[layout])
    assert made.failed.is_empty()
    assert made.own.to_dicts() == ROWS


@pytest.mark.parametrize(
    "layout", ["lines", "array", "rows under a key", "objects over several lines"]
)
@pytest.mark.parametrize("size", [1, 40, 100])
def test_pieces_of_any_size_hold_every_record_once(
    tmp_path: Path, layout: str, size: int, monkeypatch: Any
) -> None:
    path = put(tmp_path, "a.json", LAYOUTS[layout])
    whole = Made([path])
    monkeypatch.setattr(lines, "CHUNK_BYTES", size)
    cut = Made([path])
    assert_frame_equal(cut.rows, whole.rows)
    assert cut.n_pieces > 1


def test_one_object_is_one_record_and_a_key_can_be_named(tmp_path: Path) -> None:
    one = {"messages": [{"role": "user", "content": "Hi"}], "tags": ["a"]}
    assert made_of(tmp_path, "a.json", json.dumps(one)).own.to_dicts() == [one]
    named = {"dialogues": ROWS, "data": [{"x": 1}]}
    assert made_of(tmp_path, "b.json", json.dumps(named), under="dialogues").own.to_dicts() == ROWS


def test_a_broken_line_in_the_middle_does_not_touch_its_neighbours(tmp_path: Path) -> None:
    content = LINES.replace(b'"row 3', b'"row" 3')
    made = made_of(tmp_path, "a.jsonl.gz", gzip.compress(content))
    assert made.rows["n"].to_list() == [0, 1, 2, 4, 5, 6]
    assert made.failed.select("source_line").to_series().to_list() == [4]
    at = made.failed["source_record"][0]
    assert content[at:].startswith(b'{"p": "row" 3')


def test_a_string_with_strange_line_ends_stays_one_record(tmp_path: Path) -> None:
    odd = "a\u2028b\u2029c\u0085d"
    content = json.dumps({"p": odd}, ensure_ascii=False) + '\n{"p": "x\\u000by"}\n'
    for name, text in (
        ("a.jsonl", content),
        ("b.json", f"[{content.strip().replace(chr(10), ',')}]"),
    ):
        assert made_of(tmp_path, name, text).rows["p"].to_list() == [odd, "x\x0by"]


def test_every_failed_record_of_a_later_split_says_its_line(tmp_path: Path) -> None:
    path = put(tmp_path, "a.jsonl", b'{"n": 1}\n' * 10 + b"broken\n" + b'{"n": 1}\n' * 5 + b"too")
    made = Made([path], shard_bytes=20)
    assert len(made.splits) > 3
    assert made.failed["source_line"].to_list() == [11, 17]


@given(
    data=st.lists(
        st.sampled_from(['{"a": 1}', '{"a": "],[\\""}', '{"a": [{}]}', "7", '"x,]"', " "])
    )
)
def test_framing_finds_the_elements_of_an_array(data: list[str]) -> None:
    text = f"{','.join(data)}]".encode()
    found = frame(text, in_array=True)
    parts = [text[s:e].decode() for s, e in zip(found.starts_L, found.ends_L, strict=True)]
    wanted = [part.strip() for part in data]
    assert parts == (wanted[:-1] if wanted and not wanted[-1] else wanted)
    assert found.closed
    assert found.consumed == len(text)


@pytest.mark.parametrize("slashes", range(5))
def test_an_escaped_quote_ends_no_string(slashes: int) -> None:
    text = ('{"a": "' + "\\" * slashes + '"').encode()
    found = frame(text + b', "b": ","}, 5]', in_array=True)
    assert len(found.starts_L) == (2 if slashes % 2 == 0 else 0)


# --------------------------------------------------------------------------------------- packing


def zipped(members: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


HALF = LINES.index(b"\n", len(LINES) // 2) + 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a"])
@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_packed_files_are_told_by_their_bytes_and_may_have_several_members(
    tmp_path: Path, name: str, pack: Any
) -> None:
    made = made_of(tmp_path, name, pack(LINES[:HALF]) + pack(LINES[HALF:]))
    assert made.own.to_dicts() == ROWS
    assert made.failed.is_empty()


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_truncated_or_damaged_file_says_how_many_rows_were_read(
    tmp_path: Path, pack: Any
) -> None:
    whole = pack(LINES) + pack(LINES)
    made = made_of(tmp_path, "a.jsonl", whole[: len(pack(LINES)) + 10])
    assert made.rows.height == 7
    assert made.failed["error"][-1].startswith("truncated ")
    assert made.failed["error"][-1].endswith("; 7 rows were read before")
    garbage = made_of(tmp_path, "b.jsonl", pack(LINES) + b"garbage")
    assert garbage.rows.height == 7
    assert garbage.failed["error"][-1].startswith("broken ")


def test_zeros_after_a_gzip_member_are_no_fault(tmp_path: Path) -> None:
    made = made_of(tmp_path, "a.jsonl.gz", gzip.compress(LINES) + b"\0" * 512)
    assert made.failed.is_empty()
    assert made.rows.height == 7


def test_members_of_a_zip_are_files_and_nothing_is_unpacked_to_disk(tmp_path: Path) -> None:
    path = put(tmp_path, "in/a.zip", zipped({
        "x.jsonl": LINES[:HALF], "../y.json": b'[{"p": "z", "n": 9, "tags": []}]',
        "__MACOSX/._x.jsonl": b"no", "deep/w.jsonl.gz": gzip.compress(LINES[HALF:]),
    }))  # fmt: skip
    made = Made([path])
    names = made.rows["source_file"].unique().sort().to_list()
    assert names == ["a.zip/../y.json", "a.zip/deep/w.jsonl.gz", "a.zip/x.jsonl"]
    assert made.rows.height == 8
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "in"]


def test_a_member_of_no_known_format_is_a_failed_record(tmp_path: Path) -> None:
    made = made_of(
        tmp_path, "a.zip", zipped({"x.jsonl": LINES, "x.docx": b"PK", "b.parquet": b"PAR1"})
    )
    assert made.rows.height == 7
    assert made.failed.select("source_file", "error").rows() == [
        ("a.zip/x.docx", "unknown format: neither the member's name nor its first bytes tell it; 0 rows were read before"),
        ("a.zip/b.parquet", "truncated or broken parquet: Parquet file size is 4 bytes, smaller than the minimum file footer (8 bytes); 0 rows were read before"),
    ]  # fmt: skip


def as_table(form: str) -> bytes:
    table = pa.Table.from_pylist(ROWS)
    held = io.BytesIO()
    if form == "parquet":
        parquet.write_table(table, held, row_group_size=3)
    else:
        new = pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream
        with new(held, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    return held.getvalue()


@pytest.mark.parametrize("form", ["parquet", "arrow", "stream"])
@pytest.mark.parametrize("pack", [gzip.compress, zstd, lambda data: zipped({"in/x": data})])
def test_packed_tables_are_unpacked_for_a_while_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, pack: Any
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    path = put(tmp_path, "x.bin", pack(as_table(form)))
    made = Made([path], shard_bytes=10)
    assert made.own.to_dicts() == ROWS
    assert made.rows["source_record"].to_list() == list(range(7))
    assert made.failed.is_empty()
    assert len(made.splits) == 1
    assert not list((tmp_path / "scratch").iterdir())


def test_a_packed_table_beside_plain_ones_and_one_that_breaks_off(tmp_path: Path) -> None:
    whole = as_table("parquet")
    torn = gzip.compress(whole)[:-40]
    paths = [put(tmp_path, name, data) for name, data in [
        ("a.parquet", whole), ("b.parquet.gz", gzip.compress(whole)), ("c.parquet.gz", torn),
    ]]  # fmt: skip
    made = Made(paths, shard_bytes=10)
    assert made.rows.height == 14
    assert made.rows["source_file"].value_counts().sort("source_file")["count"].to_list() == [7, 7]
    assert made.errors == ["truncated gzip"]


def test_a_packed_table_above_the_limit_is_a_failed_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MOST_BYTES", 1 << 20)
    bomb = gzip.compress(b"PAR1" + b"\0" * (3 << 20))
    made = Made([put(tmp_path, "a.parquet", as_table("parquet")), put(tmp_path, "b.gz", bomb)])
    assert made.rows.height == 7
    assert made.failed["error"][0].startswith("too large: a packed table may have 1 MiB unpacked")


def test_a_full_folder_of_temporary_files_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "a.gz", gzip.compress(as_table("parquet")))

    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(TornError, match="cannot be unpacked: No space left on device in the"):
        spool._unpack(Stream(path), Full())


def test_a_damaged_zip_member_is_a_failed_record(tmp_path: Path) -> None:
    held = bytearray(zipped({"x.jsonl": LINES * 50, "z.jsonl": LINES}))
    held[60] ^= 0xFF
    made = made_of(tmp_path, "a.zip", bytes(held))
    assert made.rows.height >= 7
    assert any(error.startswith("broken zip member") for error in made.failed["error"])
    with pytest.raises(RecipeError, match="this zip archive cannot be read"):
        made_of(tmp_path, "b.zip", bytes(held[:-30]))


# ------------------------------------------------------------------------------------- encodings

CHINESE = "这是一个很好的例子，我们可以在这里看到中文的文本。\n今天天气不错！\n"
WESTERN = "Le café était déjà fermé, naïf garçon – “voilà” l’été à Gruyères.\n"


@pytest.mark.parametrize(
    ("text", "encoding", "noted"),
    [
        (CHINESE, "utf-8", None), (CHINESE, "utf-8-sig", None), (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "utf-16", "utf-16-le"), (WESTERN, "utf-16-be", "utf-16-be"),
        (WESTERN, "utf-16-le", "utf-16-le"), (WESTERN, "cp1252", "cp1252"),
        (WESTERN, "utf-32", "utf-32-le"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["a.jsonl", "a.json", "a.csv", "a.txt", "a.jsonl.gz"])
def test_the_encoding_of_a_file_is_found(
    tmp_path: Path, text: str, encoding: str, noted: str | None, form: str
) -> None:
    if form == "a.txt":
        content, column, wanted = text, "text", [text]
    elif form == "a.csv":
        content, column, wanted = f'n,p\n1,"{text}"\n', "p", [text]
    elif form == "a.json":
        content, column, wanted = json.dumps([{"p": text}], ensure_ascii=False), "p", [text]
    else:
        content, column, wanted = json.dumps({"p": text}, ensure_ascii=False) + "\n", "p", [text]
    data = content.encode(encoding)
    made = made_of(tmp_path, form, gzip.compress(data) if form.endswith("gz") else data)
    assert made.rows[column].to_list() == wanted
    assert dict(made.notes) == ({f"files read as {noted}": 1} if noted else {})


@pytest.mark.parametrize("head", [LINES, b""])
def test_columns_in_json_above_the_limit_are_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(layouts, "MOST_BYTES", 1 << 20)
    columns = {"p": ["x" * 100] * 11_000, "n": [*range(11_000)], "tags": [[]] * 11_000}
    paths = [put(tmp_path, "b.json", json.dumps(columns))]
    if head:
        paths.insert(0, put(tmp_path, "a.jsonl", head))
    made = Made(paths)
    assert made.rows.height == (7 if head else 0)
    assert made.failed["error"].to_list() == [
        "too large: JSON that holds columns is read whole, up to 1 MiB; write it as JSON Lines "
        "(pandas: to_json(orient='records', lines=True)) or as Parquet; no row of the file was read"
    ]


def test_surrogates_of_columns_in_json_are_repaired_and_counted_once(tmp_path: Path) -> None:
    made = made_of(tmp_path, "a.json", '{"p": ["a\\ud800", "b"], "q": ["\\udc00", "c"]}')
    assert made.own.rows() == [("a\ufffd", "\ufffd"), ("b", "c")]
    assert made.notes == {records.REPAIRED: 2}


LEGACY = {
    "big5": "今天早上我們一起去市場買了新鮮的水果。老師說，這個問題的答案並不難，只要大家多想一想就可以了。",
    "cp932": "今日はとても良い天気でしたので、友だちと一緒に公園へ行きました。たくさん写真を撮りました。",
    "euc_jp": "お弁当を食べてから、桜の花を見て、たくさん写真を撮りました。明日もまた来たいと思います。",
    "cp949": "오늘은 날씨가 매우 좋아서 친구와 함께 공원에 갔습니다. 꽃을 보면서 사진을 많이 찍었습니다. 내일도 다시 오고 싶습니다.",
    "cp1251": "Сегодня утром мы пошли на рынок и купили свежие фрукты. Погода была хорошая.",
    "koi8_r": "Сегодня утром мы пошли на рынок и купили свежие фрукты. Погода была хорошая.",
    "cp1250": "Dziś rano poszliśmy na targ i kupiliśmy świeże owoce. Źle się stało, że zaczęło padać.",
    "cp1253": "Σήμερα το πρωί πήγαμε στην αγορά και αγοράσαμε φρέσκα φρούτα. Ο καιρός ήταν καλός.",
    "cp1255": "הבוקר הלכנו לשוק וקנינו פירות טריים. מזג האוויר היה נעים והילדים רצו לשחק בפארק.",
    "cp1256": "ذهبنا هذا الصباح إلى السوق واشترينا فاكهة طازجة. كان الطقس جميلا.",
}


@pytest.mark.parametrize("encoding", LEGACY)
@pytest.mark.parametrize("form", ["a.jsonl", "a.csv", "a.txt"])
def test_a_legacy_encoding_is_found_and_counted(tmp_path: Path, encoding: str, form: str) -> None:
    text = LEGACY[encoding]
    plain = json.dumps({"p": text, "n": 1}, ensure_ascii=False) + "\n"
    content = {"a.jsonl": plain * 3 + '{"p": "plain", "n": 2}\n', "a.csv": f'n,p\n1,"{text}"\n'}
    made = made_of(tmp_path, form, content.get(form, text).encode(encoding))
    assert made.rows["text" if form == "a.txt" else "p"][0] == text
    assert made.failed.is_empty()
    assert dict(made.notes) == {f"files read as {encoding}": 1}
    assert made.splits[0]["encoding"] == encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Ναι.", "cp1253"),  # too short
        (
            "Tomáš a Žofie šli na trh, koupili švestky, žito a těšili se. Ještě přišlo léto.",
            "cp1250",
        ),  # or 1252
        ("".join(map(chr, range(0x80, 0x100))), "latin-1"),  # no language
    ],
)
def test_an_encoding_that_is_not_sure_fails_its_records_and_asks(
    tmp_path: Path, text: str, encoding: str
) -> None:
    lines = '{"p": "plain"}\n{"p": "' + text + '"}\n'
    made = made_of(tmp_path, "a.jsonl", lines.encode(encoding))
    assert made.rows["p"].to_list() == ["plain"]
    assert made.errors == ["invalid UTF-8"]
    is_much = len(text) > 20  # a few bytes say nothing of a file
    assert dict(made.notes) == (
        {"files of unknown encoding (set `encoding`)": 1} if is_much else {}
    )


def test_a_long_line_is_judged_by_its_beginning(tmp_path: Path) -> None:
    text = LEGACY["cp949"] * 2000
    made = made_of(tmp_path, "a.txt", text.encode("cp949"))
    assert made.rows["text"].to_list() == [text]


def test_without_the_library_a_legacy_encoding_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    with pytest.raises(StepError, match=r"needs the package charset-normalizer.*\[encodings\]"):
        made_of(tmp_path, "a.txt", LEGACY["koi8_r"].encode("koi8_r"))
    assert made_of(tmp_path, "b.txt", CHINESE.encode("gb18030")).rows["text"].to_list() == [CHINESE]


def test_a_declared_encoding_is_used_and_checked(tmp_path: Path) -> None:
    made = made_of(
        tmp_path, "a.jsonl", '{"p": "日本語"}\n'.encode("shift_jis"), encoding="shift_jis"
    )
    assert made.rows["p"].to_list() == ["日本語"]
    with pytest.raises(ValueError, match="unknown encoding 'utf-9'"):
        FilesConfig(path="a", encoding="utf-9")


def test_a_surrogate_in_something_too_deep_is_a_failed_record(tmp_path: Path) -> None:
    deep = '{"p": ' + "[" * 900 + '"\\ud800"' + "]" * 900 + "}\n"
    made = made_of(tmp_path, "a.jsonl", '{"p": 1}\n' + deep)
    assert made.rows.height + made.failed.height == 2


def test_a_few_bad_bytes_in_utf8_fail_their_records_and_change_no_others(tmp_path: Path) -> None:
    content = LINES + b'{"p": "caf\xe9", "n": 8}\n' + LINES
    made = made_of(tmp_path, "a.jsonl", content)
    assert made.errors == ["invalid UTF-8"]
    assert made.own.to_dicts() == ROWS + ROWS


def test_lone_surrogates_are_repaired_and_counted(tmp_path: Path) -> None:
    content = '{"p": "a\\ud800b", "\\udc00": "\\ud83d\\ude00"}\n{"p": "\\uD83D\\uDE00"}\n'
    made = made_of(tmp_path, "a.jsonl", content)
    assert made.own.rows() == [("a\ufffdb", "😀"), ("😀", None)]
    assert made.own.columns == ["p", "\ufffd"]
    assert made.notes == {records.REPAIRED: 2}
    wide = '{"p": "a\ud800b"}\n'.encode("utf-16-le", "surrogatepass") * 9
    made = made_of(tmp_path, "b.jsonl", wide)
    assert made.rows["p"].to_list() == ["a\ufffdb"] * 9
    assert made.notes == {records.REPAIRED: 9, "files read as utf-16-le": 1}


# ------------------------------------------------------------------------------------------- CSV


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_and_null_is_null(tmp_path: Path, separator: str) -> None:
    text = '"id"§"say"§note\r\n1§"a, b; c|\n""d"""§\\N\r\n2§§"x\ty"\r\n'.replace("§", separator)
    made = made_of(tmp_path, "a.csv", "\ufeff" + text)
    assert made.own.columns == ["id", "say", "note"]
    assert made.own.rows() == [("1", 'a, b; c|\n"d"', None), ("2", None, "x\ty")]
    kept = made_of(tmp_path, "a.csv", text, nulls="", separator=separator)
    assert kept.own["note"].to_list() == ["\\N", "x\ty"]


def test_csv_streams_and_counts_its_lines(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(pieces, "_PIECE_RECORDS", 4)
    text = "a,b\n" + "".join(f'{i},"x\ny"\n' for i in range(9)) + "1,2,3\n"
    made = made_of(tmp_path, "a.csv.gz", gzip.compress(text.encode()))
    assert made.n_pieces == 3
    assert made.rows["source_record"].to_list() == list(range(9))
    assert made.failed.select("source_record", "source_line").rows() == [(9, 20)]


# -------------------------------------------------------------------------------- Parquet and Arrow


def odd_table() -> pa.Table:
    import datetime as dt
    from decimal import Decimal

    return pa.table({
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "maps": pa.array([[[("k", b"\xff")]], None], pa.list_(pa.map_(pa.string(), pa.binary()))),
        "image": pa.array([{"bytes": b"\x00\xff", "path": "a"}, None]),
        "kind": pa.array(["x", None]).dictionary_encode(),
        "price": pa.array([Decimal("1.10"), None]),
        "long": pa.array([Decimal("1.10"), None], pa.decimal256(50, 2)),
        "day": pa.array([dt.date(2024, 2, 29), None]),
        "at": pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None]),
        "took": pa.array([dt.timedelta(seconds=2), None]),
        "gap": pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
        "score": pa.array([float("nan"), 1.5]),
        "view": pa.array(["v", None], pa.string_view()),
        "raw": pa.array([b"\xff", None]),
        "pair": pa.array([[1, 2], None], pa.list_(pa.int32(), 2)),
    })  # fmt: skip


def arrow_file(table: pa.Table, *, stream: bool) -> bytes:
    held = io.BytesIO()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(held, table.schema) as writer:
        writer.write_table(table)
    return held.getvalue()


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "stream.arrow"])
def test_tables_of_any_column_types_become_rows(tmp_path: Path, name: str) -> None:
    from pyarrow import parquet

    table = odd_table()
    if name == "a.parquet":  # Parquet has no intervals
        held = io.BytesIO()
        table = table.drop_columns(["gap"])
        parquet.write_table(table, held)
        content = held.getvalue()
    else:
        content = arrow_file(table, stream=name.startswith("stream"))
    made = made_of(tmp_path, name, content)
    row = made.own.row(0, named=True)
    wanted = {
        "map": [{"key": "k", "value": 1}], "maps": [[{"key": "k", "value": "/w=="}]],
        "image": {"bytes": "AP8=", "path": "a"}, "kind": "x", "long": "1.10", "took": 2_000_000,
        "score": None, "view": "v", "raw": b"\xff",
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted
    assert str(row["price"]) == "1.10"
    assert list(row["pair"]) == [1, 2]
    assert made.own.row(1, named=True)["score"] == 1.5
    assert made.notes == {records.MISSING: 1}
    from databuild.schema.identity import content_ids

    assert content_ids(made.own, made.own.columns).n_unique() == 2


def test_row_groups_divide_a_parquet_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(arrow_tables, "PIECE_ROWS", 3)
    pl.DataFrame({"n": range(25)}).write_parquet(tmp_path / "a.parquet", row_group_size=10)
    made = Made([tmp_path / "a.parquet"], shard_bytes=1)
    assert len(made.splits) == 3
    assert made.rows["n"].to_list() == made.rows["source_record"].to_list() == list(range(25))
    assert made.n_pieces == 4 + 4 + 2


def test_a_text_that_is_not_utf8_fails_its_row(tmp_path: Path) -> None:
    texts = pa.array([b"good", b"\xff", b"fine"]).view(pa.string())
    made = made_of(tmp_path, "a.arrow", arrow_file(pa.table({"t": texts}), stream=True))
    assert made.rows.select("t", "source_record").rows() == [("good", 0), ("fine", 2)]
    assert made.failed.select("error", "source_record").rows() == [
        ("invalid bytes: a text of this row is not UTF-8", 1)
    ]


def test_a_damaged_table_says_how_many_rows_were_read(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(1000))})
    batches = [arrow_file(pa.table({"n": table["n"].slice(i, 100)}), stream=True) for i in (0,)]
    made = Made([
        put(tmp_path, "a.arrow", arrow_file(table, stream=True)[:-4000]),
        put(tmp_path, "b.arrow", batches[0]),
    ])  # fmt: skip
    assert made.rows.height == 100
    assert made.failed["error"][0].startswith("truncated or broken arrow")
    assert made.failed["error"][0].endswith("0 rows were read before")


def test_a_broken_file_among_good_ones_is_a_failed_record(tmp_path: Path) -> None:
    pl.DataFrame({"n": [1]}).write_parquet(tmp_path / "a.parquet")
    made = Made([tmp_path / "a.parquet", put(tmp_path, "b.parquet", b"PAR1 cut short")])
    assert made.rows["n"].to_list() == [1]
    assert made.errors == ["truncated or broken parquet"]
    binary = Made(
        [put(tmp_path, "c.jsonl", LINES), put(tmp_path, "d.jsonl", bytes(range(256)) * 9)]
    )
    assert binary.errors == ["binary file"]
    assert binary.rows.height == 7


# ----------------------------------------------------------------------------------------- folders


def test_hidden_and_marker_files_are_passed_over_and_counted(tmp_path: Path) -> None:
    names = ["_SUCCESS", ".part-0.jsonl.crc", "README.md", "dataset_info.json", "part-0.jsonl"]
    files = [put(tmp_path, name, LINES if name.startswith("part") else b"{}") for name in names]
    made = Made(files)
    assert made.rows.height == 7
    assert made.notes == {"hidden or marker files skipped": 4}


def test_very_many_files_are_few_parts(tmp_path: Path) -> None:
    files = [put(tmp_path, f"d/{i:03}.txt", f"Document {i}.") for i in range(150)]
    files[7].write_bytes(b"")
    made = Made(files, shard_bytes=1000)
    assert len(made.splits) < 5
    assert made.n_pieces == len(made.splits)
    wanted = [f"Document {i}." for i in range(150) if i != 7]
    assert made.rows["text"].to_list() == wanted
    assert made.rows["source_file"].n_unique() == 149
    assert made.failed["source_file"].to_list() == ["007.txt"]


def test_a_folder_that_datasets_saved_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    split = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": split, "test": split.select([0])}).save_to_disk(tmp_path / "d")
    files = sorted(p for p in (tmp_path / "d").rglob("*") if p.is_file())
    made = Made(files)
    assert made.rows.height == 8
    assert {name.split("/")[0] for name in made.rows["source_file"]} == {"train", "test"}
    assert made.own.head(1).to_dicts() == ROWS[:1]


# --------------------------------------------------------------------------------------- documents

HTML = """<!doctype html><html><head><title>On tea</title></head><body><nav><a href="/">Home</a></nav>
<main><h1>Tea</h1><p>Water should be hot, but not boiling.</p></main><footer>Imprint</footer></body></html>"""


def pdf(*pages: str) -> bytes:
    """A PDF file with a line of text on each page."""
    n = len(pages)
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>",
               f"<< /Type /Pages /Count {n} /Kids [{' '.join(f'{4 + 2 * i} 0 R' for i in range(n))}] >>".encode(),
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]  # fmt: skip
    for i, text in enumerate(pages):
        content = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
            + f" /Contents {5 + 2 * i} 0 R >>".encode()
        )
        objects.append(
            f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"
        )
    out, places = b"%PDF-1.4\n", []
    for number, held in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + held + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + end.encode()


def test_documents_are_rows(tmp_path: Path) -> None:
    pytest.importorskip("resiliparse")
    pytest.importorskip("pypdfium2")
    made = Made([
        put(tmp_path, "a.txt", "Plain words.\n"), put(tmp_path, "b.md", "# On rain\n\nIt *falls*.\n"),
        put(tmp_path, "c.html", HTML), put(tmp_path, "d.pdf", pdf("First page", "Second page")),
    ])  # fmt: skip
    assert made.rows.select("title", "page", "source_file", "source_record").rows() == [
        (None, None, "a.txt", 0), ("On rain", None, "b.md", 0), ("On tea", None, "c.html", 0),
        (None, 1, "d.pdf", 0), (None, 2, "d.pdf", 1),
    ]  # fmt: skip
    texts = made.rows["text"].to_list()
    assert texts[:2] == ["Plain words.\n", "# On rain\n\nIt *falls*.\n"]
    assert "Water should be hot" in texts[2]
    assert "Imprint" not in texts[2]
    assert texts[3:] == ["First page", "Second page"]


def test_a_document_without_text_or_that_is_broken_fails(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    made = Made([put(tmp_path, "a.txt", " \n"), put(tmp_path, "b.pdf", pdf("", "Words")),
                 put(tmp_path, "c.pdf", b"%PDF-1.4 and no more")])  # fmt: skip
    assert made.rows["text"].to_list() == ["Words"]
    assert made.errors == ["no text", "no text", "broken PDF"]


@pytest.mark.parametrize(
    ("path", "records", "documents"),
    [
        ("data", "data/**/*.jsonl", "data/**/*.txt"), ("./in/data/", "./in/data/**/*.jsonl", "./in/data/**/*.txt"),
        ("in/*", "in/*.jsonl", "in/*.txt"), ("a.*", "*.jsonl", "*.txt"),
    ],
)  # fmt: skip
def test_documents_and_records_with_columns_of_their_own_are_read_in_a_step_each(
    tmp_path: Path, path: str, records: str, documents: str
) -> None:
    files = [put(tmp_path, "a.jsonl", LINES), put(tmp_path, "b.txt", "x")]
    with pytest.raises(RecipeError) as caught:
        plan_splits(FilesConfig(path=path), files, ONE)
    assert caught.value.what == (
        "a.jsonl holds records and b.txt documents, whose columns are not those of one table"
    )
    assert caught.value.fix == (
        f"read them in a step each: `records: {{use: ingest.files, path: {records}}}`; "
        f"`documents: {{use: ingest.files, path: {documents}}}`; or set `rows: auto`, which reads "
        "both as rows"
    )


def test_rows_of_a_kind_are_read_from_records_tables_and_documents_side_by_side(
    tmp_path: Path,
) -> None:
    records = [{"id": n, "instruction": f"Question {n}", "output": "So."} for n in range(3)]
    table = io.BytesIO()
    pl.DataFrame({"question": ["Why?"], "answer": ["So."]}).write_parquet(table)
    paths = [
        put(tmp_path, "a.md", "# Tides\n\nThey come and go."),
        put(tmp_path, "b.jsonl", "\n".join(map(json.dumps, records))),
        put(tmp_path, "c.parquet", table.getvalue()),
        put(tmp_path, "d.csv", "prompt,response\nWho?,Me.\n"),
        put(tmp_path, "e.parquet", b"PAR1 torn"),
        *(put(tmp_path, f"more/{n:02d}.txt", f"Text {n}.") for n in range(70)),
    ]
    made = Made(paths, rows="auto")
    assert len(made.splits) < 10  # many small files, in bundles whose files are alike
    kinds = made.rows["row_kind"].value_counts(sort=True).rows()
    assert kinds == [("document", 71), ("sft", 5)]
    assert made.rows.filter(row_kind="sft")["prompt"].to_list() == [
        "Question 0", "Question 1", "Question 2", "Why?", "Who?",
    ]  # fmt: skip
    assert made.rows["title"].drop_nulls().to_list() == ["Tides"]
    assert made.errors == ["truncated or broken parquet"]
    with_key = Made(paths, rows="auto", key="id")
    assert with_key.rows["key"].drop_nulls().to_list() == ["0", "1", "2"]


# -------------------------------------------------------------------------------------- properties

NAMES = ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.arrow", "a.txt", "a.md", "a.html",
         "a.pdf", "a.zip", "a.jsonl.gz", "a"]  # fmt: skip
_BITS = st.sampled_from([
    b"{", b"}", b"[", b"]", b",", b'"', b"\n", b"\\", b'{"a": 1}', b'{"a": [{"b": "x"}]}', b"PAR1",
    b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"ARROW1", b"%PDF-", b"\xff\xfe", b"\0",
    b"\xef\xbb\xbf", b'{"data": [', b"a,b\n1,2\n", b"\xed\xa0\x80", b'"\\ud800"', gzip.compress(b"{}"),
])  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@given(bits=st.lists(st.binary(max_size=8) | _BITS, max_size=12))
@example(bits=[b"\x1f\x8b"])
@example(bits=[b"[" * 3000])
@example(bits=[b'{"data": [', b"{" * 3000])
def test_any_bytes_are_rows_failed_records_or_a_clear_error(
    tmp_path_factory: Any, name: str, bits: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    content = b"".join(bits)
    try:
        made = made_of(folder, name, content, shard_bytes=50)
    except DatabuildError:
        return
    assert made.failed["error"].null_count() == 0
    assert all(error for error in made.failed["error"])
    whole = made_of(folder, name, content)
    assert_frame_equal(made.rows, whole.rows)
    assert_frame_equal(made.failed.drop("error"), whole.failed.drop("error"))


_scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4)
_records = st.lists(
    st.dictionaries(st.sampled_from("xy"), _scalars | st.lists(_scalars, max_size=2)),
    min_size=1,
    max_size=6,
)


@given(records=_records, cut=st.integers(0, 5), size=st.integers(1, 60))
def test_physical_records_of_an_array_are_rows_and_failed(
    tmp_path_factory: Any, records: list[dict[str, Any]], cut: int, size: int
) -> None:
    texts = [json.dumps(record, ensure_ascii=False) for record in records]
    texts.insert(min(cut, len(texts)), '{"x": nul}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "CHUNK_BYTES", size)
        made = made_of(tmp_path_factory.mktemp("array"), "a.json", f"[{', '.join(texts)}]")
    assert made.rows.height + made.failed.height == len(texts)
    places = [*made.rows["source_record"], *made.failed["source_record"]]
    assert sorted(places) == list(range(len(texts)))
