"""From a decoded record to the windows that are stored, for every source alike, and whether they are fit to use."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from models.leads import INDEPENDENT_LEADS, LIMB_LEAD_IDENTITIES
from warehouse.sources.record import BadRecord
from warehouse.storage.waveforms import LARGEST_MV

LOWEST_RATE_HZ = 100.0
"""A QRS complex has power up to 40 Hz (Thakor et al. 1984), which slower sampling does not hold."""
SAME_RATE = 1e-4
"""Relative difference of two sampling rates that count as one: 1 ms in 10 s."""
LONGEST_GAP_S = 0.02
"""Invalid samples in a row that are bridged by a straight line, and flagged. Half the duration of the shortest wave."""
FILTER_SAMPLES = 10
"""Half the length of the polyphase filter (scipy's), in samples of the lower rate: how far a gap reaches."""
SMALLEST_SPAN_MV = 0.05
"""A recording none of whose leads spans more is no ECG in mV; the smallest QRS complex of PTB-XL's has 0.1 mV."""
LARGEST_IDENTITY_RESIDUAL_MV = 0.1
SMALLEST_IDENTITY_RESIDUAL_MV = 0.02
IDENTITY_RESIDUAL = 0.1
"""Bounds on the 99th percentile of a limb-lead identity's violation: a tenth of the limb leads' own 99th percentile,
but from 0.02 mV, since recordings are rounded (to 5 µV by many), to 0.1 mV. A lead scaled by 1.2 violates it, as does
a swapped pair of leads."""


@dataclass(frozen=True)
class RecordedLeads:
    """A record as its file holds it, decoded."""

    rate_hz: float
    """Sampling rate."""
    millivolts: dict[str, np.ndarray]
    """Samples of each lead in mV, all of one length; NaN marks invalid ones. Standard leads have their standard names,
    others are called as the file calls them."""


@dataclass(frozen=True)
class Window:
    """A window that can be used."""

    start_s: float
    """Where it begins in the record."""
    millivolts: np.ndarray
    """(8, samples) float32 mV, leads in the order of `INDEPENDENT_LEADS`."""
    bridged: tuple[str, ...]
    """Leads with invalid samples that were bridged."""


@dataclass(frozen=True)
class RefusedWindow:
    """A window that cannot be used."""

    start_s: float
    why: BadRecord


def independent_windows(
    recorded: RecordedLeads, rate_hz: int, samples: int, every: bool = False
) -> list[Window | RefusedWindow]:
    """The eight independent leads of a record, in windows, after every check that does not depend on its format.

    Args:
        rate_hz: sampling rate that is wanted; a record of another one is resampled.
        samples: length of a window.
        every: whether to take all whole windows, from the first sample on; otherwise only the first.

    Raises:
        BadRecord: why no window can be had.
    """
    leads = recorded.millivolts
    if missing := [lead for lead in INDEPENDENT_LEADS if lead not in leads]:
        named = ", ".join(name[:20] for name in list(leads)[:20])
        raise BadRecord("missing_lead", f"no {', '.join(missing)} among the leads {named}")
    if recorded.rate_hz < LOWEST_RATE_HZ * (1 - SAME_RATE):
        raise BadRecord("wrong_rate", f"sampled at {recorded.rate_hz:g} Hz; {LOWEST_RATE_HZ:g} Hz are needed")
    ratio = Fraction(1)
    if abs(recorded.rate_hz / rate_hz - 1) > SAME_RATE:
        ratio = Fraction(rate_hz / recorded.rate_hz).limit_denominator(1000)
    there = len(leads["I"])
    if (found := -(-there * ratio.numerator // ratio.denominator)) < samples:
        raise BadRecord("too_short", f"{found} samples at {rate_hz} Hz, {samples} are needed")
    names = [name for name in (*INDEPENDENT_LEADS, *LIMB_LEAD_IDENTITIES) if name in leads]
    if not every:
        # As much as the window's last sample depends on.
        reach = min(there, int((samples + 2 * FILTER_SAMPLES) / min(ratio, Fraction(1))) + 2 * FILTER_SAMPLES)
        reach = reach if ratio != 1 else samples
        leads = {name: leads[name][:reach] for name in names}
    prepared, bridged, invalid = _prepared(np.stack([leads[name] for name in names]), recorded.rate_hz, ratio)
    windows: list[Window | RefusedWindow] = []
    for start in range(0, found - samples + 1 if every else 1, samples):
        here = slice(start, start + samples)
        window, stored = prepared[:, here], prepared[: len(INDEPENDENT_LEADS), here]
        try:
            _check_samples(stored, invalid[: len(INDEPENDENT_LEADS), here].sum(axis=1))
            valid = np.where(invalid[:, here], np.nan, window)
            _check_identities(dict(zip(names, valid, strict=True)))
            flagged = tuple(lead for lead, gap in zip(INDEPENDENT_LEADS, bridged[:, here], strict=False) if gap.any())
            windows.append(Window(start / rate_hz, stored.astype(np.float32), flagged))
        except BadRecord as error:
            windows.append(RefusedWindow(start / rate_hz, error))
    return windows


def first_window(recorded: RecordedLeads, rate_hz: int, samples: int) -> np.ndarray:
    """The first window of a record: (8, samples) float32 mV, leads in the order of `INDEPENDENT_LEADS`.

    Raises:
        BadRecord: why it cannot be used.
    """
    window = independent_windows(recorded, rate_hz, samples)[0]
    if isinstance(window, RefusedWindow):
        raise window.why
    return window.millivolts


def resampled(values: np.ndarray, up: int, down: int) -> np.ndarray:
    """Samples, along the last axis, at `up / down` times their rate.

    A polyphase filter keeps what lies below half of both rates. The ends are continued along the line between them, so
    that an offset leaves no step. Invalid samples spread.
    """
    from scipy.signal import resample_poly

    found: np.ndarray = resample_poly(values, up, down, axis=-1, padtype="line")
    return found


def _prepared(values: np.ndarray, rate_hz: float, ratio: Fraction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leads at the wanted rate, where they were bridged, and where they are invalid, (leads, samples) each."""
    valid = np.isfinite(values)
    invalid, bridged = np.zeros(values.shape, bool), np.zeros(values.shape, bool)
    for lead in np.flatnonzero(~valid.all(axis=1)):
        edges = np.flatnonzero(np.diff(np.concatenate([[True], valid[lead], [True]])))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            short = end - start <= LONGEST_GAP_S * rate_hz and start > 0 and end < values.shape[1]
            (bridged if short else invalid)[lead, start:end] = True
        at = np.flatnonzero(valid[lead])
        values[lead] = np.interp(np.arange(values.shape[1]), at, values[lead, at]) if at.size else 0.0
    if ratio == 1:
        return values, bridged, invalid
    found = resampled(values, ratio.numerator, ratio.denominator)
    return found, _reached(bridged, found.shape[1], 0), _reached(invalid, found.shape[1], FILTER_SAMPLES)


def _reached(mask: np.ndarray, samples: int, beyond: int) -> np.ndarray:
    """Masks at another rate: the samples that a marked one has a part in."""
    found = np.zeros((len(mask), samples), bool)
    lead, at = np.nonzero(mask)
    for offset in range(-beyond, beyond + 1):
        found[lead, np.clip(at * samples // mask.shape[1] + offset, 0, samples - 1)] = True
    return found


def _check_samples(stored: np.ndarray, invalid: np.ndarray) -> None:
    """Check the leads of a window, (8, samples), of which so many samples each are invalid."""
    if invalid.any():
        counts = ", ".join(
            f"{lead} {count}" for lead, count in zip(INDEPENDENT_LEADS, invalid.tolist(), strict=True) if count
        )
        raise BadRecord("invalid_samples", f"invalid samples of {stored.shape[1]}: {counts}")
    largest = float(np.abs(stored).max())
    if largest > LARGEST_MV:
        raise BadRecord("out_of_range", f"amplitude {largest:.4g} mV; at most {LARGEST_MV:g} mV can be stored")
    if (span := float(np.ptp(stored, axis=1).max())) < SMALLEST_SPAN_MV:
        raise BadRecord("no_signal", f"no lead spans more than {span:.3g} mV")


def _check_identities(leads: dict[str, np.ndarray]) -> None:
    """Check III, aVR, aVL and aVF, where the record holds them, against I and II (Einthoven 1913, Goldberger 1942)."""
    for name, (of_i, of_ii) in LIMB_LEAD_IDENTITIES.items():
        if name not in leads:
            continue
        violation = leads[name] - (of_i * leads["I"] + of_ii * leads["II"])
        # A derived lead may hold invalid samples: it is not stored, so they only leave the check, as does its offset.
        there = violation[np.isfinite(violation)]
        if not there.size or np.ptp(there) <= SMALLEST_IDENTITY_RESIDUAL_MV:
            continue  # so it is from their median
        there = np.abs(there - np.median(there))
        if there.max() <= SMALLEST_IDENTITY_RESIDUAL_MV:
            continue
        size = max(np.quantile(np.abs(leads[lead] - np.median(leads[lead])), 0.99) for lead in ("I", "II"))
        bound = min(LARGEST_IDENTITY_RESIDUAL_MV, max(SMALLEST_IDENTITY_RESIDUAL_MV, IDENTITY_RESIDUAL * size))
        if (residual := np.quantile(there, 0.99)) > bound:
            raise BadRecord("lead_identity", f"lead {name} differs from its sum of I and II by {residual:.3g} mV")
