"""The one record type that every source yields, and the reasons for which a record is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What a dataset says about one recording; the waveform is read later."""

    record: str
    """Identifier inside the dataset; the same whatever sampling rate is read."""
    patient: str
    """Identifier of the patient inside the dataset."""
    age_years: float | None
    """Age at recording; 90 stands for older than 89."""
    sex: str | None
    """female or male."""
    text: str
    """Report as written; empty when there is none."""
    statements: tuple[tuple[str, float], ...]
    """Statements as (code, likelihood in percent), in the codes of the vocabulary (`warehouse.statements`); what it
    lacks is kept under a code of its own. Likelihood 0 means unknown, not absent; a dataset that states none means
    100."""
    superclasses: tuple[str, ...]
    """Diagnostic superclasses of all statements, whatever their likelihood."""
    strat_fold: int | None
    """Patient-disjoint fold, 1 to 10; None where the dataset has no folds, so that ingestion draws one per patient."""
    coded_views: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What else the dataset codes of the patient, by view: axis, infarction_stage, extra_beats, pacemaker; centre; the
    dataset's own codes (snomed, aha); diagnoses, procedures and medications of the admission in MIMIC-IV."""
    files: tuple[tuple[int, str], ...] = ()
    """Sampling rate in Hz and path of the record inside the dataset, without extension; a dataset may hold a record at
    several rates."""
    dataset: str = ""
    """Name of the dataset that it is of, where the source is a collection of several; empty for the source's own."""

    def file(self, rate_hz: int) -> tuple[int, str] | None:
        """Rate and path of the slowest file that holds everything of a sampling rate, which may be a faster one's; None
        where there is none."""
        return min((one for one in self.files if one[0] >= rate_hz), default=None)

    def path(self, rate_hz: int) -> str:
        """The record's path inside the dataset, for people: that of this file, else its only one, else the
        identifier."""
        only = self.files[0][1] if len(self.files) == 1 else self.record
        found = self.file(rate_hz)
        return found[1] if found else only


class BadRecord(Exception):  # noqa: N818 - it says what the record is; it is caught per record and quarantined
    """A record that cannot be used.

    Attributes:
        reason: reason code, one of `REASONS`.
        detail: what exactly was wrong, in words.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class RefusedRecord:
    """A record that cannot be used, as its quarantine row says."""

    record: str
    reason: str
    detail: str
    dataset: str = ""
    """As in `SourceRecord`."""


REASONS = {
    "bad_statements": "The statements are not a mapping from code to likelihood",
    "bad_fold": "The fold is not a whole number from 1 to 10",
    "bad_path": "The file name is absolute or leaves the dataset, itself or through a link",
    "missing_patient": "The patient is not named, so the record cannot be kept in one split",
    "duplicate_waveform": "Another recording has the same waveform; of several patients, none of its copies is kept",
    "duplicate_record": "Another row has the same record identifier",
    "patient_in_several_splits": "The patient's recordings lie in folds of several splits",
    "missing_file": "The header or the signal file is not there",
    "unreadable_file": "The operating system could not read a file",
    "bad_header": "The header is not valid WFDB",
    "several_segments": "A segment of a record joins segments itself, or has labels of its own",
    "too_large": "The header promises more samples than are decoded",
    "bad_signal": "The signal file cannot be decoded, e.g. because it is truncated",
    "checksum": "The signal file is not the one that the header was written for",
    "duplicate_lead": "A lead is named twice",
    "missing_lead": "One of the eight independent leads is not there",
    "unknown_unit": "A lead's unit is not a known unit of voltage",
    "uncalibrated": "The header gives a lead no gain above 0, so its amplitude means nothing",
    "wrong_rate": "The sampling rate is below 100 Hz, or not the one that the dataset states",
    "too_short": "The recording is shorter than the window that was asked for",
    "invalid_samples": "A lead holds samples that are marked invalid or are not finite",
    "out_of_range": "An amplitude is beyond what can be stored",
    "bad_metadata": "What a table says of the record cannot be read",
    "unsupported_format": "The file is in no format that can be read",
    "bad_export": "The export of an ECG cart is malformed",
    "no_signal": "No lead spans more than 0.05 mV",
    "lead_identity": "The limb leads contradict each other, so leads were swapped or scaled",
}
"""Reason codes of the quarantine and what they mean."""
