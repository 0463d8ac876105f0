"""The search engine: answers from Argilla's own tables, the moment that it is asked.

The server calls an engine's writing methods after it has committed to its database, so with an
engine that reads that database they have nothing to do.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from argilla_server.enums import MetadataPropertyType, SimilarityOrder
from argilla_server.search_engine.base import (
    Filter,
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    MetadataMetrics,
    Order,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    TermsMetrics,
    TextQuery,
)
from argilla_server.settings import settings
from sqlalchemy import make_url

from databuild_argilla_server import index, similar
from databuild_argilla_server import query as queries
from databuild_argilla_server.conditions import Sql, all_of, condition, order, shuffle
from databuild_argilla_server.reading import Rows, fetch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from argilla_server.models import (
        Dataset,
        MetadataProperty,
        Record,
        Response,
        Suggestion,
        User,
        VectorSettings,
    )

NAME = "embedded"
_FTS = (
    "SELECT d.record_id FROM dbx_fts JOIN dbx_doc d ON d.id = dbx_fts.rowid WHERE dbx_fts MATCH ?"
)
# A record that is found only for words it lacks has BM25 0; a hit scores above 0 all the same.
# CROSS JOIN keeps the order of the tables: records by their small index, then the hits by their id.
_RANKED = f"""WITH hits AS MATERIALIZED (
    SELECT d.record_id, min(bm25(dbx_fts, 0{", 1" * index.N_COLUMNS}), -1e-6) AS score
    FROM dbx_fts JOIN dbx_doc d ON d.id = dbx_fts.rowid WHERE dbx_fts MATCH ?)
SELECT r.id, count(*) OVER (), hits.score
FROM records r CROSS JOIN hits WHERE hits.record_id = r.id AND """


@SearchEngine.register(NAME)
class EmbeddedEngine(SearchEngine):
    """Search, filters, sorting, similarity and counts by SQL on the server's own SQLite file.

    Args:
        run: Runs a query and returns its rows; without it, one of four read-only connections.
    """

    def __init__(self, run: Callable[[str, Sequence[Any]], Awaitable[Rows]] | None = None) -> None:
        self._run = run or _run

    @classmethod
    async def new_instance(cls) -> EmbeddedEngine:
        """One is made for each request, so there is nothing in it."""
        return cls()

    async def close(self) -> None:
        """Nothing is held."""

    async def ping(self) -> bool:
        """Whether the database and its index can be read."""
        await self._run("SELECT count(*) FROM dbx_meta", [])
        return True

    async def info(self) -> dict[str, str]:
        """What `GET /status` shows."""
        return {"engine": NAME, "index": index.version(), "sqlite": sqlite3.sqlite_version}

    # ------------------------------------------------- writing: done by triggers and by Argilla

    async def create_index(self, dataset: Dataset) -> None:
        """Nothing: the index is one for all data sets."""

    async def delete_index(self, dataset: Dataset) -> None:
        """Nothing: records leave the index when they are deleted."""

    async def configure_metadata_property(
        self, dataset: Dataset, metadata_property: MetadataProperty
    ) -> None:
        """Nothing: metadata is read from the records."""

    async def configure_index_vectors(self, vector_settings: VectorSettings) -> None:
        """Nothing: vectors are read from their table."""

    async def index_records(self, dataset: Dataset, records: Iterable[Record]) -> None:
        """Nothing: the triggers have done it."""

    async def partial_record_update(self, record: Record, **update: Any) -> None:
        """Nothing: the status is read from the record."""

    async def delete_records(self, dataset: Dataset, records: Iterable[Record]) -> None:
        """Nothing: the triggers have done it."""

    async def update_record_response(self, response: Response) -> None:
        """Nothing: responses are read from their table."""

    async def delete_record_response(self, response: Response) -> None:
        """Nothing: responses are read from their table."""

    async def update_record_suggestion(self, suggestion: Suggestion) -> None:
        """Nothing: suggestions are read from their table."""

    async def delete_record_suggestion(self, suggestion: Suggestion) -> None:
        """Nothing: suggestions are read from their table."""

    # ----------------------------------------------------------------------------------- reading

    async def search(
        self,
        dataset: Dataset,
        query: TextQuery | str | None = None,
        filter: Filter | None = None,  # noqa: A002  # the name is Argilla's
        sort: list[Order] | None = None,
        offset: int = 0,
        limit: int = 100,
        user_id: str | None = None,
    ) -> SearchResponses:
        """Find records of a data set.

        Without `sort` the best matches of `query` come first (BM25); equal ones, and all without a
        query, in the user's own order where `user_id` is given (Argilla gives it for the page),
        else the oldest first.
        """
        where = self._where(dataset, query, filter)
        if where is None:
            return SearchResponses(items=[], total=0)
        begin = f"FROM records r WHERE {where.text}"
        sql = f"SELECT r.id, count(*) OVER (), -1.0 {begin}"
        values = where.values
        if sort:
            by = order(sort, dataset.id.hex)
        else:
            by = shuffle(str(user_id)) if user_id else Sql("r.inserted_at, r.id")
            typed = _typed(dataset, query)
            if typed is not None:
                among = self._where(dataset, None, filter)
                assert among is not None
                sql, values = f"{_RANKED}{among.text}", [typed, *among.values]
                by.text = f"hits.score, {by.text}"
        sql = f"{sql} ORDER BY {by.text} LIMIT ? OFFSET ?"
        rows = await self._run(sql, [*values, *by.values, limit, offset])
        if rows:
            total = rows[0][1]
        else:  # past the end, or none at all
            total = (await self._run(f"SELECT count(*) {begin}", where.values))[0][0]
        items = [SearchResponseItem(record_id=UUID(row[0]), score=-row[2]) for row in rows]
        return SearchResponses(items=items, total=total)

    async def similarity_search(
        self,
        dataset: Dataset,
        vector_settings: VectorSettings,
        value: list[float] | None = None,
        record: Record | None = None,
        query: TextQuery | str | None = None,
        filter: Filter | None = None,  # noqa: A002  # the name is Argilla's
        max_results: int = 100,
        order: SimilarityOrder = SimilarityOrder.most_similar,
        threshold: float | None = None,
    ) -> SearchResponses:
        """Find the records nearest to a vector, or to a record that is then left out."""
        if bool(value) == bool(record):
            message = "Must provide either vector value or record to compute the similarity search"
            raise ValueError(message)
        wanted = value or (record and record.vector_value_by_vector_settings(vector_settings))
        if not wanted:
            message = "Cannot find a vector value to apply with provided info"
            raise ValueError(message)
        if order == SimilarityOrder.least_similar:
            wanted = [-number for number in wanted]
        scored = await similar.scores(self._run, vector_settings.id.hex, wanted)
        if record is not None:
            scored.pop(record.id.hex, None)
        if query or filter:
            where = self._where(dataset, query, filter)
            sql = f"SELECT r.id FROM records r WHERE {where.text}" if where else ""
            among = {row[0] for row in await self._run(sql, where.values)} if where else set()
            scored = {key: score for key, score in scored.items() if key in among}
        best = sorted(scored.items(), key=lambda pair: (-pair[1], pair[0]))[:max_results]
        items = [
            SearchResponseItem(record_id=UUID(key), score=score)
            for key, score in best
            if threshold is None or score >= threshold
        ]
        return SearchResponses(items=items, total=len(best))

    async def get_dataset_progress(self, dataset: Dataset) -> dict[str, int]:
        """How many records there are, and how many of each status."""
        if dataset.is_draft:
            return {}
        sql = "SELECT status, count(*) FROM records WHERE dataset_id = ? GROUP BY status"
        return _counted(await self._run(sql, [dataset.id.hex]))

    async def get_dataset_user_progress(self, dataset: Dataset, user: User) -> dict[str, int]:
        """How many responses a user gave, and how many of each status."""
        if dataset.is_draft:
            return {}
        sql = """SELECT p.status, count(*) FROM responses p JOIN records r ON r.id = p.record_id
            WHERE p.user_id = ? AND r.dataset_id = ? GROUP BY p.status"""
        return _counted(await self._run(sql, [user.id.hex, dataset.id.hex]))

    async def compute_metrics_for(self, metadata_property: MetadataProperty) -> MetadataMetrics:
        """The values of a metadata property: terms with their counts, or the least and the most."""
        values = """FROM records r, json_each(r.metadata, ?) j
            WHERE r.dataset_id = ? AND j.value IS NOT NULL"""
        name = metadata_property.name.replace('"', "")
        given = [f'$."{name}"', metadata_property.dataset_id.hex]
        if metadata_property.type == MetadataPropertyType.terms:
            sql = f"SELECT CAST(j.value AS TEXT), count(*) {values} GROUP BY 1 ORDER BY 2 DESC, 1"
            rows = await self._run(sql, given)
            terms = [TermsMetrics.TermCount(term=term, count=count) for term, count in rows]
            return TermsMetrics(total=sum(row[1] for row in rows), values=terms)
        least, most = (
            await self._run(f"SELECT min(j.value + 0), max(j.value + 0) {values}", given)
        )[0]
        if metadata_property.type == MetadataPropertyType.integer:
            return IntegerMetadataMetrics(min=least, max=most)
        return FloatMetadataMetrics(min=least, max=most)

    def _where(
        self, dataset: Dataset, query: TextQuery | str | None, wanted: Filter | None
    ) -> Sql | None:
        """The condition on `records r`; None where the text asks for nothing that can be found."""
        parts = [Sql("r.dataset_id = ?", [dataset.id.hex])]
        if not _is_all(query):
            expression = _typed(dataset, query)
            if expression is None:
                return None
            parts.append(Sql(f"r.id IN ({_FTS})", [expression]))
        if wanted:
            parts.append(condition(wanted, dataset.id.hex))
        return all_of(parts)


def _is_all(query: TextQuery | str | None) -> bool:
    """Whether a query asks for every record."""
    return query is None or (query if isinstance(query, str) else query.q).strip() == "*"


def _typed(dataset: Dataset, query: TextQuery | str | None) -> str | None:
    """What was typed, as an FTS5 expression that is true of documents of this data set only.

    None where everything is asked for, or where nothing in it can be searched for.
    """
    if query is None or _is_all(query):
        return None
    text = TextQuery(q=query) if isinstance(query, str) else query
    node = queries.parse(text.q)
    if node is None:
        return None
    columns = index.COLUMN_FILTER
    if text.field:
        names = [
            one.name for one in sorted(dataset.fields, key=lambda f: (f.inserted_at, f.id.hex))
        ]
        if text.field not in names:
            message = f"Field {text.field} not found in dataset {dataset.id}"
            raise ValueError(message)
        columns = f"{{c{min(names.index(text.field), index.N_COLUMNS - 1)}}}"
    every = f'{{dataset}} : "{dataset.id.hex}"'
    return f"{every} AND ({queries.as_fts5(node, columns, every)})"


def _counted(rows: Rows) -> dict[str, int]:
    return {"total": sum(row[1] for row in rows), **{row[0]: row[1] for row in rows}}


async def _run(sql: str, values: Sequence[Any]) -> Rows:
    return await fetch(Path(make_url(settings.database_url).database or ""), sql, values)
