"""What a source codes of an ECG beside its statements, in words: heart axis, infarction stage, extra beats, pacemaker.

The codes are those of `recordings.coded_views`. Likelihoods of statements are words here too, because a source states
them in few steps (PTB-XL: 15, 35, 50, 80 and 100 %, 0 for unknown; Wagner et al. 2020, doi 10.1038/s41597-020-0495-6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tasks.knowledge.profiles import ADMISSION_VIEWS
from tasks.knowledge.retrieval import Admission
from warehouse.statements import CERTAIN, POSSIBLE, PROBABLE, statements

HEART_AXES: Final = {code: axis.description for code, axis in statements().axes.items()}
"""Code of SCP-ECG to its meaning."""
INFARCTION_STAGES: Final = {
    "Stadium I": "acute infarction, stage I",
    "Stadium I-II": "acute to subacute infarction, stage I to II",
    "Stadium II": "subacute infarction, stage II",
    "Stadium II-III": "subacute to old infarction, stage II to III",
    "Stadium III": "old infarction, stage III",
}
"""PTB-XL's stage, without `unknown`, to its meaning."""
EXTRA_BEATS: Final = {
    "ventricular": "ventricular extra beats",
    "supraventricular": "supraventricular extra beats",
    "ventricular and supraventricular": "ventricular and supraventricular extra beats",
    "unspecified": "extra beats",
}
PACEMAKER: Final = "pacemaker"

LIKELY_PERCENT: Final = {"possible": POSSIBLE, "probable": PROBABLE}
"""Word to the likelihood in percent from which a statement that is not certain deserves it; also the one of most such
statements in PTB-XL, so that it stands for them all."""
CERTAIN_PERCENT: Final = CERTAIN


@dataclass(frozen=True)
class CodedViews:
    """What is coded of an ECG beside its statements; None where nothing is.

    Attributes:
        heart_axis: one of `HEART_AXES`.
        infarction_stage: one of `INFARCTION_STAGES`; of two infarctions the first one's.
        extra_beats: one of `EXTRA_BEATS`.
        pacemaker: True where one is coded.
    """

    heart_axis: str | None = None
    infarction_stage: str | None = None
    extra_beats: str | None = None
    pacemaker: bool | None = None

    def words(self) -> list[str]:
        """Each view in words."""
        named = (
            (HEART_AXES, self.heart_axis),
            (INFARCTION_STAGES, self.infarction_stage),
            (EXTRA_BEATS, self.extra_beats),
        )
        return [words.get(code, code) for words, code in named if code] + ([PACEMAKER] if self.pacemaker else [])


def coded_views(views: Iterable[Mapping[str, Any]] | None) -> CodedViews:
    """The typed form of a row of `recordings.coded_views`; codes without a meaning here are left out."""
    codes = {one["view"]: one["codes"] for one in views or []}
    beats = [kind for kind in ("ventricular", "supraventricular") if kind in codes.get("extra_beats", [])]
    return CodedViews(
        heart_axis=next((code for code in codes.get("axis", []) if code in HEART_AXES), None),
        infarction_stage=next((code for code in codes.get("infarction_stage", []) if code in INFARCTION_STAGES), None),
        extra_beats=" and ".join(beats) or ("unspecified" if "unspecified" in codes.get("extra_beats", []) else None),
        pacemaker=True if "present" in codes.get("pacemaker", []) else None,
    )


def admission_codes(views: Iterable[Mapping[str, Any]] | None) -> Admission:
    """Diagnoses, medications and procedures in a row of `recordings.coded_views`."""
    return tuple((one["view"], frozenset(one["codes"])) for one in views or [] if one["view"] in ADMISSION_VIEWS)


def certainty(likelihood: float | None) -> str:
    """The word for a statement that is not certain, "possible" or "probable"; "" for a certain or unknown one."""
    if not likelihood or likelihood >= CERTAIN_PERCENT:
        return ""
    return "probable" if likelihood >= LIKELY_PERCENT["probable"] else "possible"
