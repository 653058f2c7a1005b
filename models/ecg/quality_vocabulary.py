"""The vocabulary of quality flags: every name that a recording can carry, and what it means."""

from typing import Final

LEAD_FLAGS: Final = {
    "missing_samples": "up to 20 ms of samples in a row were invalid and are bridged by a straight line",
    "flat_lead": "spans less than 20 µV, or less than 50 µV for three seconds, or stands still for two",
    "saturated_lead": "leaves the range of 16 bits at 1 µV",
    "clipped_lead": "stays at its extreme for 60 ms at a stretch, more than 0.5 mV from its median",
}
"""Flags about one lead, with the suffix `_i` … `_v6`, and what they mean."""
RECORDING_FLAGS: Final = {
    "no_r_peaks": "no R peak is found",
    "implausible_amplitude": "the largest lead spans less than 0.5 mV or more than 15 mV, so its gain may be wrong",
    "baseline_wander": "slow drift with a standard deviation above 0.5 mV in some lead",
    "noisy": "noise between 20 and 40 Hz above 30 µV in some lead",
    "noise_burst": "noise between 20 and 40 Hz above 100 µV for a second in some lead, more than three times the usual",
    "mains_50_hz": "a line at 50 Hz with an amplitude above 20 µV in some lead",
    "mains_60_hz": "a line at 60 Hz with an amplitude above 20 µV in some lead; not seen at 100 Hz",
    "pacemaker_spikes": "pulses of 20 ms at most before most QRS complexes",
    "electrode_swap_ra_la": "leads as if the electrodes of right and left arm were exchanged",
    "electrode_swap_ra_ll": "leads as if the electrodes of right arm and left leg were exchanged",
    "electrode_swap_v1_v2": "leads as if the electrodes V1 and V2 were exchanged",
}
"""Flags about the whole recording, and what they mean."""
UNUSABLE_FLAGS: Final = (*LEAD_FLAGS, "no_r_peaks")
"""Recordings with one of these (a lead's flag with any suffix) are not learned from."""
