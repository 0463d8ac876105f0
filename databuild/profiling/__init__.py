"""What is in a table, and what changed between two: counted, never judged by a model."""
