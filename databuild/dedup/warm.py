"""Compile every loop of near-dedup now: `python -m databuild.dedup.warm`, part of the install."""

from __future__ import annotations


def warm() -> None:
    """Compile what is not compiled yet and store it, so that no first run waits for it."""
    from databuild.dedup.kernels import folding, pairing, signing

    assert folding and pairing and signing


if __name__ == "__main__":
    warm()
