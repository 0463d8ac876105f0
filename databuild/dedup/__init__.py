"""One of several rows that say the same: exact and near duplicates."""
