"""Lead algebra: exact identities, whatever the array library."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.leads import (
    INDEPENDENT_LEADS,
    LEAD_COLUMNS,
    STANDARD_LEADS,
    canonical_lead,
    einthoven_residual,
    to_twelve_leads,
)


@pytest.fixture
def independent() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, 8, 50)).astype(np.float32)


def test_derived_leads_follow_einthoven_and_goldberger(independent: np.ndarray) -> None:
    twelve = dict(zip(STANDARD_LEADS, np.moveaxis(to_twelve_leads(independent), 1, 0), strict=True))
    np.testing.assert_array_equal(twelve["III"], twelve["II"] - twelve["I"])
    np.testing.assert_array_equal(twelve["aVR"], -(twelve["I"] + twelve["II"]) / 2)
    np.testing.assert_array_equal(twelve["aVL"], twelve["I"] - twelve["II"] / 2)
    np.testing.assert_array_equal(twelve["aVF"], twelve["II"] - twelve["I"] / 2)
    np.testing.assert_allclose(twelve["aVR"] + twelve["aVL"] + twelve["aVF"], 0, atol=1e-6)
    for index, lead in enumerate(INDEPENDENT_LEADS):
        np.testing.assert_array_equal(twelve[lead], independent[:, index])


def test_numpy_and_torch_agree(independent: np.ndarray) -> None:
    np.testing.assert_array_equal(to_twelve_leads(torch.from_numpy(independent)).numpy(), to_twelve_leads(independent))


def test_residual_is_zero_by_construction_and_sees_a_violation(independent: np.ndarray) -> None:
    twelve = to_twelve_leads(independent)
    assert einthoven_residual(twelve) == 0.0
    twelve[1, STANDARD_LEADS.index("III"), 7] += 0.25
    assert einthoven_residual(twelve) == pytest.approx(0.25)


def test_names_are_read_in_any_case_and_unknown_ones_refused() -> None:
    assert [canonical_lead(name) for name in ("AVR", "avl", " aVF ", "v1")] == ["aVR", "aVL", "aVF", "V1"]
    assert [canonical_lead(name) for name in ("MLII", "DI", "Lead III", "ECG_V6", "lead avl")] == [
        "II",
        "I",
        "III",
        "V6",
        "aVL",
    ]
    for name in ("V7", "-aVR", "MV1", "", "lead", "I II", "E1"):
        with pytest.raises(ValueError, match="is not a standard lead"):
            canonical_lead(name)
    assert LEAD_COLUMNS[0] == "lead_i"
    assert LEAD_COLUMNS[-1] == "lead_v6"


def test_wrong_lead_count_is_refused() -> None:
    with pytest.raises(ValueError, match="8, samples"):
        to_twelve_leads(np.zeros((12, 100)))
