"""Simulated conditions are recognised by what is measured on them, as a cardiologist would."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from models.ecg.r_peaks import locate_r_peaks
from models.leads import INDEPENDENT_LEADS, STANDARD_LEADS, einthoven_residual, to_twelve_leads
from models.simulator.dipole import ADULT_P, ADULT_QRS, ADULT_T, DOWER, to_leads
from models.simulator.ecgsyn import gaussian_waves
from models.simulator.heart_simulator import dipole_signal, simulate
from models.simulator.hearts import Hearts, draw_anatomy, draw_hearts
from models.simulator.rhythms import Beats, draw_beats
from models.simulator.simulated_conditions import PROGRAMS
from tests.models.located import flags, measure

EACH = 60
REGULAR = sorted(name for name in PROGRAMS if name not in ("atrial fibrillation", "premature ventricular complexes"))


def hearts_of(names: list[str], seed: int, rate: torch.Tensor | None = None) -> tuple[Hearts, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    age = 30.0 + 45.0 * torch.rand(len(names), generator=generator)
    sex = torch.randint(2, (len(names),), generator=generator)
    anatomy = draw_anatomy(age, sex, generator)
    return draw_hearts([PROGRAMS[name] for name in names], anatomy, generator, rate), generator


def without_artefacts(hearts: Hearts) -> Hearts:
    """The same hearts, recorded without baseline wander or noise."""
    silent = torch.zeros_like(hearts.wander_mv)
    return replace(hearts, wander_mv=silent, noise_mv=silent)


class Cohort:
    """EACH recordings of every condition, simulated and measured."""

    def __init__(self) -> None:
        self.names = [name for name in PROGRAMS for _ in range(EACH)]
        self.hearts, generator = hearts_of(self.names, seed=11)
        self.signal = simulate(self.hearts, generator).numpy()
        self.measured = measure(self.signal, 100)

    def of(self, condition: str, feature: str, lead: str | None = None) -> np.ndarray:
        rows = np.array(self.names) == condition
        values = self.measured[feature][rows]
        return values if lead is None else values[:, STANDARD_LEADS.index(lead)]

    def median(self, condition: str, feature: str, lead: str) -> float:
        return float(np.nanmedian(self.of(condition, feature, lead)))


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return Cohort()


def test_dower_matrix_is_the_published_one() -> None:
    matrix = dict(zip(INDEPENDENT_LEADS, DOWER, strict=True))
    assert matrix["V2"] == (0.044, 0.164, -1.387)  # wrong copies circulate
    assert matrix["I"] == (0.632, -0.235, 0.059) and matrix["II"] == (0.235, 1.066, -0.132)
    assert matrix["V6"] == (0.831, 0.076, 0.230)


def test_published_adult_has_the_published_amplitudes() -> None:
    seconds = torch.linspace(-0.4, 0.6, 1001)
    dipole = torch.zeros(3, 1001)
    for wave in (*ADULT_P, *ADULT_QRS, *ADULT_T):
        shape = torch.exp(-0.5 * ((seconds - wave.centre_s) / wave.width_s) ** 2)
        dipole += torch.tensor([wave.x, wave.y, wave.z])[:, None] * shape
    leads = dict(zip(INDEPENDENT_LEADS, to_leads(dipole), strict=True))
    qrs = (seconds - 0.0).abs() < 0.06
    peaks = {name: (float(lead[qrs].max()), float(lead[qrs].min())) for name, lead in leads.items()}
    for name, expected in {"I": 0.80, "II": 0.80, "V4": 1.70, "V5": 1.59}.items():
        assert peaks[name][0] == pytest.approx(expected, abs=0.05)
    assert peaks["V1"][1] == pytest.approx(-0.84, abs=0.05) and peaks["V1"][0] == pytest.approx(0.42, abs=0.05)


def test_twelve_leads_obey_einthoven(cohort: Cohort) -> None:
    assert einthoven_residual(to_twelve_leads(cohort.signal.astype(np.float64))) < 1e-12


def test_r_waves_progress_over_the_chest(cohort: Cohort) -> None:
    r_waves = [cohort.median("normal sinus rhythm", "r_amplitude_mv", f"V{n}") for n in range(1, 7)]
    assert r_waves[0] < r_waves[1] < r_waves[2] < r_waves[3]
    assert max(r_waves) in r_waves[3:5] and r_waves[5] < r_waves[4]


def test_normal_beats_are_normal(cohort: Cohort) -> None:
    normal = "normal sinus rhythm"
    for feature, low, high in (("pr_ms", 120, 200), ("qrs_ms", 70, 110), ("qtc_ms", 350, 450), ("axis_deg", -30, 90)):
        inside = (cohort.of(normal, feature) >= low) & (cohort.of(normal, feature) <= high)
        assert inside.mean() >= 0.85, feature
    assert cohort.of(normal, "p_present").mean() >= 0.95
    assert np.abs(np.nanmedian(cohort.measured["st_level_mv"][:EACH], axis=0)).max() < 0.15


@pytest.mark.parametrize("condition", REGULAR)
def test_heart_rate_delivered_is_heart_rate_asked(cohort: Cohort, condition: str) -> None:
    asked = cohort.hearts.heart_rate_bpm.numpy()[np.array(cohort.names) == condition]
    error = np.abs(cohort.of(condition, "heart_rate_bpm") - asked)
    assert (error <= 1.0).mean() >= 0.95 and np.mean(error) <= 0.35


@pytest.mark.parametrize("asked", [45.0, 72.0, 120.0, 150.0])
def test_a_stated_heart_rate_is_delivered(asked: float) -> None:
    hearts, generator = hearts_of(["normal sinus rhythm"] * 20, seed=3, rate=torch.full((20,), asked))
    delivered = measure(simulate(hearts, generator).numpy(), 100)["heart_rate_bpm"]
    assert np.median(np.abs(delivered - asked)) <= 0.5 and np.quantile(np.abs(delivered - asked), 0.9) <= 1.0


def test_atrial_fibrillation_is_irregular_and_has_no_p_wave(cohort: Cohort) -> None:
    irregular = cohort.of("atrial fibrillation", "rr_irregularity")
    regular = cohort.of("normal sinus rhythm", "rr_irregularity")
    assert np.quantile(irregular, 0.1) > 0.09 > np.quantile(regular, 0.95)
    assert cohort.of("atrial fibrillation", "p_present").mean() <= 0.15


def test_fibrillation_waves_are_4_to_9_hz() -> None:
    hearts, generator = hearts_of(["atrial fibrillation"] * 8, seed=5)
    still = replace(
        without_artefacts(hearts), amplitude=torch.zeros_like(hearts.amplitude), fibrillation_mv=torch.full((8,), 0.08)
    )
    v1 = simulate(still, generator)[:, INDEPENDENT_LEADS.index("V1")]
    spectrum = torch.fft.rfft(v1 - v1.mean(-1, keepdim=True)).abs()
    peak_hz = torch.fft.rfftfreq(v1.shape[-1], 0.01)[spectrum.argmax(-1)]
    assert ((peak_hz >= 4.0) & (peak_hz <= 9.0)).all()
    assert 0.03 < float(v1.std()) < 0.15


@pytest.mark.parametrize("condition", ["left bundle branch block", "right bundle branch block"])
def test_bundle_branch_blocks_are_wide(cohort: Cohort, condition: str) -> None:
    assert (cohort.of(condition, "qrs_ms") >= 120).mean() >= 0.85
    assert np.nanmedian(cohort.of(condition, "qrs_ms")) < 180


def test_left_bundle_branch_block_has_its_shape(cohort: Cohort) -> None:
    block = "left bundle branch block"
    v1 = cohort.signal[np.array(cohort.names) == block, INDEPENDENT_LEADS.index("V1")]
    assert np.median(v1.min(axis=1)) < -0.6
    assert cohort.median(block, "r_amplitude_mv", "V1") < 0.3
    for lead in ("I", "V5", "V6"):
        assert cohort.median(block, "r_amplitude_mv", lead) > 0.4
        assert cohort.median(block, "t_amplitude_mv", lead) < 0
    assert cohort.median(block, "st_level_mv", "V2") > 0.15  # discordant


def test_right_bundle_branch_block_has_its_shape() -> None:
    hearts, generator = hearts_of(["right bundle branch block"] * 30, seed=8)
    signal = simulate(without_artefacts(hearts), generator, rate_hz=500).numpy()

    late_v1, late_i, late_v6, initial_v1 = [], [], [], []
    for row, peaks in zip(signal, locate_r_peaks(signal, 500), strict=True):
        peak = round(peaks[len(peaks) // 2])
        beat = row[:, peak - 100 : peak + 100] - row[:, peak - 60 : peak - 45].mean(axis=1, keepdims=True)
        v1, lead_i, v6 = beat[INDEPENDENT_LEADS.index("V1")], beat[0], beat[INDEPENDENT_LEADS.index("V6")]
        r_prime = int(v1.argmax())
        late_v1.append(v1[r_prime])
        initial_v1.append(v1[max(0, r_prime - 60) : r_prime - 15].max())
        late_i.append(lead_i[r_prime])
        late_v6.append(v6[r_prime])
    assert np.median(late_v1) > 0.5  # R'
    assert np.median(late_v1) > np.median(initial_v1) > 0.05  # after a smaller r
    assert np.median(late_i) < -0.1 and np.median(late_v6) < -0.2  # wide S


@pytest.mark.parametrize(
    ("condition", "raised", "lowered"),
    [
        ("inferior ST elevation", ("II", "III", "aVF"), ("I", "aVL")),
        ("anterior ST elevation", ("V1", "V2", "V3", "V4"), ("III",)),
    ],
)
def test_st_elevation_is_in_its_territory(
    cohort: Cohort, condition: str, raised: tuple[str, ...], lowered: tuple[str, ...]
) -> None:
    for lead in raised:
        assert cohort.median(condition, "st_level_mv", lead) >= 0.1
        assert (
            cohort.median(condition, "st_level_mv", lead)
            > cohort.median("normal sinus rhythm", "st_level_mv", lead) + 0.05
        )
    for lead in lowered:
        assert cohort.median(condition, "st_level_mv", lead) < -0.03


def test_st_depression_is_lateral(cohort: Cohort) -> None:
    for lead in ("II", "V5", "V6"):
        assert cohort.median("ST depression", "st_level_mv", lead) <= -0.05
        assert cohort.median("ST depression", "t_amplitude_mv", lead) < 0.15


def test_left_ventricular_hypertrophy_meets_sokolow_lyon() -> None:
    hearts, generator = hearts_of(["left ventricular hypertrophy"] * 40 + ["normal sinus rhythm"] * 40, seed=9)
    signal = simulate(without_artefacts(hearts), generator).numpy()
    signal = signal - np.median(signal, axis=-1, keepdims=True)
    index = -signal[:, INDEPENDENT_LEADS.index("V1")].min(-1) + signal[:, INDEPENDENT_LEADS.index("V5")].max(-1)
    assert (index[:40] >= 3.5).mean() >= 0.75
    assert (index[40:] >= 3.5).mean() <= 0.25


def test_first_degree_block_delays_conduction(cohort: Cohort) -> None:
    assert (cohort.of("first-degree AV block", "pr_ms") > 200).mean() >= 0.85


def test_premature_beats_come_early_wide_and_with_a_pause() -> None:
    hearts, generator = hearts_of(["premature ventricular complexes"] * 30, seed=4)
    assert (hearts.ectopic_share > 0).all()
    measured = measure(simulate(hearts, generator).numpy(), 100)
    assert (measured["rr_irregularity"] > 0.08).mean() >= 0.9


def test_beats_are_the_closed_form_in_phase() -> None:
    """On a steady rhythm at 60 bpm the simulator is the sum of Gaussian waves of the phase, axis by axis."""
    hearts, _ = hearts_of(["normal sinus rhythm"], seed=2, rate=torch.tensor([60.0]))
    r_times = torch.arange(-2.0, 14.0)[None]
    flags = torch.zeros_like(r_times, dtype=torch.bool)
    beats = Beats(r_times, torch.ones_like(r_times), flags, torch.zeros_like(r_times))
    signal = dipole_signal(hearts, beats, 250.0, 2500)[0]
    omega = 2 * math.pi
    phase = omega * torch.arange(2500) / 250.0
    for axis in range(3):
        closed = gaussian_waves(
            phase, hearts.amplitude[0, :, axis], omega * hearts.centre_s[0], omega * hearts.width_s[0]
        )
        # Waves reach over half a beat from their centre only in the tails.
        torch.testing.assert_close(signal[axis], closed, rtol=0, atol=2e-3)


def test_the_simulator_solves_ecgsyns_equation() -> None:
    """SciPy integrates the phase and the three axes of the dipole; the simulator gives the same millivolts."""
    hearts, _ = hearts_of(["inferior ST elevation"], seed=2, rate=torch.tensor([60.0]))
    rate_hz, omega = 250.0, 2 * math.pi
    r_times = torch.arange(-3.0, 8.0)[None]
    flags = torch.zeros_like(r_times, dtype=torch.bool)
    beats = Beats(r_times, torch.ones_like(r_times), flags, torch.zeros_like(r_times))
    signal = dipole_signal(hearts, beats, rate_hz, 1000)[0].double().numpy()
    amplitude = hearts.amplitude[0].double().numpy()
    centre, width = (omega * each[0].double().numpy() for each in (hearts.centre_s, hearts.width_s))

    def rates(_: float, state: np.ndarray) -> np.ndarray:
        x, y = state[:2]
        distance = (math.atan2(y, x) - centre + math.pi) % (2 * math.pi) - math.pi
        slope = -omega * (amplitude.T * distance / width**2 * np.exp(-0.5 * (distance / width) ** 2)).sum(axis=1)
        pull = 1 - math.hypot(x, y)
        return np.array([pull * x - omega * y, pull * y + omega * x, *slope])

    start = np.array([1.0, 0.0, *signal[:, 0]])
    time = np.arange(1000) / rate_hz
    solved = solve_ivp(rates, (0, time[-1]), start, t_eval=time, rtol=1e-8, atol=1e-10, max_step=2e-3).y[2:]
    # A wave that is wider than half a beat joins up with itself only in the tails.
    assert np.abs(signal - solved).max() < 4e-3 * np.ptp(solved)


def test_amplitudes_are_millivolts_and_times_are_seconds() -> None:
    hearts, generator = hearts_of(["left bundle branch block"], seed=3)
    hearts = without_artefacts(hearts)
    beats = draw_beats(hearts.heart_rate_bpm, hearts.rr_variability, 10.0, generator)
    coarse, fine = dipole_signal(hearts, beats, 100.0, 1000), dipole_signal(hearts, beats, 500.0, 5000)
    torch.testing.assert_close(fine[..., ::5], coarse, rtol=0, atol=1e-3)  # sample k is at k / rate seconds
    doubled = replace(hearts, amplitude=2.0 * hearts.amplitude)
    torch.testing.assert_close(dipole_signal(doubled, beats, 100.0, 1000), 2.0 * coarse)
    one_wave = replace(
        hearts,
        amplitude=torch.tensor([[[1.0, 0.0, 0.0]]]),
        centre_s=torch.tensor([[0.05]]),
        width_s=torch.tensor([[0.02]]),
        exponent=torch.tensor([[0.0]]),
    )
    single = Beats(torch.tensor([[2.0]]), torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.bool), torch.zeros(1, 1))
    lead_i = to_leads(dipole_signal(one_wave, single, 100.0, 400))[0, 0]
    assert int(lead_i.argmax()) == 205 and float(lead_i.max()) == pytest.approx(DOWER[0][0], rel=1e-4)
    assert float(lead_i[207] / lead_i[205]) == pytest.approx(math.exp(-0.5), rel=1e-3)


def test_a_heart_is_drawn_alike_whatever_is_drawn_beside_it() -> None:
    """Waves of other programs in the batch change the table, not the beat."""
    anatomy = draw_anatomy(torch.full((2,), 50.0), torch.zeros(2), torch.Generator().manual_seed(1))
    for other in PROGRAMS:
        pair = [PROGRAMS["atrial fibrillation"], PROGRAMS[other]]
        hearts = without_artefacts(draw_hearts(pair, anatomy, torch.Generator().manual_seed(2)))
        beats = Beats(
            torch.tensor([[1.0]] * 2),
            torch.ones(2, 1),
            torch.zeros(2, 1, dtype=torch.bool),
            torch.zeros(2, 1),
        )
        signal = dipole_signal(hearts, beats, 100.0, 200)[0]
        if other == next(iter(PROGRAMS)):
            first = signal
        torch.testing.assert_close(signal, first, rtol=0, atol=1e-4)


def test_gradients_reach_every_parameter_of_a_heart() -> None:
    hearts, _ = hearts_of(["atrial fibrillation", "premature ventricular complexes", "ST depression"], seed=2)
    # Whether a beat is ectopic is decided, not weighed: its share alone has no gradient.
    names = [name for name, value in vars(hearts).items() if value.is_floating_point() and name != "ectopic_share"]
    values = {name: getattr(hearts, name).clone().requires_grad_() for name in names}
    signal = simulate(replace(hearts, **values), torch.Generator().manual_seed(1))
    signal.square().sum().backward()
    for name, value in values.items():
        assert value.grad is not None and torch.isfinite(value.grad).all(), name
        assert value.grad.abs().sum() > 0, name


def test_gradients_reach_the_heart() -> None:
    hearts, _ = hearts_of(["normal sinus rhythm", "premature ventricular complexes"], seed=2)
    double = {name: value.double() for name, value in vars(hearts).items() if value.is_floating_point()}
    hearts = replace(without_artefacts(hearts), **{**double, "wander_mv": torch.zeros(2), "noise_mv": torch.zeros(2)})

    def run(amplitude: torch.Tensor, centre_s: torch.Tensor, width_s: torch.Tensor) -> torch.Tensor:
        moved = replace(hearts, amplitude=amplitude, centre_s=centre_s, width_s=width_s)
        return simulate(moved, torch.Generator().manual_seed(1), rate_hz=25.0, duration_s=1.0).double()

    inputs = tuple(x.clone().requires_grad_() for x in (hearts.amplitude, hearts.centre_s, hearts.width_s))
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


def test_same_seed_same_ecg() -> None:
    names = ["atrial fibrillation", "premature ventricular complexes", "sinus tachycardia"]
    first, second = (simulate(*hearts_of(names, seed=6)) for _ in range(2))
    other = simulate(*hearts_of(names, seed=7))
    assert torch.equal(first, second) and not torch.allclose(first, other)


@pytest.mark.parametrize(("rate_hz", "duration_s"), [(100.0, 10.0), (500.0, 4.0)])
def test_rate_and_length(rate_hz: float, duration_s: float) -> None:
    signal = simulate(*hearts_of(["normal sinus rhythm"] * 3, seed=1), rate_hz=rate_hz, duration_s=duration_s)
    assert signal.shape == (3, 8, round(rate_hz * duration_s))
    assert torch.isfinite(signal).all() and float(signal.abs().max()) < 6.0


def test_recordings_are_usable(cohort: Cohort) -> None:
    assert np.mean([not found for found in flags(cohort.signal, 100)]) >= 0.85
