"""One step on a few texts, its columns without the measured column's name."""

from __future__ import annotations

import polars as pl


def measured(step, prefix, columns, **options):
    """Run a measure over columns of texts; a dict of lists by fact."""
    n = max(len(values) for values in columns.values())
    rows = pl.DataFrame(
        {"row_id": [str(i) for i in range(n)], **columns},
        schema_overrides={
            name: pl.String
            for name, values in columns.items()
            if all(value is None or isinstance(value, str) for value in values)
        },
    )
    found = step(rows, step.config(**options))
    assert found["row_id"].to_list() == rows["row_id"].to_list()
    assert tuple(found.columns[1:]) == step.columns_added(step.config(**options))
    return {name.removeprefix(f"{prefix}_"): found[name].to_list() for name in found.columns}
