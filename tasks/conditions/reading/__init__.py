"""Reads words into statements with negation and certainty, and into numbers: for requests and for reports."""
