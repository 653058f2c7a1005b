"""Readers of ECG datasets; each yields the same record type."""
