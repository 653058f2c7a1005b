"""Statement AUCs against scikit-learn, and what they say of worse cohorts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from models.leads import INDEPENDENT_LEADS
from tasks.ecg_sets import EcgSet
from tasks.evaluation.networks.statement_classifier import statement_labels
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.row import EvaluationRow
from tasks.evaluation.rows.statements import (
    STATEMENT_AUC,
    STATEMENT_AUC_RATIO,
    STATEMENT_MACRO_AUC,
    statement_rows,
)
from tasks.settings import EvaluationSettings

CODES = ["AFIB", "CLBBB", "SR", "WPW"]


def labelled(count: int, seed: int) -> EcgSet:
    """ECGs that hold AFIB or SR and, every third, CLBBB; two hold WPW."""
    rng = np.random.default_rng(seed)
    held = [
        [*(["AFIB"] if rng.random() < 0.4 else ["SR"]), *(["CLBBB"] if row % 3 == 0 else [])] for row in range(count)
    ]
    held[0].append("WPW")
    held[1].append("WPW")
    patients = np.array([f"{seed}-{row}" for row in range(count)], dtype=object)
    signal = np.zeros((count, len(INDEPENDENT_LEADS), 1), np.float32)
    return EcgSet(pa.table({"statements": pa.array(held)}), signal, patients)


def scores(ecgs: EcgSet, noise: float, seed: int) -> np.ndarray:
    """What a classifier would say of ECGs that show their statements through so much noise."""
    return statement_labels(ecgs, CODES) + np.random.default_rng(seed).normal(0, noise, (len(ecgs), len(CODES)))


def rows(synthetic: EcgSet, real: EcgSet, of_synthetic: np.ndarray, of_real: np.ndarray) -> list[EvaluationRow]:
    compared = Compared(real, real, synthetic, {}, {}, 100, EvaluationSettings(bootstrap_samples=50), np.array([]))
    return list(statement_rows(compared, CODES, of_synthetic, of_real))


def test_each_statement_has_the_area_of_scikit_learn_and_rare_ones_are_flagged() -> None:
    synthetic, real = labelled(300, 1), labelled(200, 2)
    said, of_real = scores(synthetic, 1.0, 1), scores(real, 1.0, 2)
    found = rows(synthetic, real, said, of_real)
    of = {one["condition"]: one for one in found if one["metric"] == STATEMENT_AUC}
    expected = {}
    for place, code in enumerate(CODES[:3]):
        labels = [statement_labels(ecgs, CODES)[:, place] for ecgs in (synthetic, real)]
        expected[code] = (roc_auc_score(labels[0], said[:, place]), roc_auc_score(labels[1], of_real[:, place]))
        assert (of[code]["value"], of[code]["reference"]) == pytest.approx(expected[code])
        assert of[code]["low"] < of[code]["value"] < of[code]["high"]
    assert of["WPW"]["value"] is None and of["WPW"]["n"] == 2 and of["WPW"]["flag"] == "too few rows"
    whole = {one["metric"]: one for one in found if one["condition"] is None}
    mean, mean_real = np.mean(list(expected.values()), axis=0)
    assert whole[STATEMENT_MACRO_AUC]["value"] == pytest.approx(mean) and whole[STATEMENT_MACRO_AUC]["n"] == 3
    assert whole[STATEMENT_MACRO_AUC]["reference"] == pytest.approx(mean_real)
    assert whole[STATEMENT_AUC_RATIO]["value"] == pytest.approx(mean / mean_real)
    assert whole[STATEMENT_AUC_RATIO]["low"] < mean / mean_real < whole[STATEMENT_AUC_RATIO]["high"]


def test_conditions_that_do_not_show_lower_the_ratio() -> None:
    synthetic, real = labelled(300, 1), labelled(200, 2)
    of_real = scores(real, 0.7, 2)
    ratio = lambda said: next(  # noqa: E731
        one for one in rows(synthetic, real, said, of_real) if one["metric"] == STATEMENT_AUC_RATIO
    )
    faithful, faint = ratio(scores(synthetic, 0.7, 1)), ratio(scores(synthetic, 2.0, 1))
    shuffled = ratio(np.random.default_rng(1).permutation(scores(synthetic, 0.7, 1)))
    one_for_all = ratio(np.zeros((300, len(CODES))))
    assert faithful["low"] > faint["high"] > faint["low"] > shuffled["high"]
    assert one_for_all["value"] < 0.62 and shuffled["high"] < 0.7


def test_nothing_to_compare_is_null() -> None:
    few = labelled(10, 1)
    found = rows(few, replace(few), scores(few, 1, 1), scores(few, 1, 1))
    assert all(one["value"] is None and one["flag"] == "too few rows" for one in found)
