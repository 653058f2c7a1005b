"""Claims about guides: each is measured where it is, rhythm and P waves included, as on the rendered ECG."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.beats.beats import Beats
from models.ecg.measurements import measure
from models.ecg.qrs_shape import qrs_shapes
from models.flow.claims import measured_guides, satisfies
from models.rhythm.rendering import render
from models.rhythm.rhythm import ESCAPE, FIBRILLATION, P_WAVES, SINUS, Rhythm
from tasks.knowledge.claims import Claim
from tests.models.beats.test_recorded import USUAL, wave

pytestmark = pytest.mark.usefixtures("one_thread")

DURATION_S, RR_S = 10.0, 0.85
LONG_PR = Claim(feature="pr_ms", comparison="above", value=200, unit="ms")
P_ABSENT = Claim(feature="p_present", comparison="absent", value=0)
WIDE_QRS = Claim(feature="qrs_ms", comparison="above", value=120, unit="ms")
HIGH_R = Claim(feature="r_amplitude_mv", lead="V5", comparison="above", value=3, unit="mV")
LEFT_AXIS = Claim(feature="axis_deg", comparison="below", value=-30, unit="degrees")
LOW_ST = Claim(feature="st_level_mv", lead="anterior", comparison="below", value=-0.1, unit="mV")
NEGATIVE_T = Claim(feature="t_amplitude_mv", lead="V3", comparison="below", value=0, unit="mV")
IRREGULAR = Claim(feature="rr_irregularity", comparison="above", value=0.1)
FAST = Claim(feature="heart_rate_bpm", comparison="above", value=100, unit="bpm")


def guides(usual: torch.Tensor) -> tuple[Rhythm, Beats]:
    """These beats in regular sinus rhythm."""
    rows = len(usual)
    times = (torch.arange(-1, 13) * RR_S + 0.3).expand(rows, -1).clone()
    atrial = torch.full((rows,), P_WAVES, dtype=torch.int8)
    rhythm = Rhythm(times, torch.full_like(times, SINUS, dtype=torch.int8), atrial, torch.zeros(rows))
    return rhythm, Beats(usual, torch.zeros_like(usual), torch.zeros(rows, dtype=torch.bool))


def only(*leads: int) -> torch.Tensor:
    chosen = torch.zeros(1, 8, 1)
    chosen[0, list(leads)] = 1.0
    return chosen


def test_guides_are_measured_for_claims() -> None:
    late_p = wave(0.15, -0.24, 0.02) - wave(0.15, -0.16, 0.02)
    anterior = only(4, 5)
    cases = {
        LONG_PR: USUAL + late_p,
        P_ABSENT: USUAL - wave(0.15, -0.16, 0.02),
        WIDE_QRS: USUAL + wave(0.5, 0.05, 0.03),
        HIGH_R: USUAL + only(6) * wave(2.0, 0.0, 0.012),
        LEFT_AXIS: USUAL - 2.5 * only(1) * wave(0.8, 0.0, 0.012),
        LOW_ST: USUAL - anterior * wave(0.25, 0.12, 0.04),
        NEGATIVE_T: USUAL - anterior * wave(0.5, 0.28, 0.05),
        IRREGULAR: USUAL,
        FAST: USUAL,
    }
    rhythm, beats = guides(torch.cat([USUAL, *cases.values()]))
    rhythm.r_times_s[8] += 0.25 * torch.arange(14).remainder(2)
    rhythm.r_times_s[9] *= 0.5
    measured = measured_guides(rhythm, beats, DURATION_S)
    found = satisfies(measured, list(cases))
    assert not found[0].any()
    assert found[1:].diagonal().all()
    assert satisfies(measured, []).shape == (10, 0)
    early = measured_guides(rhythm.from_second(torch.full((10,), 100.0)), beats, DURATION_S)
    assert np.isnan(early["rr_irregularity"]).all() and np.isfinite(early["qrs_ms"]).all()


@pytest.mark.parametrize(("kind", "atrial"), [(SINUS, FIBRILLATION), (ESCAPE, P_WAVES)])
def test_a_rhythm_without_p_waves_hides_those_of_the_beat(kind: int, atrial: int) -> None:
    rhythm, beats = guides(USUAL)
    assert measured_guides(rhythm, beats, DURATION_S)["p_present"].all()
    rhythm.kinds[:], rhythm.atrial[:] = kind, atrial
    assert not measured_guides(rhythm, beats, DURATION_S)["p_present"].any()


def test_guides_measure_as_their_ecgs_do_and_each_by_itself() -> None:
    rng = torch.Generator().manual_seed(1)
    usual = USUAL + 0.1 * torch.randn(70, 8, USUAL.shape[2], generator=rng)
    rhythm, beats = guides(usual)
    rhythm.r_times_s.mul_(torch.linspace(0.7, 1.3, 70)[:, None])
    found = measured_guides(rhythm, beats, DURATION_S)
    ecg = render(beats, rhythm, 500, 5000, torch.arange(70)).numpy()
    peaks = [row[(row >= 0) & (row < DURATION_S)].double().numpy() * 500 for row in rhythm.r_times_s]
    for name, values in {**measure(ecg, peaks, 500), **qrs_shapes(ecg, peaks, 500)}.items():
        if name not in found:
            continue
        mine, theirs = found[name].astype(float), values.astype(float)
        both = np.isfinite(mine) & np.isfinite(theirs)
        assert (np.isfinite(mine) == np.isfinite(theirs)).mean() > 0.95, name
        spread = max(float(theirs[both].std()), 1e-3)
        assert np.quantile(np.abs(mine[both] - theirs[both]), 0.9) < 0.2 * spread, name
    some = [3, 69, 11]
    for name, values in measured_guides(rhythm[some], beats[some], DURATION_S).items():
        assert np.array_equal(values, found[name][some], equal_nan=True), name
