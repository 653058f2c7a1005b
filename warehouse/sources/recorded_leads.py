"""From a decoded record to the window that is stored, for every source alike, and whether that is fit to use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES
from warehouse.sources.record import BadRecord
from warehouse.storage.waveforms import LARGEST_MV

LARGEST_IDENTITY_RESIDUAL_MV = 0.1
"""Bound on the 99th percentile of a limb-lead identity's violation. Recordings rounded to 1 µV violate it by 0.002 mV,
a swapped pair of leads by tenths of a millivolt."""


@dataclass(frozen=True)
class RecordedLeads:
    """A record as its file holds it, decoded."""

    rate_hz: float
    """Sampling rate."""
    millivolts: dict[str, np.ndarray]
    """Samples of each lead in mV, all of one length; NaN marks invalid ones. Standard leads have their standard names,
    others are called as the file calls them."""


def independent_leads(recorded: RecordedLeads, rate_hz: int, samples: int) -> np.ndarray:
    """The first window of the eight independent leads, after every check that does not depend on the file's format.

    Args:
        rate_hz: sampling rate that the record must have.
        samples: length of the window.

    Returns:
        (8, samples) float32 mV, leads in the order of `INDEPENDENT_LEADS`.

    Raises:
        BadRecord: why the record cannot be used.
    """
    leads = recorded.millivolts
    if missing := [lead for lead in INDEPENDENT_LEADS if lead not in leads]:
        raise BadRecord("missing_lead", f"no {', '.join(missing)} among the leads {', '.join(leads)}")
    if abs(recorded.rate_hz - rate_hz) > 1e-6:
        raise BadRecord("wrong_rate", f"sampled at {recorded.rate_hz:g} Hz, not at {rate_hz} Hz")
    if (found := leads[INDEPENDENT_LEADS[0]].size) < samples:
        raise BadRecord("too_short", f"{found} samples, {samples} are needed")
    window = {name: values[:samples] for name, values in leads.items()}
    stored = np.stack([window[lead] for lead in INDEPENDENT_LEADS])
    _check_samples(stored)
    _check_identities(window)
    return stored.astype(np.float32)


def _check_samples(stored: np.ndarray) -> None:
    invalid = dict(zip(INDEPENDENT_LEADS, (~np.isfinite(stored)).sum(axis=1), strict=True))
    if any(invalid.values()):
        counts = ", ".join(f"{lead} {count}" for lead, count in invalid.items() if count)
        raise BadRecord("invalid_samples", f"invalid samples of {stored.shape[1]}: {counts}")
    largest = float(np.abs(stored).max())
    if largest > LARGEST_MV:
        raise BadRecord("out_of_range", f"amplitude {largest:.4g} mV; at most {LARGEST_MV:g} mV can be stored")
    if not np.ptp(stored, axis=1).any():
        raise BadRecord("no_signal", "every lead is constant")


def _check_identities(leads: dict[str, np.ndarray]) -> None:
    """Check III, aVR, aVL and aVF, where the record holds them, against I and II (Einthoven 1913, Goldberger 1942)."""
    for name, (of_i, of_ii) in LIMB_LEAD_IDENTITIES.items():
        if name not in leads:
            continue
        violation = np.abs(leads[name] - (of_i * leads["I"] + of_ii * leads["II"]))
        # A derived lead may hold invalid samples: it is not stored, so they only leave the check.
        residual = float(np.nanquantile(violation, 0.99)) if np.isfinite(violation).any() else 0.0
        if residual > LARGEST_IDENTITY_RESIDUAL_MV:
            raise BadRecord("lead_identity", f"lead {name} differs from its sum of I and II by {residual:.3g} mV")
