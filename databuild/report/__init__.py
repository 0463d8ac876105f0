"""What a run found, as plain values and as one page."""
