"""A dataset in PTB-XL's layout whose recordings go step by step through every threshold of quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS, to_twelve_leads
from tests.warehouse.small_dataset import SmallDataset, ordinary_ecg


def varied_dataset(folder: Path) -> SmallDataset:
    """Write it: 61 recordings of 31 patients, two of which have no usable file."""
    dataset = SmallDataset(folder)
    codes = ["{'NORM': 100.0, 'SR': 0.0}", "{'IMI': 80.0}", "{'NDT': 50.0, 'AFIB': 0.0}", "{}"]
    for number in range(1, 61):
        patient = number // 2
        row = {"patient_id": 1000 + patient, "strat_fold": patient % 10 + 1, "scp_codes": codes[number % 4]}
        dataset.add(number, varied_ecg(number), **row)
    dataset.add(61, patient_id=1000, strat_fold=5)
    dataset.write()
    dataset.stem(7).with_suffix(".dat").unlink()
    dataset.stem(8).with_suffix(".hea").write_text("not a header")
    return dataset


def varied_ecg(number: int) -> np.ndarray:
    """(12, 1000) mV: noisy, wandering, with a small lead, clipped, standing still, or fast, the more the higher the
    last digit."""
    eight = ordinary_ecg(number)[[STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]]
    kind, step = divmod(number - 1, 10)
    time_s = np.arange(eight.shape[1]) / 100
    match kind:
        case 0:
            eight += np.random.default_rng(number).normal(0, 0.005 * (step + 1), eight.shape)
        case 1:
            eight += 0.15 * (step + 1) * np.sin(2 * np.pi * 0.15 * time_s)
        case 2:
            eight[step % 8] *= 0.004 * (step + 1)
        case 3:
            eight[:, 200 : 201 + step] = 1.6
        case 4:
            eight[:, 300 : 300 + 30 * (step + 1)] = eight[:, 300:301]
        case _:
            eight = eight[:, (np.arange(eight.shape[1]) * (0.6 + 0.2 * step)).astype(int) % eight.shape[1]]
    return to_twelve_leads(eight)
