"""Definitions of textbooks and guidelines as criteria on measured features: what an ECG of a condition must show.

The thresholds are the sources'; no rule was fitted to any recordings. Where recordings themselves satisfy a rule seldom
(PTB-XL's cardiologists call many a QRS complex below 110 ms an incomplete block), a cohort is held against that share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.evaluation.delivery import Comparison, satisfied
from models.leads import LEAD_GROUPS, STANDARD_LEADS

CONDUCTION: Final = "Surawicz et al., AHA/ACCF/HRS recommendations III, JACC 53:976-981, 2009"
REPOLARISATION: Final = "Rautaharju et al., AHA/ACCF/HRS recommendations IV, JACC 53:982-991, 2009"
HYPERTROPHY: Final = "Sokolow and Lyon, Am Heart J 37:161-186, 1949"
INFARCTION: Final = "Thygesen et al., fourth universal definition of myocardial infarction, JACC 72:2231-2264, 2018"
FIBRILLATION: Final = "Hindricks et al., ESC guidelines for atrial fibrillation, Eur Heart J 42:373-498, 2021"
BRADYCARDIA: Final = "Kusumoto et al., ACC/AHA/HRS guideline on bradycardia, JACC 74:e51-e156, 2019"
PROGRESSION: Final = "Zema and Kligfield, J Electrocardiol 12:3-10, 1979"
TEXTBOOK: Final = "Goldberger, Clinical Electrocardiography, 9th edition, 2017"

WORDS: Final[dict[str, tuple[str, str]]] = {
    "heart_rate_bpm": ("heart rate", "bpm"),
    "rr_irregularity": ("RR irregularity", ""),
    "pr_ms": ("PR interval", "ms"),
    "qrs_ms": ("QRS duration", "ms"),
    "qtc_ms": ("QTc interval", "ms"),
    "axis_deg": ("QRS axis", "degrees"),
    "p_present": ("P wave", ""),
    "r_amplitude_mv": ("R amplitude", "mV"),
    "t_amplitude_mv": ("T amplitude", "mV"),
    "st_level_mv": ("ST level", "mV"),
    "q_amplitude_mv": ("Q amplitude", "mV"),
    "net_qrs_mv": ("net QRS", "mV"),
    "terminal_qrs_mv": ("last 40 ms of QRS", "mV"),
    "sokolow_lyon_mv": ("S in V1 plus R in V5 or V6", "mV"),
    "limb_qrs_mv": ("largest QRS of the limb leads", "mV"),
    "lowest_st_mv": ("lowest ST level", "mV"),
    "lowest_t_mv": ("lowest T amplitude", "mV"),
    "deepest_q_mv": ("deepest Q", "mV"),
}
"""Feature to its name and unit."""


@dataclass(frozen=True)
class TextbookRule:
    """What one measured feature is in a condition.

    Attributes:
        statement: SCP-ECG code of the condition.
        feature: a measured feature, or one of `COMBINED`.
        comparison, value, upper: as in `models.evaluation.delivery.satisfied`.
        source: where it is written.
        lead: a standard lead or a territory of `LEAD_GROUPS` (mean over its leads); None where not measured per lead.
    """

    statement: str
    feature: str
    comparison: Comparison
    value: float
    source: str
    lead: str | None = None
    upper: float | None = None

    @property
    def words(self) -> str:
        """The rule in words, e.g. "PR interval above 200 ms"."""
        name, unit = WORDS[self.feature]
        if self.comparison in ("present", "absent"):
            return f"{name} {self.comparison}"
        limits = f"{self.value:g}" if self.upper is None else f"{self.value:g} and {self.upper:g}"
        where = "" if self.lead is None else f" in {'lead' if self.lead in STANDARD_LEADS else 'the'} {self.lead}"
        return (
            f"{name} {self.comparison} {limits} {unit}".rstrip()
            + where
            + (" leads" if self.lead in LEAD_GROUPS else "")
        )

    def satisfied(self, measured: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n,) bool: the ECGs that satisfy it; those in which it cannot be measured do not."""
        return satisfied(feature_values(measured, self.feature, self.lead), self.comparison, self.value, self.upper)


# Boundaries lie on a grid of 2 ms: above 119 ms is 120 ms or more.
TEXTBOOK_RULES: Final = (
    TextbookRule("AFIB", "p_present", "absent", 0, FIBRILLATION),
    TextbookRule("AFIB", "rr_irregularity", "above", 0.1, FIBRILLATION),
    TextbookRule("SR", "p_present", "present", 1, TEXTBOOK),
    TextbookRule("SR", "rr_irregularity", "below", 0.1, TEXTBOOK),
    TextbookRule("SARRH", "p_present", "present", 1, TEXTBOOK),
    TextbookRule("STACH", "heart_rate_bpm", "above", 100, TEXTBOOK),
    TextbookRule("SBRAD", "heart_rate_bpm", "below", 60, TEXTBOOK),
    TextbookRule("1AVB", "pr_ms", "above", 200, BRADYCARDIA),
    TextbookRule("WPW", "pr_ms", "below", 120, CONDUCTION),
    TextbookRule("CRBBB", "qrs_ms", "above", 119, CONDUCTION),
    TextbookRule("CRBBB", "terminal_qrs_mv", "above", 0, CONDUCTION, "V1"),
    TextbookRule("CRBBB", "terminal_qrs_mv", "below", 0, CONDUCTION, "I"),
    TextbookRule("CRBBB", "terminal_qrs_mv", "below", 0, CONDUCTION, "V6"),
    TextbookRule("CLBBB", "qrs_ms", "above", 119, CONDUCTION),
    TextbookRule("CLBBB", "net_qrs_mv", "below", 0, CONDUCTION, "V1"),
    TextbookRule("CLBBB", "net_qrs_mv", "above", 0, CONDUCTION, "V6"),
    TextbookRule("CLBBB", "q_amplitude_mv", "above", -0.05, CONDUCTION, "V6"),
    TextbookRule("IRBBB", "qrs_ms", "between", 110, CONDUCTION, upper=120),
    TextbookRule("IRBBB", "terminal_qrs_mv", "above", 0, CONDUCTION, "V1"),
    TextbookRule("ILBBB", "qrs_ms", "between", 110, CONDUCTION, upper=120),
    TextbookRule("LAFB", "axis_deg", "between", -90, CONDUCTION, upper=-45),
    TextbookRule("LAFB", "axis_deg", "below", -30, CONDUCTION),
    TextbookRule("LPFB", "axis_deg", "above", 90, CONDUCTION),
    TextbookRule("PACE", "qrs_ms", "above", 119, TEXTBOOK),
    TextbookRule("ASMI", "r_amplitude_mv", "below", 0.3, PROGRESSION, "V2"),
    TextbookRule("ASMI", "q_amplitude_mv", "below", -0.1, INFARCTION, "V2"),
    TextbookRule("AMI", "r_amplitude_mv", "below", 0.3, PROGRESSION, "V3"),
    TextbookRule("AMI", "q_amplitude_mv", "below", -0.1, INFARCTION, "V3"),
    TextbookRule("IMI", "q_amplitude_mv", "below", -0.1, INFARCTION, "III"),
    TextbookRule("IMI", "q_amplitude_mv", "below", -0.1, INFARCTION, "aVF"),
    TextbookRule("ILMI", "q_amplitude_mv", "below", -0.1, INFARCTION, "aVF"),
    TextbookRule("ILMI", "q_amplitude_mv", "below", -0.1, INFARCTION, "V6"),
    TextbookRule("QWAVE", "deepest_q_mv", "below", -0.1, INFARCTION),
    TextbookRule("INJAS", "st_level_mv", "below", -0.05, INFARCTION, "anterior"),
    TextbookRule("INJAL", "st_level_mv", "below", -0.05, INFARCTION, "lateral"),
    TextbookRule("STD_", "lowest_st_mv", "below", -0.05, INFARCTION),
    TextbookRule("ISCAL", "t_amplitude_mv", "below", 0, REPOLARISATION, "V5"),
    TextbookRule("ISCAS", "t_amplitude_mv", "below", 0, REPOLARISATION, "V3"),
    TextbookRule("ISCIN", "t_amplitude_mv", "below", 0, REPOLARISATION, "aVF"),
    TextbookRule("INVT", "lowest_t_mv", "below", -0.1, REPOLARISATION),
    TextbookRule("LNGQT", "qtc_ms", "above", 450, REPOLARISATION),
    TextbookRule("LVH", "sokolow_lyon_mv", "above", 3.5, HYPERTROPHY),
    TextbookRule("LVOLT", "limb_qrs_mv", "below", 0.5, TEXTBOOK),
    TextbookRule("NORM", "pr_ms", "between", 120, BRADYCARDIA, upper=200),
    TextbookRule("NORM", "qrs_ms", "below", 120, CONDUCTION),
    TextbookRule("NORM", "qtc_ms", "below", 460, REPOLARISATION),
    TextbookRule("NORM", "axis_deg", "between", -30, CONDUCTION, upper=90),
)


def _lead(measured: Mapping[str, np.ndarray], feature: str, *leads: str) -> np.ndarray:
    return measured[feature][:, [STANDARD_LEADS.index(lead) for lead in leads]]


_LIMB = STANDARD_LEADS[:6]
_UPRIGHT = tuple(lead for lead in STANDARD_LEADS if lead not in ("aVR", "V1"))
"""Leads in which normal ST depression, negative T and Q waves are not expected."""

COMBINED: Final[dict[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]]] = {
    "sokolow_lyon_mv": lambda of: (
        _lead(of, "r_amplitude_mv", "V5", "V6").max(axis=1) - _lead(of, "s_amplitude_mv", "V1")[:, 0]
    ),
    "limb_qrs_mv": lambda of: (_lead(of, "r_amplitude_mv", *_LIMB) - _lead(of, "s_amplitude_mv", *_LIMB)).max(axis=1),
    "lowest_st_mv": lambda of: _lead(of, "st_level_mv", *_UPRIGHT).min(axis=1),
    "lowest_t_mv": lambda of: _lead(of, "t_amplitude_mv", "I", "II", "V3", "V4", "V5", "V6").min(axis=1),
    "deepest_q_mv": lambda of: _lead(of, "q_amplitude_mv", *_UPRIGHT).min(axis=1),
}
"""Features that combine measured ones, by name."""


def feature_values(measured: Mapping[str, np.ndarray], feature: str, lead: str | None = None) -> np.ndarray:
    """Values of a feature, (n,) float, NaN where it was not measured.

    Args:
        measured: feature to (n,) or, per lead, (n, 12) values, as `models.ecg.measurements.measure` and
            `models.ecg.qrs_shape.qrs_shapes` return them.
        feature: one of these, or of `COMBINED`.
        lead: a standard lead, or a territory, of which the mean over the leads is taken.
    """
    if feature in COMBINED:
        return COMBINED[feature](measured)
    if lead is not None:
        return _lead(measured, feature, *LEAD_GROUPS.get(lead, (lead,))).mean(axis=1)
    if feature == "p_present":  # known only where there was a beat to look at
        return np.where(np.isfinite(measured["heart_rate_bpm"]), measured[feature].astype(float), np.nan)
    return measured[feature].astype(float)
