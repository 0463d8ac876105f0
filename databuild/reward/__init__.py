"""Say how good an answer is."""
