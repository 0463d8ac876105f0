"""The server itself: one uvicorn process with the embedded engine."""

from __future__ import annotations

import asyncio
import importlib
import tempfile
from pathlib import Path
from typing import Any

import uvicorn

from databuild_argilla_server import engine, index, storage

# The page keeps in the browser, for each data set, whether the guidelines are unfolded; without an
# entry they are not, and nobody reads them. So there is one from the first visit on; whoever folds
# them away changes it, and it stays so.
_UNFOLDED = """<script>(function () {
  var get = Storage.prototype.getItem;
  Storage.prototype.getItem = function (name) {
    var kept = get.call(this, name);
    var found = /\\/dataset\\/([0-9a-f-]{36})\\//.exec(location.pathname);
    if (name !== "argilla" || !found) return kept;
    try {
      var all = JSON.parse(kept || "{}"), panel = found[1] + "-q-h-rz}";
      all.layout = all.layout || {};
      all.layout[panel] = all.layout[panel] || {isExpanded: true, position: "66%"};
      return JSON.stringify(all);
    } catch (error) { return kept; }
  };
})();</script>"""


def unfold_guidelines(pages: Path) -> int:
    """Let the page show the guidelines from the first visit on; return how many files changed.

    Argilla copies its page into a new temporary folder when it is imported; the copy is changed.
    """
    changed = 0
    for path in pages.glob("*/statics/**/*.html"):
        text = path.read_text(encoding="utf-8")
        if "<head>" in text and _UNFOLDED not in text:
            text = text.replace("<head>", f"<head>{_UNFOLDED}", 1)
            path.write_text(text, encoding="utf-8")
            changed += 1
    return changed


def serve(folder: Path, settings: dict[str, Any], secrets: dict[str, str]) -> None:
    """Prepare the database and answer until told to stop."""
    database = folder / "argilla.db"
    storage.migrate(database)
    index.prepare(database, storage.tell)
    asyncio.run(storage.add_owner(secrets, settings["workspace"]))
    storage.tell(f"search engine: {engine.NAME}")
    app = importlib.import_module("argilla_server").app
    unfold_guidelines(Path(tempfile.gettempdir()))
    uvicorn.run(
        app,
        host=settings["host"],
        port=settings["port"],
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )
