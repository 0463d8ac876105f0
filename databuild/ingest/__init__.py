"""Read files: every record becomes a row, or fails with a reason."""
