"""What reports say: lines that many patients share, and runs of words that must not be repeated.

A line is a sentence of a report. It may be shown to a language model only if the reports of enough different patients
hold it word for word, and if nothing in it looks like a date, a number, a name or an address: so whatever was written
about one patient alone never leaves the recordings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

LONGEST_RUN: Final = 6
"""Words in a row that a narrative may share with a report."""
LONGEST_LINE: Final = 12
"""Words of a line that is shown."""

_LEADS = re.compile(r"\b(?:v ?\d(?:\s*(?:,|-|to|bis)\s*v?\d)*|1st|2nd|3rd)\b")
_IDENTIFYING = re.compile(
    r"\d|@|\b(?:dr|prof|mr|mrs|ms|herr|frau|edit|signed|validated|technician|physician|md)\b"
    # Signatures: who read, who confirmed.
    r"|\b(?:read|re-?read|reviewed|confirmed|reported|interpreted|performed|recorded|verified|approved|referred) by\b"
    r"|\b(?:gez|gezeichnet|befundet|befunder|vidiert|validiert|unterschrift)\b"
)
_ADMINISTRATIVE = re.compile(r"\b(?:unconfirmed|unbest.*|report|bericht|compared with|tracing|previous|ekg|ecg)\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-zäöüß]{2,}")


def lines_of(report: str) -> set[str]:
    """The sentences of a report that could be shown: lower case, single spaces, nothing that identifies."""
    found = set()
    for sentence in re.split(r"[.;]+(?:\s|$)|\n", report):
        # A capital inside an English sentence marks a name; in other reports it only costs a line.
        if _NAME.search(sentence):
            continue
        line = " ".join(sentence.lower().split()).strip(" -,:")
        hidden = _IDENTIFYING.search(_LEADS.sub("", line)) or _ADMINISTRATIVE.search(line)
        if line and not hidden and 2 <= len(line.split()) <= LONGEST_LINE:
            found.add(line)
    return found


class ReportLines:
    """Lines of the training reports that at least `min_patients` patients share.

    Args:
        reports: n reports.
        patients: (n,) number of each report's patient.
        min_patients: patients whose reports must hold a line.
    """

    def __init__(self, reports: Sequence[str], patients: np.ndarray, min_patients: int) -> None:
        holders: dict[str, set[int]] = {}
        for report, patient in zip(reports, patients, strict=True):
            for line in lines_of(report):
                holders.setdefault(line, set()).add(int(patient))
        self.reporting = np.array(sorted({int(one) for one, text in zip(patients, reports, strict=True) if text}), int)
        """Numbers of the patients who have a report at all."""
        self._holders = {line: np.array(sorted(who), int) for line, who in holders.items() if len(who) >= min_patients}

    def distinctive(self, group: np.ndarray, most: int, by: float = 0.1) -> list[tuple[str, float]]:
        """Lines that a group's reports hold more often than others, by at least `by`, each with its share of the group.

        Args:
            group: numbers of the group's patients.
            most: lines at most, the most distinctive first.
        """
        inside = np.intersect1d(group, self.reporting)
        outside = np.setdiff1d(self.reporting, inside)
        if not len(inside):
            return []
        found = []
        for line, holders in self._holders.items():
            here = len(np.intersect1d(holders, inside, assume_unique=True))
            elsewhere = (len(holders) - here) / max(1, len(outside))
            if here / len(inside) - elsewhere >= by:
                found.append((here / len(inside) - elsewhere, line, here / len(inside)))
        return [(line, share) for _, line, share in sorted(found, key=lambda one: (-one[0], one[1]))[:most]]


class Verbatim:
    """Finds runs of more than six words that a text shares with a report.

    Args:
        reports: all training reports.
        vocabulary: phrases that anybody may use, such as the descriptions of statements.
    """

    def __init__(self, reports: Sequence[str], vocabulary: Sequence[str] = ()) -> None:
        phrases = sorted({" ".join(_words(phrase)) for phrase in vocabulary} - {""}, key=lambda one: (-len(one), one))
        self._phrases = re.compile(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b") if phrases else None
        self._runs = {run for report in reports for run in _runs(self._reduced(report))}

    def repeated(self, text: str) -> str | None:
        """The first run of words that a report holds too; None when there is none."""
        return next((run for run in _runs(self._reduced(text)) if run in self._runs), None)

    def _reduced(self, text: str) -> list[str]:
        """Words, with each phrase of the vocabulary as one."""
        plain = " ".join(_words(text))
        return (self._phrases.sub("…", plain) if self._phrases else plain).split()


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _runs(words: list[str]) -> list[str]:
    return [" ".join(words[at : at + LONGEST_RUN + 1]) for at in range(len(words) - LONGEST_RUN)]
