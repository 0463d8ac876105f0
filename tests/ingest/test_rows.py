"""Records as typed rows: through a table, straight from files, and both ways the same."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from databuild.engine.batch import run_batch
from databuild.errors import RecipeError, SchemaError
from databuild.ingest.columnar import left_over
from databuild.ingest.files import FilesConfig, peek_columns, plan_splits, read_files
from databuild.ingest.plan import CHOICES, Plan
from databuild.ingest.rows import RowsConfig, read_rows
from databuild.ingest.typed import Rows, read_frame
from databuild.schema.rows import KINDS, check_rows, schema_of
from databuild.text.formats.registry import without_nulls
from databuild.text.formats.values import json_text
from tests.text.formats.records import RECORDS
from tests.text.formats.strategies import garbage, texts

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.step import Produced


def read(path: Path, size: int = 1 << 30, **options: Any) -> list[Produced]:
    config = FilesConfig(path=path.name, **options)
    splits = plan_splits(config, [path], size)
    return [made for split in splits for made in read_files(split, config)]


def rows_of(made: list[Produced]) -> list[dict[str, Any]]:
    frames = pl.concat([one.rows for one in made])
    return [
        {k: v for k, v in row.items() if v is not None and k != "parent_ids"}
        for row in frames.to_dicts()
    ]


def faults_of(made: list[Produced]) -> list[str]:
    return failed_of(made)["error"].to_list()


def failed_of(made: list[Produced]) -> pl.DataFrame:
    return pl.concat([one.failed for one in made if one.failed is not None])


def write_lines(path: Path, records: list[Any]) -> Path:
    lines = [json.dumps(r) if not isinstance(r, str) else r for r in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


MIXED = [
    {"instruction": "Add 2 and 2.", "output": "4", "id": 1},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]},
    {"prompt": "q", "chosen": "a", "rejected": "b", "id": "seven"},
    {"prompt": "q", "completions": [{"response": "a", "overall_score": 3}, {"response": ""}]},
    {"output": 7, "instruction": "q"},
    "{broken",
    {"messages": {"role": "user"}},
    {"text": "\ud83d page"},
]


def test_a_file_may_mix_shapes_and_types(tmp_path: Path) -> None:
    made = read(write_lines(tmp_path / "mixed.jsonl", MIXED), rows="auto")
    rows = rows_of(made)
    assert [(row["row_kind"], row["source_format"]) for row in rows] == [
        ("sft", "alpaca"),
        ("sft", "sharegpt"),
        ("preference", "trl_preference"),
        ("response", "ultrafeedback"),
        ("document", "document"),
    ]
    assert [row.get("extra") for row in rows] == ['{"id": 1}', None, '{"id": "seven"}', None, None]
    assert [row["repaired_chars"] for row in rows] == [0, 0, 0, 0, 1]
    failed = failed_of(made)
    assert failed["error"].str.split(":").list.first().to_list() == [
        "empty",
        "wrong type",
        "broken JSON",
        "wrong type",
    ]
    assert failed["source_line"].to_list() == [4, 5, 6, 7]
    offsets = [
        0,
        *(len(json.dumps(r)) + 1 if not isinstance(r, str) else len(r) + 1 for r in MIXED),
    ]
    starts = [sum(offsets[: n + 1]) for n in range(len(MIXED))]
    assert [row["source_record"] for row in rows] == [starts[n] for n in (0, 1, 2, 3, 7)]
    assert failed["source_record"].to_list() == [starts[n] for n in (3, 4, 5, 6)]
    assert failed["raw"][1] == '{"output": 7, "instruction": "q"}'


@pytest.mark.parametrize("size", [50, 333, 5000])
@pytest.mark.slow
def test_splits_of_any_size_say_the_same(size: int, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "mixed.jsonl", MIXED * 20)
    whole, pieces = read(path, rows="auto"), read(path, size, rows="auto")
    assert rows_of(pieces) == rows_of(whole)
    assert sorted(faults_of(pieces)) == sorted(faults_of(whole))


@pytest.mark.parametrize("suffix", ["jsonl", "json", "jsonl.gz", "parquet", "csv"])
def test_every_kind_of_file_gives_the_same_rows(suffix: str, tmp_path: Path) -> None:
    records = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(5)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pl.DataFrame(records).write_parquet(path)
    elif suffix == "csv":
        pl.DataFrame(records).write_csv(path)
    else:
        text = "\n".join(json.dumps(r) for r in records)
        text = json.dumps(records) if suffix == "json" else text
        path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    found = rows_of(read(path, rows="sft"))
    assert [(row["prompt"], row["response"]) for row in found] == [
        (f"What is {n} + 1?", str(n + 1)) for n in range(5)
    ]
    assert {row["source_format"] for row in found} == {"pair"}


def test_the_key_and_a_column_map_reach_the_rows(tmp_path: Path) -> None:
    records = [{"ticket": n, "title": "q", "body": "a"} for n in (7, 8)]
    path = write_lines(tmp_path / "a.jsonl", records)
    columns = {"prompt": "title", "response": "body"}
    rows = rows_of(read(path, rows="sft", columns=columns, key="ticket"))
    assert [(row["key"], row["prompt"], row["extra"]) for row in rows] == [
        ("7", "q", '{"ticket": 7}'),
        ("8", "q", '{"ticket": 8}'),
    ]
    config = FilesConfig(path="a.jsonl", rows="sft", columns=columns, key="ticket")
    assert set(peek_columns(config, [path]) or ()) == {*rows[0], *schema_of("sft"), "row_kind"}


def test_bytes_that_are_no_text_are_not_repaired(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    far = b"x" * 300
    path.write_bytes(b'[{"prompt": "q", "completion": "' + far + b'\xe9"}, {"prompt": "q"}]')
    made = read(path, rows="auto", encoding="utf-8")
    assert len(rows_of(made)) == 1
    assert faults_of(made)[0].startswith("invalid ")


def test_options_that_do_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="`columns` needs `rows`"):
        FilesConfig(path="a", columns={"prompt": "x"})
    with pytest.raises(ValidationError, match="`rename` and `types` do nothing"):
        FilesConfig(path="a", rows="sft", rename={"a": "b"})
    with pytest.raises(ValidationError, match=r"no format knows a column 'promt'.*prompt"):
        RowsConfig(columns={"promt": "x"})


def table(records: list[dict[str, Any]]) -> pl.DataFrame:
    ids = [f"r{n}" for n in range(len(records))]
    return pl.DataFrame(records, infer_schema_length=None).with_columns(
        row_id=pl.Series(ids), content_id=pl.Series(ids), parent_ids=pl.lit([], pl.List(pl.String))
    )


def test_a_table_keeps_its_own_columns_and_nothing_is_hidden() -> None:
    rows = table([{"instruction": "q", "output": "a", "topic": "x", "label": "odd", "score": None}])
    batch = run_batch(read_rows, RowsConfig(), [rows], {})
    (row,) = batch.rows.to_dicts()
    assert (row["topic"], row["instruction"], row["prompt"]) == ("x", "q", "q")
    assert row["parent_ids"] == ["r0"]
    assert (row["label"], row["extra"]) == (None, '{"label": "odd"}')
    plain = run_batch(read_rows, RowsConfig(kind="sft"), [rows], {}).rows.to_dicts()[0]
    assert (plain["label"], plain["extra"]) == ("odd", None)
    assert plain["row_id"] != row["row_id"]


def test_every_record_is_a_parent_or_failed() -> None:
    rows = table(
        [{"prompt": p, "completion": c} for p in ("q", "", None) for c in ("a", " ", None)]
    )
    made = read_rows(rows, RowsConfig(kind="sft"))
    assert made.failed is not None
    parents = {*made.rows["parent_ids"].explode(), *made.failed["parent_ids"].explode()}
    assert parents == set(rows["row_id"])
    assert made.rows.height == 1


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(SchemaError, match=r"no column 'qustion'.*question"):
        read_rows(table([{"question": "q"}]), RowsConfig(columns={"prompt": "qustion"}))


@pytest.mark.parametrize("kind", CHOICES)
def test_no_record_gives_the_columns_of_the_kind(kind: str) -> None:
    made = read_rows(table([{"prompt": "q"}]).head(0), RowsConfig(kind=kind))
    wanted = {**Plan(kind, {}, is_carried=True).schema, "parent_ids": pl.List(pl.String())}
    assert dict(made.rows.schema) == wanted


FLAT = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            **{name: st.one_of(st.none(), texts) for name in ("instruction", "output", "input")},
            "note": st.one_of(st.none(), texts),
            "n": st.one_of(st.none(), st.integers(-5, 5)),
        },
    ),
    min_size=1,
    max_size=6,
)
NAMES = [
    ("instruction", "output", "input"),
    ("question", "answer", "context"),
    ("prompt", "completion", "input"),
    ("input", "output", "context"),
    ("problem", "solution", "model"),
    ("question", "answer", "title"),
    ("question", "answer", "text"),
]


TURNS = st.lists(
    st.tuples(
        st.sampled_from(["user", "human", "gpt", "assistant", "system", "tool", "Human", None]),
        st.one_of(st.sampled_from(["Why?", "因为。"]), texts, st.none()),
    ),
    max_size=5,
)
SPELLED = [("messages", "role", "content"), ("conversations", "from", "value")]


@st.composite
def orderly(draw: Any) -> list[tuple[str, str]]:
    """Turns that are mostly in order."""
    turns = [("system", "Be kind.")] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns += [
            ("user", draw(texts) or "q"),
            ("gpt", draw(st.sampled_from(["a", "<think>b", " "]))),
        ]
    return turns[: len(turns) - draw(st.integers(0, 1))]


@given(
    st.lists(st.one_of(st.none(), TURNS, orderly()), min_size=1, max_size=6),
    st.sampled_from(SPELLED),
    st.booleans(),
    st.sampled_from(["auto", "sft"]),
    st.sampled_from(["note", "title", "id"]),
)
def test_conversations_at_once_are_what_they_are_one_by_one(
    talks: Any, spelled: Any, is_carried: bool, kind: str, beside: str
) -> None:
    column, role, content = spelled
    dtype = pl.List(pl.Struct({role: pl.String, content: pl.String}))
    held = [t if t is None else [{role: r, content: c} for r, c in t] for t in talks]
    frame = pl.DataFrame({column: pl.Series(held, dtype=dtype), beside: ["x"] * len(held)})
    check_alike(frame, Plan(kind, {}, is_carried))


@example([{"instruction": "q", "input": " ", "output": "a"}], NAMES[3], False, "auto")
@example([{"instruction": "q", "input": "c", "output": "a"}], NAMES[3], True, "sft")
@given(FLAT, st.sampled_from(NAMES), st.booleans(), st.sampled_from(["auto", "sft"]))
def test_columns_at_once_give_what_records_one_by_one_give(
    records: Any, names: Any, is_carried: bool, kind: str
) -> None:
    new = dict(zip(("instruction", "output", "input"), names, strict=True))
    records = [{new.get(k, k): v for k, v in record.items()} for record in records]
    types = dict.fromkeys((*names, "note"), pl.String)
    frame = pl.DataFrame(records, schema={**types, "n": pl.Int64})
    check_alike(frame, Plan(kind, {}, is_carried))


def check_alike(frame: pl.DataFrame, plan: Plan) -> None:
    fast, faults = read_frame(frame, plan)
    made, slow_faults = Rows(plan), []
    for number, record in enumerate(frame.iter_rows(named=True)):
        reading = plan.read(without_nulls(record))
        made.add(number, reading)
        slow_faults += [(number, told) for told in reading.faults]
    assert fast.to_dicts() == made.frame().to_dicts()
    if plan.is_carried:  # columns that no format knows are not looked at, so not told of
        faults, slow_faults = ([(n, t.split(":")[0]) for n, t in f] for f in (faults, slow_faults))
    assert faults == slow_faults


def test_what_is_read_from_tables_follows_the_schema(tmp_path: Path) -> None:
    records = [record for _, record, _ in RECORDS]
    lines = [json.dumps({k: v for k, v in r.items() if v == v}) for r in records]  # noqa: PLR0124
    made = read(write_lines(tmp_path / "all.jsonl", lines), rows="auto")
    assert faults_of(made) == []
    rows = pl.concat([one.rows for one in made])
    assert rows.height == sum(len(found) for _, _, found in RECORDS)
    for (kind,), some in rows.group_by("row_kind"):
        wanted = KINDS[str(kind)].columns
        assert check_rows(some.select(wanted), str(kind)).is_null().all()


LINES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([json.dumps(record).encode() for _, record, _ in RECORDS]),
    st.sampled_from(
        [b"{", b"[]", b"null", b'{"prompt": NaN}', b'{"a": 1, "a": 2}', b'"\xff"', b""]
    ),
    garbage.map(lambda record: json.dumps(record).encode()),
)


@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
@given(lines=st.lists(LINES, max_size=5))
def test_any_bytes_are_rows_or_failures(
    form: str, lines: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "a"
    ends = {"jsonl": (b"", b"\n", b""), "json": (b"[", b",", b"]"), "csv": (b"text\n", b"\n", b"")}
    start, between, end = ends[form]
    path.write_bytes(start + between.join(lines) + end)
    try:
        made = read(path, rows="auto", format=form)
    except RecipeError:  # a CSV file whose header cannot be one
        assert form == "csv"
        return
    if not made:  # an empty file
        assert path.stat().st_size == 0
        return
    rows, failed = rows_of(made), failed_of(made)
    if form == "jsonl":
        n_lines = len([line for line in between.join(lines).split(b"\n") if line.strip()])
        places = {*(row["source_record"] for row in rows), *failed["source_record"]}
        assert len(places) == n_lines
    assert not any(told is None for told in failed["error"])


@given(st.lists(st.tuples(st.none() | st.text(max_size=6), st.none() | st.integers(-9, 9))))
def test_what_is_left_over_is_written_as_the_json_encoder_writes_it(
    rows: list[tuple[str | None, int | None]],
) -> None:
    frame = pl.DataFrame(rows, schema={'é"': pl.String, "n": pl.Int64}, orient="row")
    held = [{k: v for k, v in row.items() if v is not None} for row in frame.iter_rows(named=True)]
    wanted = [json_text(row, is_sorted=True) if row else None for row in held]
    assert left_over(frame).to_list() == wanted
