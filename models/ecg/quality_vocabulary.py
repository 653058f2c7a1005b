"""The vocabulary of quality flags: every name that a recording can carry, and what it means."""

from typing import Final

LEAD_FLAGS: Final = {
    "flat_lead": "spans less than 20 µV, or stands still for two seconds",
    "saturated_lead": "leaves the range of 16 bits at 1 µV",
    "clipped_lead": "stays at its extreme for 60 ms at a stretch, more than 0.5 mV from its median",
}
"""Flags about one lead, with the suffix `_i` … `_v6`, and what they mean."""
RECORDING_FLAGS: Final = {
    "no_r_peaks": "no R peak is found",
    "baseline_wander": "slow drift with a standard deviation above 0.5 mV in some lead",
    "noisy": "high-frequency noise above 30 µV in some lead",
}
"""Flags about the whole recording, and what they mean."""
UNUSABLE_FLAGS: Final = (*LEAD_FLAGS, "no_r_peaks")
"""Recordings with one of these (a lead's flag with any suffix) are not learned from."""
