"""Compiled loops of near-dedup. Importing one loads numba: import them inside functions only."""
