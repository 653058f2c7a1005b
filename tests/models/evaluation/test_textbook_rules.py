"""Textbook rules on simulated hearts, whose conditions are known, and on measurements written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.ecg.measurements import LEAD_FEATURES, SCALAR_FEATURES, measure
from models.ecg.qrs_shape import QRS_SHAPES, qrs_shapes
from models.ecg.r_peaks import locate_r_peaks
from models.evaluation.textbook_rules import COMBINED, TEXTBOOK_RULES, WORDS, feature_values
from models.leads import INDEPENDENT_LEADS, LEAD_GROUPS, STANDARD_LEADS
from models.simulator.heart_simulator import simulate
from models.simulator.hearts import draw_anatomy, draw_hearts
from models.simulator.simulated_conditions import PROGRAMS

EACH = 40
PROGRAM_OF = {
    "AFIB": "atrial fibrillation",
    "SR": "normal sinus rhythm",
    "STACH": "sinus tachycardia",
    "SBRAD": "sinus bradycardia",
    "1AVB": "first-degree AV block",
    "CRBBB": "right bundle branch block",
    "CLBBB": "left bundle branch block",
    "LVH": "left ventricular hypertrophy",
}
Measured = dict[str, np.ndarray]


def measured(signal: np.ndarray) -> Measured:
    r_peaks = locate_r_peaks(signal, 100)
    return measure(signal, r_peaks, 100) | qrs_shapes(signal, r_peaks, 100)


@pytest.fixture(scope="module")
def hearts() -> dict[str, np.ndarray]:
    """Statement to simulated ECGs."""
    generator = torch.Generator().manual_seed(5)
    made = {}
    for code, name in PROGRAM_OF.items():
        anatomy = draw_anatomy(torch.full((EACH,), 60.0), torch.arange(EACH) % 2, generator)
        made[code] = simulate(draw_hearts([PROGRAMS[name]] * EACH, anatomy, generator), generator).numpy()
    return made


def shares(signal: np.ndarray, code: str) -> dict[str, float]:
    """Words of each rule of a condition to the share of ECGs that satisfy it."""
    values = measured(signal)
    return {rule.words: float(rule.satisfied(values).mean()) for rule in TEXTBOOK_RULES if rule.statement == code}


def test_simulated_conditions_satisfy_their_rules_and_normal_hearts_do_not(hearts: dict[str, np.ndarray]) -> None:
    own = {code: np.mean(list(shares(signal, code).values())) for code, signal in hearts.items()}
    normal = {code: np.mean(list(shares(hearts["SR"], code).values())) for code in hearts if code != "SR"}
    assert min(own.values()) > 0.7, own
    assert all(own[code] - normal[code] > 0.3 for code in normal), normal


@pytest.mark.parametrize("code", ["CRBBB", "CLBBB"])
def test_swapped_chest_leads_break_the_shape_of_bundle_branch_blocks(hearts: dict[str, np.ndarray], code: str) -> None:
    swapped = hearts[code].copy()
    first, last = INDEPENDENT_LEADS.index("V1"), INDEPENDENT_LEADS.index("V6")
    swapped[:, [first, last]] = swapped[:, [last, first]]
    before, after = shares(hearts[code], code), shares(swapped, code)
    in_v1 = next(words for words in before if words.endswith("lead V1"))
    assert before[in_v1] > 0.8 and after[in_v1] < 0.3
    assert before["QRS duration above 119 ms"] == pytest.approx(after["QRS duration above 119 ms"], abs=0.05)


def test_noise_hides_p_waves(hearts: dict[str, np.ndarray]) -> None:
    noisy = hearts["SR"] + np.random.default_rng(1).normal(0, 0.4, hearts["SR"].shape).astype(np.float32)
    assert shares(noisy, "SR")["P wave present"] < shares(hearts["SR"], "SR")["P wave present"] - 0.3


def test_every_rule_names_its_source_and_what_can_be_measured() -> None:
    per_lead = {*LEAD_FEATURES, *QRS_SHAPES}
    assert len({(rule.statement, rule.words) for rule in TEXTBOOK_RULES}) == len(TEXTBOOK_RULES) >= 13
    for rule in TEXTBOOK_RULES:
        assert rule.source[-4:].isdigit(), rule
        assert rule.feature in {*per_lead, *SCALAR_FEATURES, "p_present", *COMBINED} and rule.feature in WORDS
        assert (rule.lead in {*STANDARD_LEADS, *LEAD_GROUPS}) == (rule.feature in per_lead)
        assert (rule.upper is not None) == (rule.comparison == "between")


def test_combined_features_are_those_of_the_textbooks() -> None:
    """On one recording whose every number is written here; leads in the order of `STANDARD_LEADS`."""
    lead = {name: place for place, name in enumerate(STANDARD_LEADS)}
    values = {name: np.zeros((1, 12)) for name in (*LEAD_FEATURES, *QRS_SHAPES)}
    values["r_amplitude_mv"][0, [lead["V5"], lead["V6"], lead["II"]]] = 1.8, 2.1, 0.4
    values["s_amplitude_mv"][0, [lead["V1"], lead["II"], lead["aVR"]]] = -1.5, -0.2, -0.3
    values["q_amplitude_mv"][0, [lead["aVR"], lead["III"]]] = -0.9, -0.25
    values["st_level_mv"][0, [lead["aVR"], lead["V5"]]] = -0.4, -0.12
    values["t_amplitude_mv"][0, [lead["aVR"], lead["V4"]]] = -0.5, -0.2
    found = {name: float(feature_values(values, name)[0]) for name in COMBINED}
    assert found == pytest.approx(
        {
            "sokolow_lyon_mv": 3.6,
            "limb_qrs_mv": 0.6,
            "lowest_st_mv": -0.12,
            "lowest_t_mv": -0.2,
            "deepest_q_mv": -0.25,
        }
    )
    assert feature_values(values, "st_level_mv", "lateral")[0] == pytest.approx(-0.03)


def test_a_p_wave_is_unknown_without_beats() -> None:
    values = {"p_present": np.array([False, False]), "heart_rate_bpm": np.array([60.0, np.nan])}
    absent = next(rule for rule in TEXTBOOK_RULES if rule.words == "P wave absent")
    assert absent.satisfied(values).tolist() == [True, False]
