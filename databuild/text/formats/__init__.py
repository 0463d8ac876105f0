"""The formats that rows are read from and written to, one record at a time, both ways together."""
