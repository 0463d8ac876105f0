"""Run by the server's own Python: an Argilla that databuild's commands know nothing of.

`team_server.py FOLDER PORT SOCKET`. Accounts were made with Argilla's own command line; settings
come from the environment (the variables of Argilla's documentation). Only the search engine is
ours, because no Elasticsearch can be had where the tests run.
"""

import importlib
import sys
from pathlib import Path

import uvicorn
from databuild_argilla_server import engine, index, storage

folder, port = Path(sys.argv[1]), int(sys.argv[2])
index.prepare(folder / "argilla.db", storage.tell)
assert engine.NAME == "embedded"
uvicorn.run(importlib.import_module("argilla_server").app, host="127.0.0.1", port=port)
