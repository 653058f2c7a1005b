"""Electrodes exchanged on purpose are found; how often on real recordings is measured by the benchmark of that name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.ecg.electrode_swaps import SWAPS, electrode_swaps, swap_matrix
from models.ecg.r_peaks import locate_r_peaks
from models.leads import to_twelve_leads
from warehouse.sources.registry import open_source


@pytest.fixture(scope="module")
def real(shared_data: Path) -> np.ndarray:
    """Recordings of fold 9, of which some may have been recorded with exchanged electrodes."""
    source = open_source("ptbxl", shared_data / "ptbxl")
    return np.stack([source.read(one, 100) for one in source.records() if one.strat_fold == 9][:120])


@pytest.mark.parametrize("name", SWAPS)
def test_exchanged_electrodes_are_found(real: np.ndarray, name: str) -> None:
    swapped = (swap_matrix(name) @ real).astype(np.float32)
    found = electrode_swaps(swapped, locate_r_peaks(swapped, 100), 100)
    assert found[name].mean() > 0.95
    as_they_are = electrode_swaps(real, locate_r_peaks(real, 100), 100)
    assert np.any(list(as_they_are.values()), axis=0).sum() <= 2


@pytest.mark.parametrize(
    ("name", "limb"),
    [
        ("ra_la", {"I": (-1, "I"), "II": (1, "III"), "III": (1, "II"), "aVR": (1, "aVL"), "aVF": (1, "aVF")}),
        ("ra_ll", {"I": (-1, "III"), "II": (-1, "II"), "III": (-1, "I"), "aVR": (1, "aVF"), "aVL": (1, "aVL")}),
    ],
)
def test_exchanged_limb_electrodes_change_leads_as_textbooks_say(name: str, limb: dict[str, tuple[int, str]]) -> None:
    from models.leads import STANDARD_LEADS

    right = np.random.default_rng(1).normal(size=(8, 50))
    twelve, swapped = to_twelve_leads(right), to_twelve_leads(swap_matrix(name) @ right)
    for lead, (sign, becomes) in limb.items():
        np.testing.assert_allclose(
            swapped[STANDARD_LEADS.index(lead)], sign * twelve[STANDARD_LEADS.index(becomes)], atol=1e-6
        )
    np.testing.assert_allclose(swap_matrix(name) @ swap_matrix(name), np.eye(8))


def test_without_two_beats_nothing_is_said(real: np.ndarray) -> None:
    swapped = (swap_matrix("ra_la") @ real[:1]).astype(np.float32)
    assert not electrode_swaps(swapped, [np.array([500.0])], 100)["ra_la"].any()
