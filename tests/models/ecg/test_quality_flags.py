"""Quality flags: each is raised by what it names, and the vocabulary lists them all."""

from __future__ import annotations

import numpy as np

from models.ecg.quality_vocabulary import LEAD_FLAGS, RECORDING_FLAGS
from models.leads import INDEPENDENT_LEADS
from tests.models.ecg.test_measurements import beat_train
from tests.models.located import flags as quality_flags


def test_quality_flags_name_what_is_wrong() -> None:
    clean, _ = beat_train(70)
    flat, saturated, wander, noisy = (clean.copy() for _ in range(4))
    clipped, _ = beat_train(70, width_s=0.03)
    flat[INDEPENDENT_LEADS.index("V3")] = 0.2
    saturated[INDEPENDENT_LEADS.index("II"), 500] = 32.767
    clipped[INDEPENDENT_LEADS.index("V5")] = np.clip(clipped[INDEPENDENT_LEADS.index("V5")] * 2, None, 0.9)
    wander += 1.5 * np.sin(2 * np.pi * 0.2 * np.arange(1000) / 100)
    noisy += np.random.default_rng(3).normal(0, 0.1, noisy.shape)
    silent = np.zeros_like(clean)
    flags = quality_flags(np.stack([clean, flat, saturated, clipped, wander, noisy, silent]), 100)
    assert flags[0] == []
    assert flags[1] == ["flat_lead_v3"]
    assert "saturated_lead_ii" in flags[2]
    assert flags[3] == ["clipped_lead_v5"]
    assert flags[4] == ["baseline_wander"]
    assert flags[5] == ["noisy"]
    found = {flag for of_one in flags for flag in of_one}
    suffixes = {f"_{lead.lower()}" for lead in INDEPENDENT_LEADS}
    names = {next((flag.removesuffix(one) for one in suffixes if flag.endswith(one)), flag) for flag in found}
    assert names == {*LEAD_FLAGS, *RECORDING_FLAGS}, "every flag of the vocabulary, and no other, is raised here"
