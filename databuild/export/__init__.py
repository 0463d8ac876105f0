"""Hand rows to the outside world, in the formats that others read."""
