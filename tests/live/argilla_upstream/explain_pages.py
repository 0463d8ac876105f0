"""Run by the server's own Python: how SQLite means to answer what the page asks (see the test)."""

import asyncio
import json
import sqlite3
import sys
from types import SimpleNamespace
from uuid import UUID

from argilla_server.search_engine.base import (
    MetadataFilterScope,
    Order,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
    TermsFilter,
)
from databuild_argilla_server.engine import EmbeddedEngine

USER = SimpleNamespace(id=UUID(int=7))
DATASET = SimpleNamespace(id=UUID(int=1), fields=[], is_draft=False)


def response(values, user=None, **of):
    return TermsFilter(scope=ResponseFilterScope(user=user, **of), values=values)


def metadata(name):
    return MetadataFilterScope(metadata_property=name)


ANN = TermsFilter(scope=metadata("assigned_to"), values=["ann"])
SUGGESTED = SuggestionFilterScope(question="preference", property="value")
PAGES = {
    "the queue": {"filter": response(["pending"], USER, property="status"), "user_id": "u"},
    "my drafts": {"filter": response(["draft"], USER, property="status")},
    "answered by anybody": {"filter": response(["submitted", "draft"], property="status")},
    "pending or submitted": {"filter": response(["pending", "submitted"], property="status")},
    "by answer": {"filter": response(["a_much"], question="preference")},
    "by suggestion": {"filter": TermsFilter(scope=SUGGESTED, values=["a_much"])},
    "mine by place": {"filter": ANN, "sort": [Order(scope=metadata("place"), order="asc")]},
    "by time": {"sort": [Order(scope=RecordFilterScope(property="updated_at"), order="desc")]},
    "sorted by answers": {
        "sort": [Order(scope=ResponseFilterScope(question="accuracy"), order="desc")]
    },
    "search": {"query": "cat"},
}


async def explained(database):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    plans = {}

    def explain(name, sql, values):
        rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        plans[name] = [row[3] for row in rows]

    for name, page in PAGES.items():

        async def run(sql, values, name=name):
            explain(name, sql, values)
            if "+p.status" in sql:  # what it would be without the sign
                explain(f"{name}, without +", sql.replace("+p.status", "p.status"), values)
            return [("0" * 32, 1, -1.0)]

        await EmbeddedEngine(run).search(DATASET, **page)

    async def run_progress(sql, values):
        explain("my progress", sql, values)
        return []

    await EmbeddedEngine(run_progress).get_dataset_user_progress(DATASET, USER)
    return plans


print(json.dumps(asyncio.run(explained(sys.argv[1]))))
