"""JSON files that are one value: a record, rows under a key, or columns as pandas writes them.

    {"data": [{...}, ...], ...}                       rows under a key
    {"columns": [...], "index": [...], "data": [[...], ...]}   pandas `split`
    {"a": {"0": 1, "1": 2}, "b": {...}}               pandas `columns`
    {"0": {"a": 1, "b": 2}, "1": {...}}               pandas `index`
    {"a": [1, 2], "b": ["x", "y"]}                    `datasets`: a list for each column

Rows under a key are streamed. The others hold every record in pieces, so the whole file must be
read; above 1 GiB it is refused. Its values are held in memory once (a file of 63 MiB, two texts of
320 characters a row, took 220 MiB at the peak), the records are made of them one by one.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from databuild.ingest.json_stream import frame
from databuild.ingest.records import Record, bad_record, load, repair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databuild.ingest.streams import Stream

MOST_BYTES = 1 << 30
_TOLD_BYTES = 1000
_ESCAPED = re.compile(rb"\\u[dD][89a-fA-F]")
ROWS_UNDER = ("data", "rows", "records", "examples", "items", "instances", "samples", "entries",
              "train", "validation", "test", "dev")  # fmt: skip
"""Keys under which rows are looked for, in this order, unless `under` names one."""
_TURNS = {"messages", "conversations", "conversation", "turns", "dialog", "dialogue", "history"}
_KEY = r'"{}"\s*:\s*(?=\[\s*\{{)'


def find_rows(head: bytes, under: str | None) -> tuple[str, int] | None:
    """The key under which the rows of an object lie, and where its array begins.

    Example:
        >>> find_rows(b'{"version": 1, "data": [{"a": 1}]}', None)
        ('data', 23)
    """
    for key in (under,) if under else ROWS_UNDER:
        for match in re.finditer(_KEY.format(re.escape(key)).encode(), head):
            # The key must stand in the outermost object and outside every text.
            before = head[head.index(b"{") + 1 : match.start()]
            framed = frame(before + b"{}]", in_array=True)
            if framed.closed:
                return key, match.end()
    return None


def layout_of(value: Mapping[str, Any]) -> str:
    """How an object holds rows: `split`, `columns`, `index` or `lists`; `record` where it is one.

    Example:
        >>> layout_of({"a": ["x", "y"], "b": [1, 2]}), layout_of({"a": ["x", "y"], "b": 1})
        ('lists', 'record')
    """
    held = list(value.values())
    if {"columns", "data"} <= value.keys() <= {"columns", "index", "data"}:
        return "split"
    if len(held) > 1 and all(isinstance(v, list) and len(v) == len(held[0]) > 1 for v in held):
        # A record may have lists only: a conversation with its tags.
        return "record" if _TURNS & value.keys() else "lists"
    if held and all(isinstance(v, dict) and v for v in held):
        if all(name.isdigit() for name in value):
            return "index"
        labels = held[0].keys()
        if all(v.keys() == labels for v in held) and all(name.isdigit() for name in labels):
            return "columns"
    return "record"


def read_whole(stream: Stream) -> Iterator[Record]:
    """Read a file that is one JSON value: its records in order, or one that failed."""
    data = stream.take(MOST_BYTES + 1)
    head = data[:_TOLD_BYTES]
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(_too_large())  # noqa: TRY301 -- one place makes the failed record
        value, n_nan = load(data.decode("utf-8-sig"))
        value, repaired = repair(value) if _ESCAPED.search(data) else (value, 0)
        del data  # the values are held by now, and their text need not be
        rows = rows_of(value)
        first = next(rows, None)
    except (ValueError, RecursionError) as error:
        yield bad_record(0, 1, f"{error}; no row of the file was read", head)
        return
    if first is None:
        return
    for number, row in enumerate(chain([first], rows)):
        done = (repaired, n_nan) if number == 0 else (0, 0)
        yield Record(number, None, row, None, "", *done)


def _too_large() -> str:
    return (
        f"too large: JSON that holds columns is read whole, up to {MOST_BYTES >> 20:,} MiB; write "
        "it as JSON Lines (pandas: to_json(orient='records', lines=True)) or as Parquet"
    )


def rows_of(value: Any) -> Iterator[dict[str, Any]]:
    """The records of an object, whatever its layout.

    Raises:
        ValueError: It is no object, or its columns are not equally long.

    Example:
        >>> list(rows_of({"columns": ["a"], "data": [[1], [2]]}))
        [{'a': 1}, {'a': 2}]
    """
    if not isinstance(value, dict):
        msg = "not an object: a record must be {...}"
        raise ValueError(msg)  # noqa: TRY004 -- it is the data that is wrong
    layout = layout_of(value)
    if layout == "record":
        yield value
    elif layout == "split":
        names = [str(name) for name in value["columns"]]
        # All are looked at before the first is a row: the file is read, or it is not.
        if any(not isinstance(cells, list) or len(cells) != len(names) for cells in value["data"]):
            msg = f"broken layout: a row of `data` has not the {len(names)} cells of `columns`"
            raise ValueError(msg)
        yield from (dict(zip(names, cells, strict=True)) for cells in value["data"])
    elif layout == "index":
        yield from value.values()
    else:
        labels = next(iter(value.values()))
        places = range(len(labels)) if layout == "lists" else labels
        for place in places:
            yield {name: column[place] for name, column in value.items()}
