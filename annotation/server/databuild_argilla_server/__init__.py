"""Argilla's server on one machine without Elasticsearch, Docker or a separate Redis.

Runs in the server's own environment (`annotation/server/requirements.lock`), never in databuild's.
It registers a search engine that answers from Argilla's own SQLite tables, and starts the server,
the worker and the queue. Only `argilla_server`, numpy and the standard library are imported.
"""
