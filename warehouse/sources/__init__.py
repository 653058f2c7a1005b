"""Readers of ECG datasets: `registry` knows them, `source` says what a reader does, `record` what each yields.

To add a dataset layout, write its reader into a file here and add the line of its kind to `registry.SOURCES`.
"""
