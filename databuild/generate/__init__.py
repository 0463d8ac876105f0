"""Ask models for answers."""
