"""What sources write of people."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.sources.people import age_years, patient_id, sex


@pytest.mark.parametrize(
    ("written", "age"),
    [
        ("45,0", 45),
        ("45.0", 45),
        ("045Y", 45),
        ("45 years", 45),
        ("6 months", 0.5),
        ("006M", 0.5),
        ("73 d", 73 / 365.25),
        ("300", 90),
        ("300.0", 90),
        ("300 m", 25),
        ("89.5", 90),
        ("-5", None),
        ("121", None),
        ("adult", None),
        ("45 or 46", None),
        ("1e1", None),
        ("inf", None),
        ("NaN", None),
        ("", None),
        ("٤٥", None),
    ],
)
def test_ages(written: str, age: float | None) -> None:
    assert age_years(written) == age


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("F", "female"),
        ("female", "female"),
        (" Female ", "female"),
        ("w", "female"),
        ("1.0", "female"),
        ("M", "male"),
        ("0", "male"),
        ("2", None),
        ("nan", None),
        ("fm", None),
    ],
)
def test_sexes(written: str, meant: str | None) -> None:
    assert sex(written) == meant


@pytest.mark.parametrize(
    ("written", "identifier"),
    [
        ("15709", "15709"),
        ("015709", "15709"),
        ("15709.0", "15709"),
        ("15709.", "15709"),
        ("1.5709e4", "15709"),
        ("1.5709E+04", "15709"),
        ("0", "0"),
        ("000", "0"),
        (" P-01  7 ", "P-01 7"),
        ("nan", ""),
        ("NaN", ""),
        ("None", ""),
        ("", ""),
        ("9" * 30, "9" * 30),
        ("1e400", "1e400"),
    ],
)
def test_patients(written: str, identifier: str) -> None:
    assert patient_id(written) == identifier


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=20))
def test_any_text_is_understood_or_unknown(text: str) -> None:
    age = age_years(text)
    assert age is None or 0 <= age <= 90
    assert sex(text) in (None, "female", "male")
    assert patient_id(patient_id(text)) == patient_id(text)


@settings(max_examples=50, deadline=None)
@given(number=st.integers(0, 10**15), zeros=st.integers(0, 5))
def test_spellings_of_a_number_are_one_patient(number: int, zeros: int) -> None:
    assert {patient_id(f"{'0' * zeros}{number}"), patient_id(f"{number}.0")} == {str(number)}
