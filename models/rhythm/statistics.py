"""What recordings of a rhythm show of it: a few quantiles over many patients, none of them anybody's series."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from models.architecture import Architecture

SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
Quantiles = tuple[float, float, float, float, float]

SINUS_RHYTHM: Final = "sinus"
SINUS_BRADYCARDIA, SINUS_TACHYCARDIA = "sinus bradycardia", "sinus tachycardia"
SINUS_ARRHYTHMIA: Final = "sinus arrhythmia"
FIBRILLATION_RHYTHM, FLUTTER_RHYTHM = "atrial fibrillation", "atrial flutter"
ESCAPE_RHYTHM, PACED_RHYTHM = "escape", "paced"
SUPRAVENTRICULAR_TACHYCARDIA: Final = "supraventricular tachycardia"

ATRIAL_BEATS, VENTRICULAR_BEATS = "atrial premature beats", "ventricular premature beats"
BIGEMINY, TRIGEMINY = "bigeminy", "trigeminy"
NO_ECTOPY: Final = "none"


class RhythmStatistics(Architecture):
    """When hearts of one rhythm beat. Quantiles are at 5, 25, 50, 75 and 95 %."""

    patients: int = Field(ge=0, description="Patients behind the numbers; 0 where those of the literature stand in.")
    heart_rate_bpm: Quantiles = Field(description="Heart rates, in beats per minute.")
    rr_variability: Quantiles = Field(description="Standard deviation of RR over its mean.")
    p_wave_share: float = Field(ge=0, le=1, description="Share of the recordings that have P waves.")


class EctopyStatistics(Architecture):
    """Premature beats of one kind, among recordings that have any. Quantiles are at 5, 25, 50, 75 and 95 %."""

    patients: int = Field(ge=0, description="Patients behind the numbers; 0 where those of the literature stand in.")
    share: Quantiles = Field(description="Share of premature beats among beats.")
    coupling: Quantiles = Field(description="RR interval into a premature beat over the usual one.")
    pause: Quantiles = Field(description="RR interval after a premature beat over the usual one.")


class SeriesStatistics(Architecture):
    """Everything that rhythms are drawn from."""

    rhythms: dict[str, RhythmStatistics]
    ectopy: dict[str, EctopyStatistics]


def _usual(rate: Quantiles, variability: float, p_wave_share: float) -> RhythmStatistics:
    spread = tuple(round(variability * factor, 4) for factor in (0.4, 0.7, 1.0, 1.4, 2.2))
    return RhythmStatistics(
        patients=0,
        heart_rate_bpm=rate,
        rr_variability=spread,
        p_wave_share=p_wave_share,  # type: ignore[arg-type]
    )


USUAL: Final = SeriesStatistics(
    rhythms={
        SINUS_RHYTHM: _usual((56.0, 64.0, 71.0, 80.0, 95.0), 0.03, 1.0),
        SINUS_BRADYCARDIA: _usual((43.0, 49.0, 53.0, 56.0, 59.0), 0.035, 1.0),
        SINUS_TACHYCARDIA: _usual((101.0, 105.0, 111.0, 120.0, 140.0), 0.015, 1.0),
        SINUS_ARRHYTHMIA: _usual((52.0, 60.0, 67.0, 75.0, 88.0), 0.1, 1.0),
        SUPRAVENTRICULAR_TACHYCARDIA: _usual((125.0, 145.0, 160.0, 180.0, 205.0), 0.01, 0.0),
        FIBRILLATION_RHYTHM: _usual((58.0, 75.0, 90.0, 110.0, 145.0), 0.2, 0.0),
        FLUTTER_RHYTHM: _usual((65.0, 75.0, 90.0, 125.0, 150.0), 0.05, 0.0),
        ESCAPE_RHYTHM: _usual((32.0, 37.0, 42.0, 48.0, 58.0), 0.02, 0.0),
        PACED_RHYTHM: _usual((60.0, 63.0, 70.0, 72.0, 85.0), 0.01, 0.5),
    },
    ectopy={
        ATRIAL_BEATS: EctopyStatistics(
            patients=0,
            share=(0.06, 0.09, 0.1, 0.18, 0.3),
            coupling=(0.55, 0.64, 0.7, 0.76, 0.83),
            pause=(0.95, 1.05, 1.15, 1.25, 1.4),
        ),
        VENTRICULAR_BEATS: EctopyStatistics(
            patients=0,
            share=(0.06, 0.09, 0.1, 0.18, 0.33),
            coupling=(0.5, 0.57, 0.64, 0.71, 0.8),
            pause=(1.1, 1.25, 1.36, 1.43, 1.55),
        ),
    },
)
"""Numbers of the literature and textbooks, for rhythms that too few training patients have."""

RHYTHMS: Final = tuple(USUAL.rhythms)
"""Rhythms that can be drawn, by index; the first is that of conditions that name none."""
ECTOPIES: Final = (NO_ECTOPY, ATRIAL_BEATS, VENTRICULAR_BEATS, BIGEMINY, TRIGEMINY)
"""Premature beats that can be drawn with a rhythm, by index; bigeminy and trigeminy are ventricular."""
