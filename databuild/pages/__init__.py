"""Self-contained pages and their plots, for whoever has something to show."""
