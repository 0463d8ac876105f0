"""How well and how fast `measure.pii` finds personal data in labelled sentences.

    python tests/bench/pii.py <folder of data> [out.json]

The folder holds `pii_synthetic.parquet`: `full_text` and `spans` (entity_type, start, end), and, for
the speed, any of the other tables. A span is right when it overlaps a labelled one of its type;
`exact` counts those with the same ends. Recall is over the labels of the types that are claimed;
labels that no pattern can find (names, places, dates) are counted as not claimed. Speed: texts by
CPU second of one thread, the step from table to columns.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl

from databuild.measure.pii import PiiConfig, measure_pii
from databuild.text.pii import find_in

LABELS = {
    "email": "EMAIL_ADDRESS",
    "phone": "PHONE_NUMBER",
    "credit_card": "CREDIT_CARD",
    "iban": "IBAN_CODE",
    "us_ssn": "US_SSN",
    "ip_address": "IP_ADDRESS",
}
SPEED = {
    "alpaca_en": ("output",),
    "gsm8k_train": ("answer",),
    "alpacaeval_best_of_k": ("output",),
    "code_gpteacher": ("output",),
    "pii_synthetic": ("full_text",),
}


def judge(table: pl.DataFrame) -> dict[str, Any]:
    """Precision over all spans of any type that were found, recall by type."""
    found = dict(find_in(table["full_text"]))
    right: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    labelled: Counter[str] = Counter()
    n_found = 0
    for row, spans in enumerate(table["spans"]):
        mine = found.get(row, [])
        n_found += len(mine)
        for kind, label in LABELS.items():
            true = [(s["start"], s["end"]) for s in spans if s["entity_type"] == label]
            hits = [s for s in mine if s.type == kind]
            labelled[kind] += len(true)
            right[kind] += sum(any(s.start < e and b < s.end for b, e in true) for s in hits)
            exact[kind] += sum((s.start, s.end) in true for s in hits)
    others = Counter(s["entity_type"] for spans in table["spans"] for s in spans)
    return {
        "sentences": table.height,
        "spans_found": n_found,
        "precision": round(right.total() / n_found, 4),
        "exact_of_right": round(exact.total() / right.total(), 4),
        "recall": {kind: round(right[kind] / labelled[kind], 4) for kind in LABELS},
        "labels": dict(labelled),
        "labels_not_claimed": {k: n for k, n in others.most_common() if k not in LABELS.values()},
    }


def speed(texts: pl.Series) -> dict[str, float]:
    """Rows by CPU second of the measure on copies of a column, about 20,000 rows."""
    texts = pl.concat([texts] * max(1, 20_000 // len(texts))).alias("prompt")
    rows = texts.to_frame().with_columns(row_id=pl.int_range(pl.len()).cast(pl.String))
    started = time.process_time()
    made = measure_pii(rows, PiiConfig())
    seconds = time.process_time() - started
    return {
        "rows": rows.height,
        "mean_chars": round(float(texts.str.len_chars().mean() or 0)),
        "rows_with_spans_ratio": round(made.filter(pl.col("prompt_pii_count") > 0).height / rows.height, 4),
        "rows_per_cpu_s": round(rows.height / seconds),
    }  # fmt: skip


def main(folder: Path, out: Path) -> None:
    """Write the figures; no text of the data is among them."""
    dense = pl.read_parquet(folder / "pii_synthetic.parquet")["full_text"].to_list()
    joined = pl.Series(["\n".join(dense[i : i + 5]) for i in range(0, len(dense), 5)])
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, 1 thread",
        "versions": {"python": platform.python_version(), "polars": pl.__version__},
        "quality": judge(pl.read_parquet(folder / "pii_synthetic.parquet")),
        "speed": {
            name: speed(pl.read_parquet(folder / f"{name}.parquet")[column])
            for name, (column,) in SPEED.items()
            if (folder / f"{name}.parquet").exists()
        }
        | {"pii_synthetic, five sentences a row": speed(joined)},
    }
    out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_suffix(".json"),
    )
