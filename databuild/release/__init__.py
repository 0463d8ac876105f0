"""Versions of a data set that a training team can trust: released, compared, taken back."""
