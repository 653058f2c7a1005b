"""Diagnostic superclasses of ECG statements."""

from typing import Final

SUPERCLASSES: Final = ("NORM", "MI", "STTC", "CD", "HYP")
"""PTB-XL's diagnostic superclasses: normal, myocardial infarction, ST/T change, conduction disturbance, hypertrophy."""
