"""CSV through Arrow gives what Python's reader gives, record by record, on any bytes."""

from __future__ import annotations

import io
from typing import Any
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st

from databuild.ingest import csv_chunks
from databuild.ingest.csv_chunks import read_chunks
from databuild.ingest.csv_stream import read_csv

FIELDS = st.text('ab"é, \n\ufeff\\N', max_size=5).map(
    lambda text: '"' + text.replace('"', '""') + '"' if set(text) & set('",\n') else text
)
TABLES = st.lists(st.lists(FIELDS, min_size=2, max_size=2).map(",".join), max_size=9).map(
    lambda rows: "\n".join(["a,b", *rows]).encode()
)
ANY = st.lists(st.sampled_from([bytes([b]) for b in b'ab,"\n\r;\xef\xbb\xbf\0 \xc3\xa9'])).map(
    b"".join
)


@given(TABLES | ANY, st.integers(3, 60), st.sampled_from([("", r"\N"), (), ("a",)]))
@example(b'a\n"never closed\nx\n', 3, ())
@example(b'\xef\xbb\xbf"a",b\r\n"1\r\n2",\r\n\r\n3,"4"\r\n', 8, ("",))
def test_chunks_and_records_are_the_same(data: bytes, size: int, nulls: tuple[str, ...]) -> None:
    wanted = list(read_csv(io.BytesIO(data), ",", nulls))
    found: list[Any] = []
    with patch.object(csv_chunks, "CHUNK_BYTES", size):
        for chunk in read_chunks(io.BytesIO(data), ",", nulls):
            records = list(chunk.records())
            found += records
            if chunk.frame is not None:
                at_once = [(r.pop("source_record"), r) for r in chunk.frame.to_dicts()]
                assert at_once == [(record.place, record.value) for record in records]
    assert found == wanted


def test_plain_chunks_are_read_at_once() -> None:
    data = b'q,a\r\n"say ""hi""",x\r\n"two\r\nlines",\r\n'
    (chunk,) = read_chunks(io.BytesIO(data), ",", [""])
    assert chunk.frame is not None
    assert chunk.frame.rows() == [('say "hi"', "x", 0), ("two\r\nlines", None, 1)]
