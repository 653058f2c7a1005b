"""Datasets at rest: staged, then committed; references, pseudonyms, waveform columns."""
