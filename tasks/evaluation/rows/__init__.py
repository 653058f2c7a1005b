"""Rows of the `evaluations` table, one file per aspect."""
