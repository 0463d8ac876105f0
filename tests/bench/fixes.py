"""What the fixes and `measure.rules` cost: rows by CPU second of one thread, on real texts.

    python tests/bench/fixes.py <folder of data> [out.json]

Each step runs from table to table on the column `output` of `alpaca_en.parquet`, and masking also on
`pii_synthetic.parquet`, where every fifth row has something to mask.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl

from databuild.steps import STEPS

CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "measure.rules": ("measure.rules", {"starter": True}, {"files": ()}),
    "fix.normalize": ("fix.normalize", {}, {}),
    "fix.normalize, all options": (
        "fix.normalize",
        {"full_width": "narrow", "quotes": "plain"},
        {},
    ),
    "fix.mojibake": ("fix.mojibake", {}, {}),
    "fix.html": ("fix.html", {}, {}),
    "fix.split_fused": ("fix.split_fused", {}, {}),
    "fix.cut_last_turn": ("fix.cut_last_turn", {"column": "prompt"}, {}),
    "fix.mask": ("fix.mask", {}, {"seed": 7}),
    "fix.mask, pseudonyms": ("fix.mask", {"style": "pseudonym"}, {"seed": 7}),
}


def speed(name: str, texts: pl.Series) -> int:
    """Rows by CPU second of a step on a column."""
    use, options, resources = CASES[name]
    step = next(step for step in STEPS if step.name == use)
    rows = (
        texts.alias("prompt").to_frame().with_columns(row_id=pl.int_range(pl.len()).cast(pl.String))
    )
    config = step.config.model_validate(options)
    step.run(rows.head(10), config, **resources)
    started = time.process_time()
    step.run(rows, config, **resources)
    return round(rows.height / (time.process_time() - started))


def main(folder: Path, out: Path) -> None:
    """Write the figures."""
    plain = pl.read_parquet(folder / "alpaca_en.parquet")["output"]
    personal = pl.concat([pl.read_parquet(folder / "pii_synthetic.parquet")["full_text"]] * 10)
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, 1 thread",
        "versions": {"python": platform.python_version(), "polars": pl.__version__},
        "rows_per_cpu_s": {
            "alpaca_en (313 characters)": {name: speed(name, plain) for name in CASES},
            "pii_synthetic (80 characters)": {
                name: speed(name, personal) for name in CASES if name.startswith("fix.mask")
            },
        },
    }
    out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_suffix(".json"),
    )
