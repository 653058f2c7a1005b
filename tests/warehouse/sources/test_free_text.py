"""What free-text reports say, in the words of their kinds of author; every report here is made up."""

from __future__ import annotations

import pytest

from tasks.knowledge.vocabulary import vocabulary
from warehouse.sources.free_text import plain, read_free_text

REPORTS = [
    ("Sinus rhythm. Left bundle branch block.", {"SR": 100, "CLBBB": 100}, ()),
    ("Sinusrhythmus Linkstyp Rechtsschenkelblock", {"SR": 100, "CRBBB": 100}, ()),
    ("unvollständiger Rechtsschenkelblock", {"IRBBB": 100}, ()),
    ("Incomplete left bundle branch block, no atrial fibrillation.", {"ILBBB": 100}, ("AFIB",)),
    ("Vorhofflimmern/-flattern mit tachykarder Überleitung", {"AFIB": 100}, ()),
    ("Vorhofflattern", {"AFLT": 100}, ()),
    ("kein Vorhofflimmern", {}, ("AFIB",)),
    ("No evidence of left ventricular hypertrophy or ischaemia", {}, ("LVH", "ISC_")),
    ("inferiorer Infarkt     wahrscheinlich alt", {"IMI": 100}, ()),
    ("inferiorer Infarkt möglich", {"IMI": 50}, ()),
    ("anteroseptaler Myokardschaden nicht auszuschließen", {"ASMI": 50}, ()),
    ("wahrscheinlich    anterolaterale Ischämie oder Linksbelastung", {"ISCAL": 80}, ()),
    ("Old anteroseptal infarct cannot be entirely excluded.", {"ASMI": 50}, ()),
    ("Q waves in II, III, aVF consistent with old inferior\nmyocardial infarction.", {"QWAVE": 100, "IMI": 80}, ()),
    ("Possible left atrial enlargement.", {"LAO/LAE": 50}, ()),
    ("Verdacht auf P-sinistrocardiale", {"LAO/LAE": 50}, ()),
    ("Prolonged PR interval. Prolonged QT.", {"LPR": 100, "1AVB": 100, "LNGQT": 100}, ()),
    ("PR interval is normal.", {}, ()),
    ("A-V Block I", {"1AVB": 100}, ()),
    ("A-V Block III", {"3AVB": 100}, ()),
    ("supraventrikuläre Extrasystole(n)", {"PAC": 100}, ()),
    ("ventrikuläre Extrasystole(n), Bigeminus", {"PVC": 100, "BIGU": 100}, ()),
    ("Left bundle branch block, this is most commonly due to ischaemic heart disease.", {"CLBBB": 100}, ()),
    ("sonst normales EKG", {"NORM": 100}, ()),
    ("Sinus rhythm. Incomplete RBBB. Otherwise normal ECG", {"SR": 100, "IRBBB": 100, "NORM": 100}, ()),
    ("Left bundle branch block. Otherwise normal ECG.", {"CLBBB": 100}, ()),
    ("T waves are inverted in V2-5.", {"INVT": 100}, ()),
    ("ST segments are depressed in I, aVL", {"STD_": 100}, ()),
    ("Schrittmacher EKG", {"PACE": 100}, ()),
    ("förmaksflimmer, vänster kammarhypertrofi", {"AFIB": 100, "LVH": 100}, ()),
    ("4.46 unbestätigter Bericht", {}, ()),
    ("", {}, ()),
]


@pytest.mark.parametrize(("report", "likelihoods", "excluded"), REPORTS)
def test_a_report_is_read_into_statements_with_negation_and_doubt(
    report: str, likelihoods: dict[str, float], excluded: tuple[str, ...]
) -> None:
    found = read_free_text(report)
    assert (found.likelihoods, found.excluded) == (likelihoods, excluded)


def test_what_is_read_is_in_the_vocabulary() -> None:
    known = {code for _, concept in vocabulary().wordings for code in concept.asks}
    assert {code for _, found, _ in REPORTS for code in found} <= known


def test_accents_line_breaks_and_spelling_do_not_matter() -> None:
    assert plain("Überdrehter  Linkstyp\n QRS") == "ueberdrehter linkstyp qrs"
    assert read_free_text("VORHOFFLIMMERN") == read_free_text("vorhofflimmern")
