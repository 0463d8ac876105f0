"""People grade answers in Argilla; their votes are kept here and become data."""
