"""Evaluation of a cohort: does it look real, show what was asked for, help a classifier."""
