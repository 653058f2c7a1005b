"""Attacks on released ECGs: membership inference and the search for near copies."""
