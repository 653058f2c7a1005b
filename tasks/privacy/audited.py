"""What an audit looks at: the ECGs of every side, where they lie in each space, and the canaries planted among them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from models.architecture import PriorArchitecture
from models.ecg.measurements import measure
from models.ecg.r_peaks import in_samples
from models.evaluation.classifier import EcgClassifier, classify
from models.latent_diffusion.simulator_conditioning import own_amplitudes
from models.latent_diffusion.trait_prior import WEIGHTS_POWER
from models.privacy import canaries
from models.privacy.beat_encoder import BeatEncoder, encode_beats
from models.privacy.canaries import Ecgs
from models.privacy.mean_beats import mean_beats
from models.simulator.beat_components import EventComponents
from tasks.ecg_sets import EcgSet
from warehouse.schema import MEASURED_FEATURES

IDENTIFYING, MEASUREMENTS, CLASSIFIER = "identifying space", "measurements", "classifier features"
EVENT_COORDINATES = "event coordinates"
RHYTHM_FEATURES = ("heart_rate_bpm", "rr_irregularity", "r_peaks")
"""Left out of the space of measurements: a generator draws the rhythm anew, and it would hide a copied beat."""
FURTHEST = 5.0
"""Standard deviations at which measurements are clipped: one wrong interval is not to outweigh all others."""
SHARES = (0.005, 0.01, 0.02, 0.05)
"""Planted shares of a cohort's rows; bounds must be broken at `NEEDED_SHARE`."""
NEEDED_SHARE = 0.02
FEWEST_CANARIES = 100
ECGS_AT_ONCE = 1024
"""Canaries that are made and placed at once: a pool of them for a whole release would take as much memory as that."""


@dataclass(frozen=True)
class Space:
    """Where ECGs lie: near means alike.

    Attributes:
        name: of the space.
        of: points (n, d) of a set of ECGs.
        encode: points (n, d) of ECGs that are in no table.
    """

    name: str
    of: Callable[[EcgSet], np.ndarray]
    encode: Callable[[Ecgs], np.ndarray]


@dataclass(frozen=True)
class Planted:
    """Canaries of one kind, made when they are asked for.

    Attributes:
        sources: (n,) the training recording that each leaks.
        hosts: (n,) the synthetic ECG that it is planted into.
        seeds: (n,) of each.
    """

    sources: np.ndarray
    hosts: np.ndarray
    seeds: np.ndarray


@dataclass(frozen=True)
class Audited:
    """The four sides of an audit.

    Attributes:
        synthetic: what would be released.
        members: training recordings.
        reference: validation recordings, which the adversary has.
        non_members: test recordings.
        rate_hz: sampling rate of all.
        encoder: of the identifying space.
        classifier: of its features; None without one.
        seed: of the canaries.
    """

    synthetic: EcgSet
    members: EcgSet
    reference: EcgSet
    non_members: EcgSet
    rate_hz: int
    encoder: BeatEncoder
    classifier: EcgClassifier | None
    seed: int
    _points: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def ecgs(self, ecgs: EcgSet) -> Ecgs:
        """Signals and R peaks of a set."""
        return Ecgs(ecgs.signal, in_samples(ecgs.r_peaks_s, self.rate_hz))

    @cached_property
    def spaces(self) -> list[Space]:
        """The spaces, each fitted on what the adversary has: the release and the reference data."""
        found = [self._identifying(), self._measurements()]
        return [*found, self._classifier_features(self.classifier)] if self.classifier else found

    def points(self, space: Space, side: str) -> np.ndarray:
        """Points of a side (an attribute's name) or a kind of canary, computed once."""
        if (space.name, side) not in self._points:
            if side in self.planted:
                self._place_canaries(side)
            else:
                self._points[space.name, side] = space.of(getattr(self, side))
        return self._points[space.name, side]

    def _place_canaries(self, kind: str) -> None:
        """Points of all canaries of a kind, in every space."""
        found: dict[str, list[np.ndarray]] = {space.name: [] for space in (*self.spaces, self.event_space)}
        for rows in _blocks(len(self.planted[kind].sources)):
            made = self.canaries(kind, rows)
            for space in (*self.spaces, self.event_space):
                found[space.name].append(space.encode(made))
        self._points.update({(name, kind): np.concatenate(parts) for name, parts in found.items()})

    @cached_property
    def planted(self) -> dict[str, Planted]:
        """Pools of canaries that trials draw from: of beats as many as a whole release needs."""
        rng = np.random.default_rng(self.seed)
        beating = np.flatnonzero([len(peaks) > 1 for peaks in self.members.r_peaks_s])
        largest = max(FEWEST_CANARIES, planted_rows(max(SHARES), len(self.synthetic)))
        pools = {}
        for kind in canaries.KINDS:
            size = min(len(beating), max(len(self.synthetic), largest) if kind == canaries.BEATS else largest)
            pools[kind] = Planted(
                sources=rng.choice(beating, size, replace=False),
                hosts=rng.choice(len(self.synthetic), size),
                seeds=rng.integers(2**63, size=size),
            )
        return pools

    def canaries(self, kind: str, rows: np.ndarray) -> Ecgs:
        """Some canaries of a kind."""
        pool = self.planted[kind]
        sources, hosts = self.members.take(pool.sources[rows]), self.synthetic.take(pool.hosts[rows])
        return canaries.planted(kind, self.ecgs(sources), self.ecgs(hosts), self.rate_hz, pool.seeds[rows])

    def _identifying(self) -> Space:
        def encode(ecgs: Ecgs) -> np.ndarray:
            return encode_beats(self.encoder, mean_beats(ecgs.signal, ecgs.r_peaks, self.rate_hz))

        return Space(IDENTIFYING, lambda ecgs: encode(self.ecgs(ecgs)), encode)

    @cached_property
    def event_space(self) -> Space:
        """The coordinates in which the prior draws beats, fitted to training recordings and weighted as in its loss."""
        components = EventComponents(PriorArchitecture().components)

        def amplitudes(ecgs: Ecgs) -> torch.Tensor:
            parts = [ecgs.take(rows) for rows in _blocks(len(ecgs))]
            return torch.cat([own_amplitudes(one.signal, one.r_peaks, self.rate_hz)[0] for one in parts])

        of_members = amplitudes(self.ecgs(self.members))
        components.fit(of_members[of_members.flatten(1).any(dim=1)])
        weight = components.importance.pow(WEIGHTS_POWER / 2)

        def placed(of: torch.Tensor) -> np.ndarray:
            return (components.coordinates(of) * weight).numpy()

        def encode(ecgs: Ecgs) -> np.ndarray:
            return placed(amplitudes(ecgs))

        self._points[EVENT_COORDINATES, "members"] = placed(of_members)
        return Space(EVENT_COORDINATES, lambda ecgs: encode(self.ecgs(ecgs)), encode)

    def _measurements(self) -> Space:
        rhythm = sum(name in RHYTHM_FEATURES for name in MEASURED_FEATURES)
        assert MEASURED_FEATURES[:rhythm] == RHYTHM_FEATURES
        known = np.concatenate([self.synthetic.measurements, self.reference.measurements])[:, rhythm:]
        usable = np.isfinite(known).any(axis=0)
        middle, spread = np.nanmedian(known[:, usable], axis=0), np.nanstd(known[:, usable], axis=0) + 1e-6

        def scaled(measured: np.ndarray) -> np.ndarray:
            chosen = (measured[:, rhythm:][:, usable] - middle) / spread
            return np.nan_to_num(chosen, nan=0.0).clip(-FURTHEST, FURTHEST).astype(np.float32)

        def encode(ecgs: Ecgs) -> np.ndarray:
            measured = measure(ecgs.signal, ecgs.r_peaks, self.rate_hz)
            columns = [measured[name].reshape(len(ecgs), -1).astype(np.float64) for name in MEASURED_FEATURES]
            return scaled(np.concatenate(columns, axis=1))

        return Space(MEASUREMENTS, lambda ecgs: scaled(ecgs.measurements), encode)

    def _classifier_features(self, classifier: EcgClassifier) -> Space:
        def features(signal: np.ndarray) -> np.ndarray:
            return classify(classifier, signal, self.rate_hz)[1]

        spread = features(self.reference.signal).std(axis=0) + 1e-6
        return Space(
            CLASSIFIER, lambda ecgs: features(ecgs.signal) / spread, lambda ecgs: features(ecgs.signal) / spread
        )


def planted_rows(share: float, rows: int) -> int:
    """Canaries to add to a cohort of so many rows so that they are this share of the result; at least one."""
    return max(1, math.ceil(share / (1 - share) * rows - 1e-9))


def _blocks(rows: int) -> list[np.ndarray]:
    return [np.arange(at, min(at + ECGS_AT_ONCE, rows)) for at in range(0, rows, ECGS_AT_ONCE)]
