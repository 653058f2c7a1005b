"""Spectra of what the autoencoder leaves out: their shape, their level per recording, and filters made of them.

Signals are in lead standard deviations. Spectra are kept on a grid of 1 Hz; between its points they are interpolated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.leads import INDEPENDENT_LEADS

LEADS: Final = len(INDEPENDENT_LEADS)
BAND_EDGES_HZ: Final = (0.0, 5.0, 12.0, 20.0, 30.0, 35.0, 40.0, 45.0, 48.0, 60.0, 100.0, 160.0, math.inf)
"""Bands in which each recording has a level of its own; those beyond half the sampling rate do not exist. Narrow from
45 to 50 Hz, where the low-pass of recordings at 100 Hz falls steeply to a floor that is everybody's."""
FLOOR: Final = 1e-10
"""Power that a flat lead is given, for it has no logarithm."""
GAIN_RANGE: Final = (-0.5, 2.0)
GAIN_PRIOR: Final = 0.02
"""Weight of the gain 1, as a share of the power that is usual in a band."""
LOG_DYNAMIC_RANGE: Final = math.log(1e3)
"""Largest ratio of amplitudes within a spectrum's shape."""
FURTHEST: Final = 3.5
"""Standard deviations from the mean that traits and levels may lie."""
RIDGE: Final = 10.0
"""Ridge penalty of the regression of levels, in recordings."""
LOUDNESS_RANGE: Final = (-1.5, 1.5)
"""Correction of log levels and loudness of what a network has generated."""
ROUNDS: Final = 8
"""Corrections in turns. They pull at each other, less so where noise comes in bursts like people's."""
BURST_REACH_S: Final = 0.06
"""Reach of a burst on either side; in people's recordings what is loud now is not 0.15 s from now."""
BURST_SHARED: Final = 0.3
"""Share of the bursts' variance that all leads have in common."""
BURST_GAIN: Final = 6.0
"""Bursts of white noise by this much more than those that are lacking: filters average over them, and between beats
people's noise comes with what the decoded signal does, so that their sum is burstier than either."""
STEADIER_AT_MOST: Final = 0.25
MARGIN: Final = 60
"""Samples by which a signal is continued at its ends before it is filtered; 10 s at 100 Hz then are 1,120 samples,
which transform three times as fast as 1,128."""
CALMER_THAN: Final = (0.4, 0.8, 1.0)
"""Shares of a recording, from its calmest samples on: the line between beats, their slow waves, and QRS complexes."""
FAST_HZ: Final = (8.0, 20.0)
"""Above this, gradually, the residual follows the beats: loud at QRS complexes, quiet between."""
ACTIVITY_REACH_S: Final = 0.05
"""On either side of a sample, for how active a signal is there."""


def grid_size(rate_hz: float) -> int:
    """Points of the grid of 1 Hz up to half of a sampling rate."""
    return int(rate_hz / 2 + 0.5) + 1


def power_spectrum(signal: Tensor, rate_hz: float, other: Tensor | None = None) -> Tensor:
    """Power per 1 Hz, by a Hann window, which keeps slow waves from leaking into what is fast.

    Args:
        signal: (B, 8, samples).
        rate_hz: sampling rate.
        other: for the real part of the cross-spectrum with another signal.

    Returns:
        (B, 8, grid); white noise of unit variance has power 1 everywhere.
    """
    window = torch.hann_window(signal.shape[-1], periodic=False, device=signal.device)
    transform = lambda x: torch.fft.rfft((x - x.mean(dim=-1, keepdim=True)).float() * window)  # noqa: E731
    of_signal = transform(signal)
    of_other = of_signal if other is None else transform(other)
    power = (of_signal * of_other.conj()).real / window.square().sum()
    frequency = torch.fft.rfftfreq(signal.shape[-1], 1 / rate_hz, device=signal.device)
    cells = F.one_hot(frequency.round().long(), grid_size(rate_hz)).to(power.dtype)
    return power @ (cells / cells.sum(dim=0).clamp_min(1))


def continued(signal: Tensor, margin: int) -> Tensor:
    """A signal that goes on at both ends, mirrored in its end points: (B, C, n) to (B, C, n + 2 · margin).

    Without a step or a kink, which a filter that lifts high frequencies would turn into a spike.
    """
    before = 2 * signal[..., :1] - signal[..., 1 : margin + 1].flip(-1)
    after = 2 * signal[..., -1:] - signal[..., -margin - 1 : -1].flip(-1)
    return torch.cat([before, signal, after], dim=-1)


def filtered(signal: Tensor, gain: Tensor, rate_hz: float) -> Tensor:
    """A zero-phase filter.

    Args:
        signal: (B, 8, samples).
        gain: (B or 1, 8, grid) on the 1 Hz grid.
        rate_hz: sampling rate.

    Returns:
        (B, 8, samples).
    """
    return in_filters(signal, (gain,), rate_hz)[0]


def in_filters(signal: Tensor, gains: Sequence[Tensor], rate_hz: float) -> list[Tensor]:
    """What several zero-phase filters make of the same signal; arguments as of `filtered`."""
    samples = signal.shape[-1]
    margin = min(MARGIN, samples - 1)
    whole = continued(signal, margin).float()
    # The transform takes signals for periodic: without the line from end to end there is no step between the ends.
    line = torch.lerp(whole[..., :1], whole[..., -1:], torch.linspace(0, 1, whole.shape[-1], device=signal.device))
    spectrum = torch.fft.rfft(whole - line)
    grid = torch.arange(gains[0].shape[-1], device=signal.device, dtype=torch.float32)
    place = torch.fft.rfftfreq(whole.shape[-1], 1 / rate_hz, device=signal.device)
    between = interpolation(grid, place)
    results = [torch.fft.irfft(spectrum * (gain @ between), n=whole.shape[-1]) + line * gain[..., :1] for gain in gains]
    return [result[..., margin : margin + samples] for result in results]


def stretches(decoded: Tensor, rate_hz: float) -> Tensor:
    """Which samples of decoded signals are calm, which are not, by how fast all leads change there.

    Args:
        decoded: (B, 8, samples).
        rate_hz: sampling rate.

    Returns:
        (B, 3, samples) bool as `CALMER_THAN` divides them; every sample is in one.
    """
    slope = F.pad(decoded.diff(dim=-1), (0, 1)).float().square().mean(dim=1, keepdim=True)
    reach = max(1, round(ACTIVITY_REACH_S * rate_hz))
    activity = F.avg_pool1d(slope, 2 * reach + 1, 1, reach, count_include_pad=False)[:, 0]
    rank = activity.argsort(dim=1, stable=True).argsort(dim=1)
    before = [round(share * decoded.shape[-1]) for share in (0.0, *CALMER_THAN)]
    return torch.stack([(rank >= low) & (rank < high) for low, high in itertools.pairwise(before)], dim=1)


class ResidualSpectrum(nn.Module):
    """What is right about a decoded signal, and the spectrum of the rest: x = filter(decoded) + residual.

    The autoencoder invents a part of its high frequencies (its spectral loss rewards power, not phase) and knows
    nothing of a recorder's low-pass. The filter scales each frequency of each lead by the share of it that is right. It
    is a common shape per lead (the regression of recordings on their reconstructions) times the recording's own gains:
    in a few bands, and for what is fast in calm and active stretches, since ripple on the line between beats is less
    right than the QRS complex beside it.

    The residual's spectrum likewise is a common shape per lead and the recording's own levels in those bands. Two
    recordings of the same levels differ in how much of the residual lies between beats, so what is fast in it also has
    a loudness per stretch. Gains, levels and loudness together are the recording's traits. They are linear in the
    levels and the loudness of the decoded signal, with Gaussian scatter.

    Loudness is the slope of the whole recording: restored signal and residual are not quite independent between beats,
    and what is heard there is their sum. It is a mean of absolute values, since noise comes in bursts: matched in root
    mean square, noise without bursts would be too loud nearly everywhere.

    For noise that is as strong as theirs and steadier, levels and loudness cannot both be right; so it is known how
    steady residuals of training recordings are, per lead and stretch, and what is steadier gets bursts.

    Everything here is fitted in closed form to training recordings. Where methods ask for stretches, they are those of
    the decoded signal, from `stretches`.

    Args:
        rate_hz: sampling rate.
    """

    restoring: Tensor
    shape: Tensor
    given_shape: Tensor
    usual_power: Tensor
    given_mean: Tensor
    given_std: Tensor
    mean: Tensor
    std: Tensor
    weight: Tensor
    scatter: Tensor
    steadiness: Tensor
    bands: Tensor
    spread: Tensor
    fast: Tensor

    def __init__(self, rate_hz: float) -> None:
        super().__init__()
        self.rate_hz = rate_hz
        grid = grid_size(rate_hz)
        edges = [min(edge, grid) for edge in BAND_EDGES_HZ if edge < rate_hz / 2] + [grid]
        frequency = torch.arange(grid)
        bands = torch.stack(
            [(frequency >= low) & (frequency < high) for low, high in itertools.pairwise(edges)]
        ).float()
        self.register_buffer("bands", bands / bands.sum(dim=1, keepdim=True), persistent=False)
        self.register_buffer(
            "spread", interpolation(self.bands @ frequency.float(), frequency.float()), persistent=False
        )
        rise = ((frequency - FAST_HZ[0]) / (FAST_HZ[1] - FAST_HZ[0])).clamp(0, 1)
        # Without an edge, at which a filter would ring from QRS complexes into the calm between.
        fast = 0.5 - 0.5 * torch.cos(math.pi * rise)
        self.register_buffer("fast", fast.expand(1, LEADS, -1).contiguous(), persistent=False)
        self.levels = LEADS * len(bands)
        self.loudness = LEADS * len(CALMER_THAN)
        self.given_size = self.levels + self.loudness
        # Gains per band and stretch, levels per band, loudness per stretch.
        self.gains = self.given_size
        self.traits = 2 * self.given_size
        self.register_buffer("restoring", torch.ones(LEADS, grid))
        self.register_buffer("shape", torch.zeros(LEADS, grid))
        self.register_buffer("given_shape", torch.zeros(LEADS, grid))
        self.register_buffer("usual_power", torch.ones(LEADS, grid))
        self.register_buffer("steadiness", torch.zeros(LEADS, len(CALMER_THAN)))
        for name, size in (("given", self.given_size), ("", self.traits)):
            self.register_buffer(f"{name}_mean".strip("_"), torch.zeros(size))
            self.register_buffer(f"{name}_std".strip("_"), torch.ones(size))
        self.register_buffer("weight", torch.zeros(self.given_size, self.traits))
        self.register_buffer("scatter", torch.zeros(self.traits, self.traits))

    def fit(self, signal: Tensor, decoded: Tensor) -> None:
        """Fit to (N, 8, samples) recordings and what the autoencoder makes of them."""
        where = stretches(decoded, self.rate_hz)
        power = power_spectrum(decoded, self.rate_hz) + FLOOR
        # The median: a few very noisy recordings must not decide for all.
        share = power_spectrum(decoded, self.rate_hz, signal) / power
        self.restoring = share.median(dim=0).values.clamp(0, 1)
        self.restoring[:, 0] = 1.0
        self.given_shape = self._shape(decoded)
        common = filtered(decoded, self.restoring[None], self.rate_hz)
        kinds = (common, signal - common)
        self.usual_power = sum((2 * self._log_rms(each)).mean(dim=0).exp() for each in kinds)  # type: ignore[assignment]
        residual = signal - self.restored(decoded, self._gains(signal, decoded, where), where)
        self.shape = self._shape(residual)
        self.steadiness = self._steadiness(residual, where).mean(dim=0)
        given, traits = self.given(decoded, where), self.traits_of(signal, decoded, where)
        self.given_mean, self.given_std = given.mean(dim=0), given.std(dim=0).clamp_min(1e-3)
        self.mean, self.std = traits.mean(dim=0), traits.std(dim=0).clamp_min(1e-3)
        x = ((given - self.given_mean) / self.given_std).double()
        y = ((traits - self.mean) / self.std).double()
        unit = torch.eye(self.given_size, dtype=torch.float64, device=x.device)
        weight = torch.linalg.solve(x.mT @ x + RIDGE * unit, x.mT @ y)
        left = y - x @ weight
        covariance = left.mT @ left / len(left) + 1e-3 * torch.eye(self.traits, dtype=torch.float64, device=x.device)
        # Contiguous as after loading, so that products round alike.
        self.weight, self.scatter = weight.float().contiguous(), torch.linalg.cholesky(covariance).float().contiguous()

    def given(self, decoded: Tensor, where: Tensor) -> Tensor:
        """Log RMS of decoded signals per lead and band, relative to their common shape, and their loudness per lead
        and stretch: (B, levels + loudness)."""
        levels = self._level(decoded, self.given_shape)
        return torch.cat([levels, self.loudness_of(decoded, where)], dim=1)

    def traits_of(self, signal: Tensor, decoded: Tensor, where: Tensor) -> Tensor:
        """Traits of recordings: gains of the decoded signal, levels of the residual, loudness, (B, traits)."""
        gains = self._gains(signal, decoded, where)
        residual = signal - self.restored(decoded, gains, where)
        return torch.cat([gains, self.levels_of(residual), self.loudness_of(signal, where)], dim=1)

    def levels_of(self, residual: Tensor) -> Tensor:
        """Log RMS of residuals per lead and band, relative to their common shape: (B, levels)."""
        return self._level(residual, self.shape)

    def loudness_of(self, signal: Tensor, where: Tensor) -> Tensor:
        """Log mean absolute slope of signals per lead and stretch: (B, loudness)."""
        slope = F.pad(signal.diff(dim=-1), (0, 1)).abs()
        return (self._in_stretches(slope, where) + FLOOR**0.5).log().flatten(1)

    def draw_traits(self, given: Tensor, noise: Tensor) -> Tensor:
        """Traits, (B, traits): `given` are the levels of the decoded signal, `noise` is standard normal."""
        # A generated signal may lie where no recording did; its traits stay where recordings' were.
        seen = ((given - self.given_mean) / self.given_std).clamp(-FURTHEST, FURTHEST)
        drawn = (seen @ self.weight + noise @ self.scatter.mT).clamp(-FURTHEST, FURTHEST)
        traits = self.mean + self.std * drawn
        return torch.cat([traits[:, : self.gains].clamp(*GAIN_RANGE), traits[:, self.gains :]], dim=1)

    def standardised(self, given: Tensor, traits: Tensor) -> Tensor:
        """Both side by side with unit variance, (B, given_size + traits)."""
        standardised = [(given - self.given_mean) / self.given_std, (traits - self.mean) / self.std]
        return torch.cat(standardised, dim=1).clamp(-FURTHEST, FURTHEST)

    def restored(self, decoded: Tensor, traits: Tensor, where: Tensor) -> Tensor:
        """What is right about decoded signals, (B, 8, samples); `traits` may be gains alone."""
        common = self._in_bands(decoded, traits[:, : self.levels])
        gain = traits[:, self.levels : self.gains].unflatten(1, (LEADS, -1))
        return common + self._fast(common) * (gain @ self._courses(where) - 1)

    def _in_bands(self, decoded: Tensor, gains: Tensor) -> Tensor:
        return filtered(decoded, self.restoring * (gains.unflatten(1, (LEADS, -1)) @ self.spread), self.rate_hz)

    def coloured(self, white: Tensor, traits: Tensor) -> Tensor:
        """A white residual (B, 8, samples) with the spectrum of these traits."""
        return filtered(white, self._amplitude(traits), self.rate_hz)

    def whitened(self, residual: Tensor, traits: Tensor) -> Tensor:
        """The inverse of `coloured`."""
        return filtered(residual, 1 / self._amplitude(traits), self.rate_hz)

    def bursts(self, residual: Tensor, where: Tensor, noise: Tensor) -> Tensor:
        """Factors (B, 8, samples), of mean square 1, for the white noise behind a residual steadier than people's.

        Args:
            residual: (B, 8, samples) coloured.
            where: stretches.
            noise: (B, 9, samples) standard normal: what leads share, and their own.
        """
        reach = max(1, round(BURST_REACH_S * self.rate_hz))
        window = torch.hann_window(2 * reach + 1, periodic=False, device=noise.device)
        window = window / window.square().sum().sqrt()
        # Written out: for one channel a convolution takes three times as long.
        whole, samples = F.pad(noise, (reach, reach), mode="reflect"), noise.shape[-1]
        smooth = torch.zeros_like(noise)
        for at, weight in enumerate(window.tolist()):
            smooth.add_(whole[..., at : at + samples], alpha=weight)
        course = BURST_SHARED**0.5 * smooth[:, :1] + (1 - BURST_SHARED) ** 0.5 * smooth[:, 1:]
        # Noise times exp(βz) has a mean of absolute values that is lower by β²/2 in log, relative to its RMS.
        lacking = (self._steadiness(residual, where) - self.steadiness).clamp(0, STEADIER_AT_MOST)
        strength = (2 * BURST_GAIN * lacking).sqrt() @ self._courses(where)
        return (strength * course - strength.square()).exp()

    def matched(self, residual: Tensor, restored: Tensor, where: Tensor, traits: Tensor) -> Tensor:
        """A residual (B, 8, samples) brought to the levels of these traits, and with `restored` to their loudness.

        In turns, since colouring in frequency smears over time and scaling over time blurs frequencies.
        """
        courses = self._courses(where)
        for _ in range(ROUNDS):
            wanted = self._levels(traits) - self.levels_of(residual)
            gain = (wanted.unflatten(1, (LEADS, -1)) @ self.spread).clamp(*LOUDNESS_RANGE).exp()
            residual, fast = in_filters(residual, (gain, gain * self.fast), self.rate_hz)
            wanted = traits[:, self.gains + self.levels :] - self.loudness_of(restored + residual, where)
            wanted = wanted.clamp(*LOUDNESS_RANGE)
            gain = (wanted.unflatten(1, (LEADS, -1)) @ courses).exp()
            residual = residual + fast * (gain - 1)
        return residual

    def _amplitude(self, traits: Tensor) -> Tensor:
        return (self.shape + self._levels(traits).unflatten(1, (LEADS, -1)) @ self.spread).exp()

    def _levels(self, traits: Tensor) -> Tensor:
        return traits[:, self.gains : self.gains + self.levels]

    def _gains(self, signal: Tensor, decoded: Tensor, where: Tensor) -> Tensor:
        """Regression of a recording on its decoded signal after the common filter, per lead and band, and of what is
        fast in it then, per lead and stretch: (B, gains)."""
        common = filtered(decoded, self.restoring[None], self.rate_hz)
        power = power_spectrum(common, self.rate_hz) + FLOOR
        shared = power_spectrum(common, self.rate_hz, signal)
        # Each frequency counts by the power that is usual there, or the lowest of a band would decide. Where there is
        # next to nothing to scale, the gain is that of the common filter, 1.
        usual = self.usual_power + FLOOR
        top, bottom = self._banded(shared / usual), self._banded(power / usual)
        in_bands = ((top + GAIN_PRIOR) / (bottom + GAIN_PRIOR)).clamp(*GAIN_RANGE)
        fast, recorded = self._fast(self._in_bands(decoded, in_bands)), self._fast(signal)
        top, bottom = self._in_stretches(fast * recorded, where), self._in_stretches(fast.square(), where) + FLOOR
        return torch.cat([in_bands, (top / bottom).clamp(*GAIN_RANGE).flatten(1)], dim=1)

    def _steadiness(self, residual: Tensor, where: Tensor) -> Tensor:
        """Log ratio of mean absolute to RMS slope per lead and stretch, (B, 8, stretches): −0.23 for Gaussian noise."""
        slope = F.pad(residual.diff(dim=-1), (0, 1))
        absolute, square = self._in_stretches(slope.abs(), where), self._in_stretches(slope.square(), where)
        return (absolute + FLOOR).log() - 0.5 * (square + FLOOR**2).log()

    def _fast(self, signal: Tensor) -> Tensor:
        return filtered(signal, self.fast, self.rate_hz)

    def _in_stretches(self, signal: Tensor, where: Tensor) -> Tensor:
        """Mean of a signal (B, 8, samples) over every stretch, (B, 8, stretches)."""
        inside = where.to(signal.dtype)
        return signal @ inside.mT / inside.sum(dim=2)[:, None]

    def _courses(self, where: Tensor) -> Tensor:
        """Stretches (B, stretches, samples) as weights that sum to 1, without a step where they meet: a number per
        stretch, (B, 8, stretches) @ courses, becomes a signal."""
        reach = max(1, round(ACTIVITY_REACH_S * self.rate_hz))
        return F.avg_pool1d(where.float(), 2 * reach + 1, 1, reach, count_include_pad=False)

    def _shape(self, signal: Tensor) -> Tensor:
        """Mean log RMS spectrum per lead, (8, grid). Whitening must not lift what is but rounding."""
        shape = self._log_rms(signal).mean(dim=0)
        return shape.maximum(shape.amax(dim=1, keepdim=True) - LOG_DYNAMIC_RANGE)

    def _log_rms(self, signal: Tensor) -> Tensor:
        return 0.5 * (power_spectrum(signal, self.rate_hz) + FLOOR).log()

    def _level(self, signal: Tensor, shape: Tensor) -> Tensor:
        """Log RMS per lead and band relative to a shape; of power, since beats that are alike have a spectrum of lines,
        of which a mean of logarithms would see the gaps."""
        return 0.5 * (self._banded((power_spectrum(signal, self.rate_hz) + FLOOR) / (2 * shape).exp())).log()

    def _banded(self, spectrum: Tensor) -> Tensor:
        return (spectrum @ self.bands.mT).flatten(1)


def interpolation(knots: Tensor, places: Tensor) -> Tensor:
    """(knots, places) weights of linear interpolation, constant beyond the first and the last knot."""
    at = torch.searchsorted(knots, places).clamp(1, len(knots) - 1)
    share = ((places - knots[at - 1]) / (knots[at] - knots[at - 1])).clamp(0, 1)
    weights = torch.zeros(len(knots), len(places), device=places.device)
    columns = torch.arange(len(places), device=places.device)
    weights[at - 1, columns] += 1 - share
    weights[at, columns] += share
    return weights
