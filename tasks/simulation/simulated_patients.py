"""The people and reports of the simulated dataset: who they are, what they have, what their report says.

Nobody here exists. Statements are SCP-ECG codes with likelihoods as PTB-XL writes them: 0 stands for unknown, which is
how it codes rhythm and form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from warehouse.statements import statements

RECORDINGS_PER_PATIENT: Final = 1.25
FOLDS: Final = 10
OLDER_THAN_89: Final = 300
"""PTB-XL's age of people older than 89."""


@dataclass(frozen=True)
class Presentation:
    """How a condition presents: whom it affects and how it is reported.

    Attributes:
        program: name in `models.simulator.simulated_conditions.PROGRAMS`.
        share: share of patients.
        age_years: mean and standard deviation.
        statements: always given, with likelihoods in percent.
        sometimes: given in two of three recordings.
        likelihoods: what the first statement's likelihood is drawn from, where it is not 0.
        findings: sentences, one of which describes it.
        conclusions: sentences, one of which ends the report.
    """

    program: str
    share: float
    age_years: tuple[float, float]
    statements: tuple[tuple[str, float], ...]
    findings: tuple[str, ...]
    conclusions: tuple[str, ...] = ("abnormal ecg.", "")
    sometimes: tuple[str, ...] = ()
    likelihoods: tuple[float, ...] = (100.0, 100.0, 80.0)


PRESENTATIONS: Final = (
    Presentation(
        "normal sinus rhythm",
        0.22,
        (48.0, 17.0),
        (("NORM", 100.0), ("SR", 0.0)),
        ("sinus rhythm.", "sinus rhythm, normal axis.", "regular sinus rhythm. normal pr and qrs."),
        ("normal ecg.", "within normal limits.", "no abnormality."),
    ),
    Presentation(
        "sinus bradycardia",
        0.07,
        (52.0, 17.0),
        (("NORM", 100.0), ("SBRAD", 0.0)),
        ("sinus bradycardia.", "slow sinus rhythm.", "sinus bradycardia, normal conduction."),
        ("otherwise normal ecg.", "normal ecg apart from the rate."),
    ),
    Presentation(
        "sinus tachycardia",
        0.07,
        (46.0, 18.0),
        (("NORM", 80.0), ("STACH", 0.0)),
        ("sinus tachycardia.", "fast sinus rhythm.", "sinus tachycardia, normal axis."),
        ("otherwise normal ecg.", "no other abnormality."),
    ),
    Presentation(
        "atrial fibrillation",
        0.09,
        (73.0, 10.0),
        (("AFIB", 0.0),),
        (
            "atrial fibrillation.",
            "irregular ventricular response, no p waves: atrial fibrillation.",
            "atrial fibrillation with f waves in v1.",
        ),
    ),
    Presentation(
        "left bundle branch block",
        0.07,
        (70.0, 11.0),
        (("CLBBB", 100.0), ("SR", 0.0)),
        (
            "sinus rhythm. complete left bundle branch block.",
            "sinus rhythm. wide qrs, left bundle branch block pattern.",
            "left bundle branch block, secondary st and t changes.",
        ),
    ),
    Presentation(
        "right bundle branch block",
        0.07,
        (66.0, 14.0),
        (("CRBBB", 100.0), ("SR", 0.0)),
        (
            "sinus rhythm. complete right bundle branch block.",
            "sinus rhythm. rsr' in v1, wide s in i and v6: right bundle branch block.",
            "right bundle branch block.",
        ),
    ),
    Presentation(
        "first-degree AV block",
        0.07,
        (68.0, 13.0),
        (("1AVB", 100.0), ("SR", 0.0)),
        ("sinus rhythm. first degree av block.", "sinus rhythm. prolonged pr interval.", "sinus rhythm with long pr."),
    ),
    Presentation(
        "inferior ST elevation",
        0.07,
        (63.0, 12.0),
        (("IMI", 100.0), ("STE_", 0.0), ("SR", 0.0)),
        (
            "sinus rhythm. st segments are elevated in ii, iii, avf.",
            "sinus rhythm. q waves and st elevation in the inferior leads, reciprocal depression in i and avl.",
        ),
        (
            "consistent with acute inferior infarction.",
            "inferior myocardial infarction, recent.",
            "acute inferior infarct.",
        ),
        ("QWAVE",),
    ),
    Presentation(
        "anterior ST elevation",
        0.07,
        (62.0, 12.0),
        (("ASMI", 100.0), ("STE_", 0.0), ("SR", 0.0)),
        (
            "sinus rhythm. st segments are elevated in v1-4.",
            "sinus rhythm. loss of r waves and st elevation in v1, v2, v3.",
        ),
        (
            "consistent with acute anteroseptal infarction.",
            "anteroseptal infarction, recent.",
            "acute anterior infarct.",
        ),
        ("QWAVE",),
    ),
    Presentation(
        "left ventricular hypertrophy",
        0.08,
        (65.0, 13.0),
        (("LVH", 100.0), ("SR", 0.0)),
        (
            "sinus rhythm. voltages are high in the precordial leads.",
            "sinus rhythm. left ventricular hypertrophy by voltage, t waves inverted in i, avl, v6.",
        ),
        ("left ventricular hypertrophy with strain.", "consistent with left ventricular hypertrophy."),
        ("VCLVH",),
    ),
    Presentation(
        "premature ventricular complexes",
        0.06,
        (60.0, 15.0),
        (("PVC", 100.0), ("SR", 0.0)),
        (
            "sinus rhythm. premature ventricular contraction(s).",
            "sinus rhythm with ventricular premature complexes.",
            "sinus rhythm, ventricular extrasystoles with compensatory pause.",
        ),
        ("otherwise normal ecg.", ""),
    ),
    Presentation(
        "ST depression",
        0.06,
        (66.0, 12.0),
        (("ISC_", 100.0), ("STD_", 0.0), ("SR", 0.0)),
        (
            "sinus rhythm. st segments are depressed in i, ii, v4,5,6.",
            "sinus rhythm. st depression and flat or inverted t waves in the lateral leads.",
        ),
        ("consistent with myocardial ischaemia.", "ischaemia is likely.", "suggests ischaemia."),
        ("INVT",),
    ),
)

SCP_COLUMNS: Final = (
    "description",
    "diagnostic",
    "form",
    "rhythm",
    "diagnostic_class",
    "diagnostic_subclass",
    "Statement Category",
    "SCP-ECG Statement Description",
    "AHA code",
    "aECG REFID",
    "CDISC Code",
    "DICOM Code",
)
"""Columns of PTB-XL's file, of which those that the vocabulary lacks stay empty."""
STATEMENTS: Final = (
    *("NORM", "IMI", "ASMI", "LVH", "1AVB", "CRBBB", "CLBBB", "ISC_"),
    *("PVC", "STD_", "STE_", "QWAVE", "INVT", "VCLVH"),
    *("SR", "AFIB", "STACH", "SBRAD"),
)
"""Statements of the simulated dataset: diagnoses, forms, rhythms."""


def scp_statements() -> pd.DataFrame:
    """`scp_statements.csv`: the statements the simulated dataset uses, described by the vocabulary as in PTB-XL."""
    known = [statements().by_code[code] for code in STATEMENTS]
    columns = {
        "description": [one.description for one in known],
        **{kind: [1.0 if one.kind == kind else None for one in known] for kind in ("diagnostic", "form", "rhythm")},
        "diagnostic_class": [one.superclass for one in known],
        "AHA code": [next(iter(one.aha), "") for one in known],
        "aECG REFID": [next(iter(one.aecg), "") for one in known],
    }
    return pd.DataFrame(columns, index=list(STATEMENTS)).reindex(columns=list(SCP_COLUMNS))


def draw_recordings(count: int, seed: int) -> pd.DataFrame:
    """Draw the recordings of the dataset and the patients they belong to.

    Every condition is dealt over the ten folds, patients whole, so that each fold holds each condition as soon as ten
    patients have it; some patients have several recordings.

    Returns:
        One row per recording, index `ecg_id` from 1: the columns of PTB-XL's `ptbxl_database.csv`, plus `program` and
        `age_years`, which are not part of that file.
    """
    random = np.random.default_rng([seed, 0])
    patients = _draw_patients(max(1, round(count / RECORDINGS_PER_PATIENT)), random)
    again = random.integers(0, len(patients), size=count - len(patients))
    order = random.permutation(np.concatenate([np.arange(len(patients)), again]))
    recordings = patients.iloc[order].reset_index(drop=True)
    presentation = [PRESENTATIONS[index] for index in recordings.pop("presentation")]
    recordings["program"] = [one.program for one in presentation]
    recordings["scp_codes"] = [str(_statements(one, random)) for one in presentation]
    recordings["report"] = [_report(one, random) for one in presentation]
    day = pd.Timestamp("1990-01-01") + pd.to_timedelta(random.integers(0, 20 * 365 * 24 * 3600, size=count), unit="s")
    recordings["recording_date"] = day.strftime("%Y-%m-%d %H:%M:%S")
    recordings.index = pd.RangeIndex(1, count + 1, name="ecg_id")
    recordings["filename_lr"] = [f"records100/{ecg // 1000 * 1000:05d}/{ecg:05d}_lr" for ecg in recordings.index]
    return recordings


def _draw_patients(count: int, random: np.random.Generator) -> pd.DataFrame:
    share = np.array([one.share for one in PRESENTATIONS])
    # Largest remainder: each condition gets its share, and every one a patient as soon as there are enough.
    exact = share / share.sum() * count
    number = np.floor(exact).astype(int)
    number[np.argsort(number - exact)[: count - number.sum()]] += 1
    presentation = np.repeat(np.arange(len(PRESENTATIONS)), number)
    position = np.concatenate([np.arange(n) for n in number]) if count else np.zeros(0, dtype=int)
    # Dealing starts at another fold for each condition, so that folds are of like size.
    start = np.repeat(np.concatenate([[0], np.cumsum(number)[:-1]]), number)
    mean, spread = np.array([PRESENTATIONS[index].age_years for index in presentation]).T
    age = np.clip(np.rint(random.normal(mean, spread)), 18, 96)
    sex = random.integers(0, 2, size=count)
    height = np.rint(random.normal(np.where(sex == 1, 165.0, 178.0), 7.0))
    weight = np.rint(height - 100 + random.normal(0.0, 9.0, size=count))
    return pd.DataFrame(
        {
            "patient_id": 1 + random.permutation(count),
            "age": np.where(age > 89, OLDER_THAN_89, age),
            "age_years": age,
            "sex": sex,
            "height": height,
            "weight": weight,
            "strat_fold": 1 + (start + position) % FOLDS,
            "presentation": presentation,
        }
    )


def _statements(presentation: Presentation, random: np.random.Generator) -> dict[str, float]:
    first, likelihood = presentation.statements[0]
    stated = {first: float(random.choice(presentation.likelihoods)) if likelihood else 0.0}
    stated |= {code: 0.0 for code in presentation.sometimes if random.random() < 0.65}
    return stated | dict(presentation.statements[1:])


def _report(presentation: Presentation, random: np.random.Generator) -> str:
    return f"{random.choice(presentation.findings)} {random.choice(presentation.conclusions)}".strip()
