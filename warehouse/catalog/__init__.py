"""The DuckDB catalog over the committed datasets, and the pages written from it."""
