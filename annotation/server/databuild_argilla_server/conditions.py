"""Filters, orders and the page's own shuffle as SQL over `records r`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from argilla_server.enums import SortOrder
from argilla_server.search_engine.base import (
    AndFilter,
    Filter,
    FilterScope,
    MetadataFilterScope,
    Order,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
    TermsFilter,
)

_PRIME = 2147483647  # below 2^31: products stay whole numbers in SQLite
_RECORD_COLUMNS = {"id", "external_id", "status", "inserted_at", "updated_at"}


@dataclass
class Sql:
    """A piece of SQL and the values of its question marks, in their order."""

    text: str
    values: list[Any] = field(default_factory=list)


def condition(wanted: Filter, dataset_id: str) -> Sql:
    """A filter as a condition on `records r`."""
    if isinstance(wanted, AndFilter):
        return all_of([condition(part, dataset_id) for part in wanted.filters])
    scope = wanted.scope
    if isinstance(scope, MetadataFilterScope):
        return _any_of_json("r.metadata", _path(scope.metadata_property), wanted)
    if isinstance(scope, SuggestionFilterScope):
        return _suggestion(scope, wanted, dataset_id)
    if isinstance(scope, ResponseFilterScope):
        return _response(scope, wanted)
    if isinstance(scope, RecordFilterScope) and scope.property in _RECORD_COLUMNS:
        values = [_stored(scope.property, value) for value in _values(wanted)]
        return _compared(f"r.{scope.property}", wanted, values)
    message = f"cannot filter by {scope}"
    raise ValueError(message)


def all_of(parts: list[Sql]) -> Sql:
    """The parts joined with AND; true where there are none."""
    texts = [f"({part.text})" for part in parts]
    return Sql(" AND ".join(texts) or "1", [value for part in parts for value in part.values])


def order(orders: list[Order], dataset_id: str) -> Sql:
    """ORDER BY of some orders; records without a value come last, as in Elasticsearch."""
    texts: list[str] = []
    values: list[Any] = []
    for one in orders:
        direction = SortOrder(one.order).value.upper()
        key = _sort_key(one.scope, dataset_id, "min" if direction == "ASC" else "max")
        texts.append(f"{key.text} IS NULL, {key.text} {direction}")
        values += [*key.values, *key.values]
    return Sql(", ".join([*texts, "r.inserted_at", "r.id"]), values)


def shuffle(user_id: str) -> Sql:
    """Each user's own order, the same every time: two squarings of a record's number and a seed.

    A linear hash shows strides (each 9th record and so on); squares modulo a prime do not.
    """
    digest = hashlib.sha256(user_id.encode()).digest()
    seed, shift = (int.from_bytes(digest[i : i + 4], "big") % _PRIME for i in (0, 4))
    once = f"((r.rowid * 48271 + {seed}) % {_PRIME})"
    return Sql(f"(({once} * {once} + {shift}) % {_PRIME}), r.id")


def _response(scope: ResponseFilterScope, wanted: Filter) -> Sql:
    # `+` keeps SQLite from the index on status, which it prefers without statistics: it would read
    # all responses of the server for each record (30 s instead of 0.06 s at 10,000 records).
    mine, user = ("", [])
    if scope.user is not None:
        mine, user = " AND p.user_id = ?", [scope.user.id.hex]
    begin = "SELECT 1 FROM responses p WHERE p.record_id = r.id" + mine
    if scope.question:
        asked = _any_of_json('p."values"', _path(scope.question) + ".value", wanted)
        return Sql(f"EXISTS ({begin} AND {asked.text})", [*user, *asked.values])
    if scope.property != "status" or not isinstance(wanted, TermsFilter):
        message = f"cannot filter by {scope}"
        raise ValueError(message)
    statuses = [str(getattr(value, "value", value)) for value in wanted.values]
    if not statuses and not user:  # nothing is asked for
        return Sql("1")
    parts = []
    if "pending" in statuses:
        parts.append(Sql(f"NOT EXISTS ({begin})", user))
        statuses.remove("pending")
    if statuses or not parts:
        marks = ", ".join("?" * len(statuses))
        among = f" AND +p.status IN ({marks})" if statuses else ""
        parts.append(Sql(f"EXISTS ({begin}{among})", [*user, *statuses]))
    joined = " OR ".join(part.text for part in parts)
    return Sql(joined, [value for part in parts for value in part.values])


def _suggestion(scope: SuggestionFilterScope, wanted: Filter, dataset_id: str) -> Sql:
    question = "(SELECT id FROM questions WHERE dataset_id = ? AND name = ?)"
    begin = f"SELECT 1 FROM suggestions s WHERE s.record_id = r.id AND s.question_id = {question}"
    if scope.property in {"agent", "type"}:
        asked = _compared(f"+s.{scope.property}", wanted, _values(wanted))
    elif scope.property in {"value", "score"}:
        asked = _any_of_json(f"s.{scope.property}", "$", wanted)
    else:
        message = f"cannot filter by {scope}"
        raise ValueError(message)
    return Sql(f"EXISTS ({begin} AND {asked.text})", [dataset_id, scope.question, *asked.values])


def _any_of_json(column: str, path: str, wanted: Filter) -> Sql:
    """Whether the value at a path, or an item of it where it is a list, is as wanted."""
    values = _values(wanted)
    if isinstance(wanted, TermsFilter):  # terms come as text: the rating "3" means the number 3
        asked = _compared("CAST(j.value AS TEXT)", wanted, [str(value) for value in values])
    else:
        asked = _compared("j.value + 0", wanted, values)  # a number, also where it came as text
    # json_each of a plain value is one row; of a list, one row an item.
    inside = f"EXISTS (SELECT 1 FROM json_each({column}, ?) j WHERE {asked.text})"
    return Sql(inside, [path, *asked.values])


def _compared(expression: str, wanted: Filter, values: list[Any]) -> Sql:
    if isinstance(wanted, TermsFilter):
        return Sql(f"{expression} IN ({', '.join('?' * len(values))})", values)
    signs = [sign for sign, bound in ((">=", wanted.ge), ("<=", wanted.le)) if bound is not None]
    return Sql(" AND ".join(f"{expression} {sign} ?" for sign in signs) or "1", values)


def _values(wanted: Filter) -> list[Any]:
    if isinstance(wanted, RangeFilter):
        return [bound for bound in (wanted.ge, wanted.le) if bound is not None]
    return [getattr(value, "value", value) for value in wanted.values]


def _stored(column: str, value: Any) -> Any:
    """A value as Argilla stores it: ids without dashes, times as text in UTC."""
    if column == "id":
        return str(value).replace("-", "")
    if column not in {"inserted_at", "updated_at"}:
        return value
    if isinstance(value, int | float):  # milliseconds, as Elasticsearch reads a number
        moment = datetime.fromtimestamp(value / 1000, UTC)
    else:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _sort_key(scope: FilterScope, dataset_id: str, pick: str) -> Sql:
    if isinstance(scope, MetadataFilterScope):
        path = _path(scope.metadata_property)
        return Sql(f"(SELECT {pick}(j.value) FROM json_each(r.metadata, ?) j)", [path])
    if isinstance(scope, SuggestionFilterScope) and scope.property in {"value", "score"}:
        text = f"""(SELECT {pick}(j.value) FROM suggestions s, json_each(s.{scope.property}, '$') j
            WHERE s.record_id = r.id AND s.question_id =
            (SELECT id FROM questions WHERE dataset_id = ? AND name = ?))"""
        return Sql(text, [dataset_id, scope.question])
    if isinstance(scope, SuggestionFilterScope) and scope.property in {"agent", "type"}:
        text = f"""(SELECT s.{scope.property} FROM suggestions s WHERE s.record_id = r.id AND
            s.question_id = (SELECT id FROM questions WHERE dataset_id = ? AND name = ?))"""
        return Sql(text, [dataset_id, scope.question])
    if isinstance(scope, ResponseFilterScope) and scope.question:
        mine, user = ("", []) if scope.user is None else ("AND p.user_id = ?", [scope.user.id.hex])
        text = f"""(SELECT avg(json_extract(p."values", ?)) FROM responses p
            WHERE p.record_id = r.id {mine})"""
        return Sql(text, [_path(scope.question) + ".value", *user])
    if isinstance(scope, RecordFilterScope) and scope.property in _RECORD_COLUMNS:
        return Sql(f"r.{scope.property}")
    message = f"cannot sort by {scope}"
    raise ValueError(message)


def _path(name: str) -> str:
    """A JSON path to a key, whatever its characters; SQLite ends a quoted key at the quote."""
    return '$."' + name.replace('"', "") + '"'
