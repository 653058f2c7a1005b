"""What the simulator can simulate: one program per condition, as plain tables.

A program is a heart (waves of the dipole), a range of heart rates and a rhythm. Amplitudes were set by hand so that the
measured 12-lead features fall where textbooks and PTB-XL's medians put them; tests measure them back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from models.simulator.dipole import ADULT_P, ADULT_QRS, ADULT_T, Wave


def _scaled(waves: tuple[Wave, ...], x: float, y: float, z: float) -> tuple[Wave, ...]:
    return tuple(replace(wave, x=wave.x * x, y=wave.y * y, z=wave.z * z) for wave in waves)


# The published adult has P waves of 0.3 mV and T waves of 1 mV in V3 and an R of 0.4 mV in V1; PTB-XL's healthy have
# a T of 0.46 mV and an R of 0.15 mV there, and deeper S waves in V1 to V3.
QRS: Final = tuple(replace(wave, z=wave.z * (0.7 if wave.z < 0 else 1.4)) for wave in ADULT_QRS)
T: Final = _scaled(ADULT_T, 0.75, 1.2, 0.45)
P: Final = _scaled(ADULT_P, 1.0, 1.2, 0.4)
NORMAL: Final = (*P, *QRS, *T)


@dataclass(frozen=True)
class Program:
    """A condition's heart and rhythm.

    Attributes:
        name: the condition in words.
        waves: the beat; none of kind P in atrial fibrillation.
        lesion: waves of the condition itself, added to `waves` and scaled by a severity drawn per recording.
        heart_rate_bpm: range that heart rates are drawn from.
        severity: range of the factor on `lesion`.
        rr_variability: standard deviation of RR over its mean.
        p_delay_s: range by which conduction delays the QRS complex after the P wave.
        amplitude: factor on the QRS waves.
        ectopic_share: range of the share of beats that are ventricular premature complexes.
        fibrillation: True for irregular RR and f-waves.
    """

    name: str
    waves: tuple[Wave, ...] = NORMAL
    lesion: tuple[Wave, ...] = ()
    heart_rate_bpm: tuple[float, float] = (60.0, 95.0)
    severity: tuple[float, float] = (0.75, 1.35)
    rr_variability: float = 0.03
    p_delay_s: tuple[float, float] = (0.0, 0.03)
    amplitude: tuple[float, float] = (1.0, 1.0)
    ectopic_share: tuple[float, float] = (0.0, 0.0)
    fibrillation: bool = False


# Left bundle branch block: one slow front from right to left and back; a notched plateau; ST and T against the QRS.
LEFT_BLOCK_QRS: Final = (
    Wave("QRS", -0.034, 0.010, 0.32, 0.10, 0.08),
    Wave("QRS", -0.010, 0.013, 0.85, 0.05, 0.60),
    Wave("QRS", 0.022, 0.014, 0.72, -0.22, 0.85),
    Wave("QRS", 0.045, 0.010, 0.35, -0.15, 0.30),
)
LEFT_BLOCK_T: Final = (
    Wave("T", 0.12, 0.040, -0.08, 0.02, -0.15),
    Wave("T", 0.19, 0.045, -0.15, 0.05, -0.26),
    Wave("T", 0.26, 0.038, -0.32, 0.10, -0.56),
)
# Right bundle branch block: a normal start, then the right ventricle late and alone: right and forward.
RIGHT_BLOCK: Final = (
    Wave("QRS", 0.036, 0.012, -0.38, 0.03, -0.66),
    Wave("QRS", 0.060, 0.014, -0.36, 0.04, -0.62),
    Wave("T", 0.250, 0.040, -0.02, 0.0, 0.34),
)
# Transmural injury: the ST vector points at the injured wall, reciprocal leads see it from behind.
INFERIOR_INJURY: Final = (
    Wave("QRS", -0.028, 0.008, 0.05, -0.36, 0.0),
    Wave("QRS", -0.004, 0.010, 0.0, -0.22, 0.0),
    Wave("T", 0.085, 0.035, -0.05, 0.20, 0.04),
    Wave("T", 0.150, 0.045, -0.05, 0.22, 0.05),
    Wave("T", 0.225, 0.045, -0.04, 0.14, 0.03),
)
ANTERIOR_INJURY: Final = (
    Wave("QRS", -0.024, 0.009, -0.05, 0.0, 0.42),
    Wave("QRS", -0.004, 0.010, -0.10, 0.0, 0.16),
    Wave("T", 0.085, 0.035, 0.05, -0.09, -0.13),
    Wave("T", 0.150, 0.045, 0.06, -0.10, -0.15),
    Wave("T", 0.225, 0.045, 0.05, -0.08, -0.10),
)
# Subendocardial ischaemia: the ST vector points away from the left ventricle's apex; T flattens or inverts.
ISCHAEMIA: Final = (
    Wave("T", 0.075, 0.028, -0.13, -0.08, 0.03),
    Wave("T", 0.125, 0.035, -0.17, -0.10, 0.04),
    Wave("T", 0.190, 0.040, -0.16, -0.08, 0.05),
    Wave("T", 0.258, 0.030, -0.33, -0.06, 0.08),
)
# Left ventricular hypertrophy with strain: a large QRS (see `amplitude`), T against it in the lateral leads.
STRAIN: Final = (
    Wave("T", 0.100, 0.035, -0.09, -0.01, -0.02),
    Wave("T", 0.180, 0.045, -0.17, -0.02, -0.03),
    Wave("T", 0.262, 0.034, -0.52, -0.08, 0.02),
)
ECTOPIC_BEATS: Final = (
    # From the right ventricle's outflow tract: like left bundle branch block, axis down.
    (
        Wave("QRS", -0.030, 0.016, 0.35, 0.75, 0.30),
        Wave("QRS", 0.010, 0.022, 0.60, 0.95, 1.00),
        Wave("QRS", 0.050, 0.018, 0.25, 0.30, 0.45),
        Wave("T", 0.150, 0.050, -0.10, -0.18, -0.20),
        Wave("T", 0.255, 0.050, -0.35, -0.45, -0.55),
    ),
    # From the left ventricle's lower wall: like right bundle branch block, axis up.
    (
        Wave("QRS", -0.030, 0.016, -0.10, -0.70, -0.40),
        Wave("QRS", 0.010, 0.022, -0.50, -1.00, -0.85),
        Wave("QRS", 0.050, 0.018, -0.45, -0.40, -0.40),
        Wave("T", 0.150, 0.050, 0.10, 0.18, 0.15),
        Wave("T", 0.255, 0.050, 0.35, 0.50, 0.40),
    ),
)

PROGRAMS: Final[dict[str, Program]] = {
    program.name: program
    for program in (
        Program("normal sinus rhythm"),
        Program("sinus bradycardia", heart_rate_bpm=(40.0, 57.0), rr_variability=0.035),
        Program("sinus tachycardia", heart_rate_bpm=(103.0, 140.0), rr_variability=0.015, p_delay_s=(-0.01, 0.01)),
        Program(
            "atrial fibrillation",
            waves=(*QRS, *_scaled(T, 0.5, 0.5, 0.7)),
            heart_rate_bpm=(60.0, 135.0),
            rr_variability=0.21,
            fibrillation=True,
        ),
        Program("left bundle branch block", waves=(*P, *LEFT_BLOCK_QRS, *LEFT_BLOCK_T), severity=(1.0, 1.0)),
        Program("right bundle branch block", lesion=RIGHT_BLOCK, severity=(0.9, 1.3)),
        Program("first-degree AV block", heart_rate_bpm=(52.0, 88.0), p_delay_s=(0.06, 0.13)),
        Program("inferior ST elevation", lesion=INFERIOR_INJURY, heart_rate_bpm=(55.0, 95.0)),
        Program("anterior ST elevation", lesion=ANTERIOR_INJURY, heart_rate_bpm=(65.0, 105.0)),
        Program("left ventricular hypertrophy", lesion=STRAIN, amplitude=(1.6, 2.1)),
        Program("premature ventricular complexes", ectopic_share=(0.05, 0.15)),
        Program("ST depression", lesion=ISCHAEMIA, heart_rate_bpm=(65.0, 110.0)),
    )
}
"""Programs by name."""
