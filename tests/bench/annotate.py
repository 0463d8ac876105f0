"""The local Argilla under load: `python -m tests.bench.annotate [--records 50000]`.

Start time; records logged per second; 20 annotators who submit 50 answers each at the same time
(none lost, none doubled); the time of every page of a data set of many records. Wall time, because
people wait in it; the load of the machine is stated beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from databuild.annotate import local
from databuild.annotate.connection import Connection, connect
from databuild.annotate.people import add_user, call

HERE = Path(__file__).parent
GRADES = [
    "a_much",
    "a_better",
    "a_slightly",
    "a_negligibly",
    "b_negligibly",
    "b_slightly",
    "b_better",
    "b_much",
]
WORDS = [
    "the",
    "model",
    "answers",
    "a",
    "question",
    "about",
    "weather",
    "money",
    "travel",
    "cooking",
    "law",
    "music",
    "history",
    "code",
    "health",
    "sport",
]


def text(rng: np.random.Generator, n: int) -> str:
    return " ".join(rng.choice(WORDS, n))


def records(n: int, words: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    return [
        {
            "external_id": f"r{i}",
            "fields": {
                "prompt": text(rng, 20),
                "a": text(rng, words),
                "b": f"{text(rng, words)} rare{i % 500} 机器学习",
            },
            "metadata": {"source": f"s{i % 5}", "margin": float(rng.random())},
        }
        for i in range(n)
    ]


def make(server: Connection, name: str, min_submitted: int = 50) -> str:
    places = call(server, "GET", "/api/v1/me/workspaces")["items"]
    place = next(one["id"] for one in places if one["name"] == server.workspace)
    distribution = {"strategy": "overlap", "min_submitted": min_submitted}
    body = {"name": name, "workspace_id": place, "distribution": distribution}
    dataset = call(server, "POST", "/api/v1/datasets", body)["id"]
    at = f"/api/v1/datasets/{dataset}"
    for field in ("prompt", "a", "b"):
        settings = {"type": "text", "use_markdown": True}
        call(
            server,
            "POST",
            f"{at}/fields",
            {"name": field, "title": field, "required": True, "settings": settings},
        )
    options = [{"value": grade, "text": grade} for grade in GRADES]
    settings = {"type": "label_selection", "options": options, "visible_options": 8}
    call(
        server,
        "POST",
        f"{at}/questions",
        {"name": "preference", "title": "Better", "required": True, "settings": settings},
    )
    for name_, type_ in (("source", "terms"), ("margin", "float")):
        call(
            server,
            "POST",
            f"{at}/metadata-properties",
            {
                "name": name_,
                "title": name_,
                "settings": {"type": type_},
                "visible_for_annotators": True,
            },
        )
    call(server, "PUT", f"{at}/publish")
    return str(dataset)


def log(server: Connection, dataset: str, rows: list[dict[str, Any]]) -> float:
    """Records a second, in bulks of 500 as the SDK sends them."""
    begin = time.perf_counter()
    for at in range(0, len(rows), 500):
        call(
            server,
            "PUT",
            f"/api/v1/datasets/{dataset}/records/bulk",
            {"items": rows[at : at + 500]},
        )
    return len(rows) / (time.perf_counter() - begin)


def annotate(server: Connection, database: Path, n_users: int, n_each: int) -> dict[str, Any]:
    """All annotators at once: fetch the queue's next page, submit an answer, and so on."""
    dataset = make(server, "crowd")
    log(server, dataset, records(n_each * 2, 60))
    for i in range(n_users):
        add_user(server, f"user{i}", f"password-{i}")
    users = {one["username"]: one for one in call(server, "GET", "/api/v1/users")["items"]}
    taken: list[float] = []
    sent: set[tuple[str, str, str]] = set()
    errors: list[str] = []

    def work(i: int) -> None:
        me = users[f"user{i}"]
        own = Connection(server.url, me["api_key"])
        wanted = {
            "type": "terms",
            "scope": {"entity": "response", "property": "status"},
            "values": ["pending"],
        }
        left: list[str] = []
        for k in range(n_each):
            if not left:
                found = call(
                    own,
                    "POST",
                    f"/api/v1/me/datasets/{dataset}/records/search?limit=10",
                    {"filters": {"and": [wanted]}},
                )
                left = [item["record"]["id"] for item in found["items"]]
            record, grade = left.pop(), GRADES[(i + k) % 8]
            body = {"values": {"preference": {"value": grade}}, "status": "submitted"}
            begin = time.perf_counter()
            try:
                call(own, "POST", f"/api/v1/records/{record}/responses", body)
                sent.add((record.replace("-", ""), me["id"].replace("-", ""), grade))
            except Exception as error:  # noqa: BLE001  # each is counted and told
                errors.append(str(error))
            taken.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(n_users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - begin
    with sqlite3.connect(database) as read:
        kept = [
            (r, u, json.loads(v)["preference"]["value"])
            for r, u, v in read.execute('SELECT record_id, user_id, "values" FROM responses')
        ]
    return {
        "annotators": n_users, "submits": len(taken), "accepted": len(sent), "errors": errors[:3],
        "lost": len(sent - set(kept)), "doubled": len(kept) - len(set(kept)), "unasked": len(set(kept) - sent),
        "submits_per_s": round(len(taken) / wall, 1),
        "p50_s": round(float(np.quantile(taken, 0.5)), 3), "p95_s": round(float(np.quantile(taken, 0.95)), 3), "max_s": round(max(taken), 3),
    }  # fmt: skip


def fill(database: Path, dataset: str, n: int) -> float:
    """Copy the data set's records up to n by SQL (with the triggers), beside the running server."""
    import sys

    from databuild.annotate.installation import package_folder

    sys.path.insert(0, str(package_folder()))
    from importlib import import_module

    index = import_module("databuild_argilla_server.index")

    begin = time.perf_counter()
    with sqlite3.connect(database, timeout=60) as write:
        index.add_functions(write)
        key = dataset.replace("-", "")
        had = write.execute("SELECT count(*) FROM records WHERE dataset_id = ?", [key]).fetchone()[
            0
        ]
        write.execute(
            """WITH RECURSIVE times(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM times WHERE k < ?)
            INSERT INTO records (id, fields, metadata, status, external_id, dataset_id, inserted_at, updated_at)
            SELECT lower(hex(randomblob(16))), fields, metadata, status, external_id || '-' || k, dataset_id, inserted_at, updated_at
            FROM records, times WHERE dataset_id = ?""",
            [n // had - 1, key],
        )
    return time.perf_counter() - begin


def pages(server: Connection, dataset: str) -> dict[str, float]:
    """The median of three requests of every kind that the page makes, in seconds."""
    at = f"/api/v1/me/datasets/{dataset}/records/search"
    pending = {
        "type": "terms",
        "scope": {"entity": "response", "property": "status"},
        "values": ["pending"],
    }
    status = {
        "type": "terms",
        "scope": {"entity": "record", "property": "status"},
        "values": ["pending"],
    }
    source = {
        "type": "terms",
        "scope": {"entity": "metadata", "metadata_property": "source"},
        "values": ["s3"],
    }
    margin = {
        "type": "range",
        "scope": {"entity": "metadata", "metadata_property": "margin"},
        "ge": 0.2,
        "le": 0.4,
    }
    graded = {
        "type": "terms",
        "scope": {"entity": "response", "question": "preference"},
        "values": ["a_much"],
    }
    by_margin = [{"scope": {"entity": "metadata", "metadata_property": "margin"}, "order": "desc"}]
    queue = [pending, status]
    asked: dict[str, tuple[str, str, Any]] = {
        "queue": ("POST", f"{at}?limit=10", {"filters": {"and": queue}}),
        "queue, deep": ("POST", f"{at}?limit=10&offset=5000", {"filters": {"and": queue}}),
        "a word of every record": (
            "POST",
            f"{at}?limit=10",
            {"query": {"text": {"q": "weather"}}, "filters": {"and": queue}},
        ),
        "a rare word": (
            "POST",
            f"{at}?limit=10",
            {"query": {"text": {"q": "rare77"}}, "filters": {"and": queue}},
        ),
        "Chinese": (
            "POST",
            f"{at}?limit=10",
            {"query": {"text": {"q": "学习"}}, "filters": {"and": queue}},
        ),
        "without a word": (
            "POST",
            f"{at}?limit=10",
            {"query": {"text": {"q": "weather -rare77"}}, "filters": {"and": queue}},
        ),
        "metadata": ("POST", f"{at}?limit=10", {"filters": {"and": [*queue, source]}}),
        "metadata range": ("POST", f"{at}?limit=10", {"filters": {"and": [*queue, margin]}}),
        "sorted by metadata": (
            "POST",
            f"{at}?limit=10",
            {"filters": {"and": queue}, "sort": by_margin},
        ),
        "by answer": ("POST", f"{at}?limit=10", {"filters": {"and": [graded]}}),
        "progress": ("GET", f"/api/v1/datasets/{dataset}/progress", None),
        "own progress": ("GET", f"/api/v1/me/datasets/{dataset}/metrics", None),
    }
    for one in call(server, "GET", f"/api/v1/me/datasets/{dataset}/metadata-properties")["items"]:
        asked[f"metrics of {one['name']}"] = (
            "GET",
            f"/api/v1/metadata-properties/{one['id']}/metrics",
            None,
        )
    took = {}
    for name, (method, path, body) in asked.items():
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            call(server, method, path, body)
            times.append(time.perf_counter() - begin)
        took[name] = round(sorted(times)[1], 3)
    return took


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--records", type=int, default=50_000)
    n = asked.parse_args().records
    with tempfile.TemporaryDirectory(prefix="databuild-bench-") as home:
        os.environ["DATABUILD_HOME"] = home
        database = Path(home) / "argilla" / "argilla.db"
        try:
            figures: dict[str, Any] = {
                "date": f"{datetime.now(UTC):%Y-%m-%d}",
                "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                "load_before": os.getloadavg()[0],
            }
            begin = time.perf_counter()
            local.start("127.0.0.1", 6977, print)
            figures["first_start_s"] = round(time.perf_counter() - begin, 1)
            local.stop()
            begin = time.perf_counter()
            local.start("127.0.0.1", None, print)
            figures["start_s"] = round(time.perf_counter() - begin, 1)
            server = connect()
            figures["crowd"] = annotate(server, database, 20, 50)
            large = make(server, "large")
            figures["logged_records_per_s"] = round(log(server, large, records(1000, 160)), 1)
            figures["fill_s"] = round(fill(database, large, n), 1)
            figures["records"] = n
            figures["pages_s"] = pages(server, large)
            figures["database_mb"] = round(
                sum(path.stat().st_size for path in database.parent.glob("argilla.db*")) / 1e6
            )
        finally:
            local.stop()
    figures["load_after"] = os.getloadavg()[0]
    (HERE / "annotate.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
