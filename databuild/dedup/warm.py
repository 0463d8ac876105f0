"""Compile every loop of near-dedup now, and store its table: `python -m databuild.dedup.warm`.

A part of the install.
"""

from __future__ import annotations


def warm() -> None:
    """Compile what is not compiled yet and store it, so that no first run waits for it."""
    import databuild.dedup.kernels.folding
    import databuild.dedup.kernels.numbering
    import databuild.dedup.kernels.overlap
    import databuild.dedup.kernels.pairing
    import databuild.dedup.kernels.signing  # noqa: F401 - importing compiles
    from databuild.dedup.folding_table import folding_table

    folding_table()


if __name__ == "__main__":
    warm()
