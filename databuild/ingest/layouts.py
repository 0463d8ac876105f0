"""JSON files that are one value: a record, rows under a key, or columns as pandas writes them.

    {"data": [{...}, ...], ...}                       rows under a key
    {"columns": [...], "index": [...], "data": [[...], ...]}   pandas `split`
    {"a": {"0": 1, "1": 2}, "b": {...}}               pandas `columns`
    {"0": {"a": 1, "b": 2}, "1": {...}}               pandas `index`
    {"a": [1, 2], "b": ["x", "y"]}                    `datasets`: a list for each column

Rows under a key are streamed. The others hold every record in pieces, so the whole file must be
read; above 1 GiB it is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from databuild.ingest.json_stream import frame
from databuild.ingest.records import Record, bad_record, load, repair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databuild.ingest.streams import Stream

MOST_BYTES = 1 << 30
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
    try:
        if len(data) > MOST_BYTES:
            msg = "too large: columns in JSON are read whole, up to 1 GiB; convert them to Parquet"
            raise ValueError(msg)  # noqa: TRY301 -- one place makes the failed record
        value, n_nan = load(data.decode("utf-8-sig"))
        value, repaired = repair(value)
        rows = list(rows_of(value))
    except (ValueError, RecursionError) as error:
        yield bad_record(0, 1, f"{error}; no row of the file was read", data)
        return
    for number, row in enumerate(rows):
        done = (repaired, n_nan) if number == 0 else (0, 0)
        yield Record(number, None, row, None, "", *done)


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
        for cells in value["data"]:
            if not isinstance(cells, list) or len(cells) != len(names):
                msg = f"broken layout: a row of `data` has not the {len(names)} cells of `columns`"
                raise ValueError(msg)
            yield dict(zip(names, cells, strict=True))
    elif layout == "index":
        yield from value.values()
    else:
        labels = next(iter(value.values()))
        places = range(len(labels)) if layout == "lists" else labels
        for place in places:
            yield {name: column[place] for name, column in value.items()}
