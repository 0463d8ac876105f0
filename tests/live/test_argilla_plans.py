"""Every page of Argilla is answered by index: asserted of SQLite's plans, not of times."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from databuild.annotate.connection import server_folder
from databuild.annotate.installation import environment, package_folder

if TYPE_CHECKING:
    from databuild.annotate.connection import Connection

pytestmark = pytest.mark.live

EXPLAIN = Path(__file__).parent / "argilla_upstream" / "explain_pages.py"
WITHOUT = ", without +"
# Of each table, what its rows must be found by: p responses, r records, s suggestions.
BY = {"r": "COVERING INDEX dbx_records_small (dataset_id=?", "p": "(record_id=?",
      "s": "(record_id=?", "d": "INTEGER PRIMARY KEY"}  # fmt: skip


def test_no_page_reads_a_whole_table_of_the_server(argilla: Connection) -> None:
    words = [
        str(environment() / "bin" / "python"),
        str(EXPLAIN),
        str(server_folder() / "argilla.db"),
    ]
    paths = {**os.environ, "PYTHONPATH": str(package_folder())}
    done = subprocess.run(
        words, env=paths, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    plans = json.loads(done.stdout)
    pages = {name: plan for name, plan in plans.items() if not name.endswith(WITHOUT)}
    assert len(pages) == 11
    for name, plan in pages.items():
        read = [line.split() for line in plan if line.startswith(("SEARCH", "SCAN"))]
        assert any(words[1] == "r" for words in read), name
        for line in read:
            if line[1] in BY:
                assert line[0] == "SEARCH", (name, plan)
                assert BY[line[1]] in " ".join(line), (name, plan)
    # The guard can fail: without the sign SQLite reads all responses of a status for each record.
    careless = "\n".join(plans[f"pending or submitted{WITHOUT}"])
    assert "SEARCH p USING INDEX ix_responses_status (status=?)" in careless
