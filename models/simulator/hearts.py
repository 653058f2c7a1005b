"""Hearts to simulate: a program, a patient and a day, turned into tensors.

Patients differ in how the heart lies in the chest, in the size and length of each wave and in where electrodes are
stuck; recordings of one patient share that and differ in heart rate, severity and noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from models.simulator.dipole import DOWER, Wave, WaveKind, rotation
from models.simulator.simulated_conditions import ECTOPIC_BEATS, Program

RATE_EXPONENT: dict[WaveKind, float] = {"P": 0.2, "QRS": 0.0, "T": 1.0 / 3.0}
"""Centre and width of a wave go with RR (in seconds) to this power: the QRS complex hardly depends on it, the T wave
follows Fridericia's cube root."""
KINDS: tuple[WaveKind, ...] = ("P", "QRS", "T")
MOST_WAVES = 40
FEMALE = 1
"""PTB-XL's code."""


@dataclass(frozen=True)
class Anatomy:
    """What makes one patient's ECG differ from another's; (batch, …) tensors.

    Attributes:
        rotation: (batch, 3, 3) of the dipole, from the lie of the heart.
        amplitude: (batch, 3) factors on P, QRS and T.
        width: (batch, 3) factors on centre and width of P, QRS and T.
        wave: (batch, waves) factors on single waves, around 1; taken from the front.
        lead_gain: (batch, 8) factors on the leads, from the placement of electrodes.
    """

    rotation: Tensor
    amplitude: Tensor
    width: Tensor
    wave: Tensor
    lead_gain: Tensor

    def __getitem__(self, rows: Tensor) -> Anatomy:
        """The anatomy of chosen patients, repeats allowed."""
        return Anatomy(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True)
class Hearts:
    """Everything `simulate` needs for a batch of recordings; every tensor may require a gradient.

    Attributes:
        amplitude: (batch, waves, 3) dipole amplitudes in mV; unused waves are 0.
        centre_s, width_s: (batch, waves) in seconds at 60 bpm.
        exponent: (batch, waves) power of RR that centre and width follow.
        ectopic_amplitude, ectopic_centre_s, ectopic_width_s, ectopic_exponent: the same for ectopic beats.
        lead_gain: (batch, 8).
        heart_rate_bpm, rr_variability, ectopic_share: (batch,).
        fibrillation: (batch,) bool.
        fibrillation_mv, wander_mv, noise_mv: (batch,) levels in mV.
    """

    amplitude: Tensor
    centre_s: Tensor
    width_s: Tensor
    exponent: Tensor
    ectopic_amplitude: Tensor
    ectopic_centre_s: Tensor
    ectopic_width_s: Tensor
    ectopic_exponent: Tensor
    lead_gain: Tensor
    heart_rate_bpm: Tensor
    rr_variability: Tensor
    ectopic_share: Tensor
    fibrillation: Tensor
    fibrillation_mv: Tensor
    wander_mv: Tensor
    noise_mv: Tensor

    def __getitem__(self, rows: slice | Tensor) -> Hearts:
        """The hearts of some recordings."""
        return Hearts(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def draw_anatomy(age_years: Tensor, sex: Tensor, generator: torch.Generator) -> Anatomy:
    """Draw patients.

    With age the axis turns left and upwards and T waves get smaller; women have a smaller QRS complex and a longer QT
    interval (Rautaharju, Surawicz, Gettes, JACC 53:982–991, 2009). Both effects are
    modest beside the spread between people.

    Args:
        age_years: (batch,).
        sex: (batch,) 0 male, 1 female.
        generator: every draw comes from it.
    """
    batch = len(age_years)
    female = (sex == FEMALE).float()
    decades = (age_years - 50.0) / 10.0

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator)

    frontal = torch.deg2rad(12.0 - 5.0 * decades + 16.0 * normal())
    turned = rotation(frontal, torch.deg2rad(10.0 * normal()), torch.deg2rad(7.0 * normal()))
    size = torch.stack([torch.zeros(batch), -0.10 * female - 0.02 * decades, -0.15 * female - 0.04 * decades], dim=1)
    length = torch.stack([torch.zeros(batch), -0.04 * female, 0.03 * female + 0.005 * decades], dim=1)
    return Anatomy(
        rotation=turned,
        amplitude=torch.exp(size + normal(3) * torch.tensor([0.20, 0.17, 0.25])),
        width=torch.exp(length + normal(3) * torch.tensor([0.07, 0.06, 0.05])),
        wave=torch.exp(0.10 * normal(MOST_WAVES)),
        lead_gain=torch.exp(normal(len(DOWER)) * torch.tensor([0.03] * 2 + [0.10] * 6)),
    )


def draw_hearts(
    programs: Sequence[Program],
    anatomy: Anatomy,
    generator: torch.Generator,
    heart_rate_bpm: Tensor | None = None,
) -> Hearts:
    """Draw one recording's heart per program.

    Args:
        programs: one per recording.
        anatomy: one row per recording.
        generator: every draw comes from it.
        heart_rate_bpm: (batch,) heart rates to deliver; drawn from the programs' ranges if not given.
    """
    batch = len(programs)

    def draw(low_high: list[tuple[float, float]]) -> Tensor:
        low, high = torch.tensor(low_high).unbind(dim=1)
        return low + (high - low) * torch.rand(batch, generator=generator)

    drawn_rate = draw([program.heart_rate_bpm for program in programs])
    severity = draw([program.severity for program in programs])
    delay = draw([program.p_delay_s for program in programs])
    qrs = draw([program.amplitude for program in programs])
    origin = torch.randint(len(ECTOPIC_BEATS), (batch,), generator=generator)
    fibrillation = torch.tensor([program.fibrillation for program in programs])

    # Few programs, many recordings: each distinct program is tabulated once.
    distinct = {id(program): program for program in programs}
    rows = {identity: row for row, identity in enumerate(distinct)}
    row = torch.tensor([rows[id(program)] for program in programs])
    waves = _table([(*program.waves, *program.lesion) for program in distinct.values()])
    amplitude, centre, width, exponent, kind, number = (column[row] for column in waves)
    of_lesion = number >= torch.tensor([len(program.waves) for program in programs])[:, None]
    factor = anatomy.wave.gather(1, number) * anatomy.amplitude.gather(1, kind)
    factor = (
        factor
        * torch.where(of_lesion, severity[:, None], 1.0)
        * torch.where((kind == 1) & ~of_lesion, qrs[:, None], 1.0)
    )
    stretch = anatomy.width.gather(1, kind)
    centre = centre * stretch - torch.where(kind == 0, delay[:, None], 0.0)
    beats = [column[origin] for column in _table(ECTOPIC_BEATS)]
    return Hearts(
        amplitude=(amplitude * factor[..., None]) @ anatomy.rotation.mT,
        centre_s=centre,
        width_s=width * stretch,
        exponent=exponent,
        ectopic_amplitude=(beats[0] * anatomy.amplitude[:, 1, None, None]) @ anatomy.rotation.mT,
        ectopic_centre_s=beats[1],
        ectopic_width_s=beats[2],
        ectopic_exponent=beats[3],
        lead_gain=anatomy.lead_gain,
        heart_rate_bpm=drawn_rate if heart_rate_bpm is None else heart_rate_bpm.float(),
        rr_variability=torch.tensor([program.rr_variability for program in programs])
        * torch.exp(0.3 * torch.randn(batch, generator=generator)).clamp(0.5, 1.6),
        ectopic_share=draw([program.ectopic_share for program in programs]),
        fibrillation=fibrillation,
        fibrillation_mv=torch.where(fibrillation, 0.025 + 0.05 * torch.rand(batch, generator=generator), 0.0),
        wander_mv=0.03 * torch.exp(0.7 * torch.randn(batch, generator=generator)).clamp(0.2, 4.0),
        noise_mv=0.009 * torch.exp(0.4 * torch.randn(batch, generator=generator)).clamp(0.4, 2.5),
    )


def _table(beats: Sequence[tuple[Wave, ...]]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Waves as tensors. A column holds waves of one kind; where a beat has none left, one of amplitude 0 stands in.

    Returns:
        Amplitude (beats, waves, 3); centre, width, exponent, index of the kind, and number of the wave in its beat,
        (beats, waves) each.
    """
    columns: list[list[tuple[int, Wave]]] = []
    for kind in KINDS:
        of_kind = [[(number, wave) for number, wave in enumerate(beat) if wave.kind == kind] for beat in beats]
        fullest = max(of_kind, key=len)
        # Standing in for a wave of another beat, it lies where that one does: waves of a column are evaluated together.
        spare = [(0, replace(wave, x=0.0, y=0.0, z=0.0)) for _, wave in fullest]
        columns += [list(column) for column in zip(*(one + spare[len(one) :] for one in of_kind), strict=True)]
    numbers = torch.tensor(
        [[(w.x, w.y, w.z, w.centre_s, w.width_s, RATE_EXPONENT[w.kind]) for _, w in column] for column in columns]
    ).transpose(0, 1)
    kinds = torch.tensor([[KINDS.index(wave.kind) for _, wave in column] for column in columns]).T
    order = torch.tensor([[number for number, _ in column] for column in columns]).T
    return numbers[..., :3], numbers[..., 3], numbers[..., 4], numbers[..., 5], kinds, order
