"""The stages between a recording and a row of a flow's cohort: each draws one thing more than the stage before it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch

from benchmarks.attribution_stages import COHORT, Recordings, Stage
from models.beats.beats import Beats
from models.conditioning import ConditionTensors
from models.ecg.r_peaks import in_samples
from models.flow.generator import FlowGenerator
from models.rhythm.rhythm import Rhythm
from tasks.training.preparation.flow_inputs import recorded_in

SIMULATOR: Final = "simulator alone"
RECORDED: Final = "recorded beat and rhythm + flow"


@dataclass(frozen=True)
class FlowStages:
    """A flow, taken apart.

    Attributes:
        generator: the flow.
        own: recordings of the training split, whose rhythms and beats stand in for what a cohort draws.
        paced, flutter: (n,) bool, whose statements say so.
        cohort: conditions and seeds of as many rows of a cohort.
        sampling: arguments of `FlowGenerator.sample`.
    """

    generator: FlowGenerator
    own: Recordings
    paced: np.ndarray
    flutter: np.ndarray
    cohort: tuple[ConditionTensors, list[int]]
    sampling: dict[str, Any]

    def stages(self) -> list[Stage]:
        """From a recording's own rhythm and beats, with what the flow makes of them, to a row of a cohort."""
        return [
            (RECORDED, lambda: self._around(self._shown[0], self._nearest)),
            ("drawn beat", self._drawn_beat),
            ("drawn rhythm", lambda: self._sampled(self.own.condition, self.own.seeds)),
            (COHORT, lambda: self._sampled(*self.cohort)),
        ]

    def beside(self) -> list[Stage]:
        """What the flow starts from, which is no part of the chain: the simulator's ECG of own rhythm and beats."""
        return [(SIMULATOR, lambda: self._around(self._shown[0], self._nearest, steps=0))]

    @cached_property
    def _shown(self) -> tuple[Rhythm, Beats]:
        rate_hz = self.generator.config.sampling_rate_hz
        nobody = torch.zeros(len(self.own.signal), dtype=torch.int64)
        r_peaks = in_samples(self.own.r_peaks_s, rate_hz)
        found = recorded_in(self.own.signal, r_peaks, rate_hz, self.paced, self.flutter, nobody)
        return found.rhythm.to(self.generator.device), found.beats.to(self.generator.device)

    @cached_property
    def _nearest(self) -> Beats:
        """Beats of the recordings, as far as the prior's components can say them."""
        _, beats = self._shown
        with torch.inference_mode():
            prior = self.generator.prior
            return prior.beats(prior.coordinates(beats), beats.has_ectopic)

    def _drawn_beat(self) -> np.ndarray:
        rhythm, _ = self._shown
        drawn = self.generator.beats(self.own.condition, self.own.seeds, rhythm, self.sampling["trait_guidance"])
        return self._around(rhythm, drawn.beats)

    def _around(self, rhythm: Rhythm, beats: Beats, steps: int | None = None) -> np.ndarray:
        return self.generator.around(
            self.own.condition,
            self.own.seeds,
            rhythm,
            beats,
            steps=self.sampling["steps"] if steps is None else steps,
            guidance=self.sampling["guidance"],
            guide_guidance=self.sampling["guide_guidance"],
        ).numpy()

    def _sampled(self, condition: ConditionTensors, seeds: list[int]) -> np.ndarray:
        return self.generator.sample(condition, seeds, **self.sampling).numpy()
