"""Ingestion: recordings in, one checked and measured table out, split by patient."""
