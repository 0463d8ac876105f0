"""databuild."""
