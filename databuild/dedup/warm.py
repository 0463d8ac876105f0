"""Compile every loop of near-dedup now: `python -m databuild.dedup.warm`, part of the install."""

from __future__ import annotations


def warm() -> None:
    """Compile what is not compiled yet and store it, so that no first run waits for it."""
    import databuild.dedup.kernels.folding
    import databuild.dedup.kernels.pairing
    import databuild.dedup.kernels.signing  # noqa: F401 - importing compiles


if __name__ == "__main__":
    warm()
