"""How many times faster than neurokit2 does the simulator make 12-lead ECGs?

`python -m benchmarks.simulator [--quick]` times `models.simulator.heart_simulator.simulate` and
`neurokit2.ecg_simulate(method="multileads")` in turns: the same length, sampling rate and heart rate. The simulator
makes every program it has, in equal shares, with noise and baseline wander, on all cores; neurokit2 makes normal beats
on the one core it can use. Profile and data change nothing.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from benchmarks.record import Check, arguments, publish
from benchmarks.timing import in_turns, rate, rate_ratio
from models.ecg.measurements import measure
from models.ecg.r_peaks import locate_r_peaks
from models.simulator.heart_simulator import simulate
from models.simulator.hearts import Hearts, draw_anatomy, draw_hearts
from models.simulator.simulated_conditions import PROGRAMS
from warehouse.errors import EinthovenError

RATE_HZ: Final = 100
DURATION_S: Final = 10.0
HEART_RATE_BPM: Final = 70.0
SIMULATED: Final = 4096
"""Recordings the simulator makes in a turn."""
TARGET: Final = 1000.0
SINUS: Final = "normal sinus rhythm"


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    given = arguments(__doc__.splitlines()[0]).parse_args(words)
    repetitions, of_neurokit = (5, 3) if given.quick else (20, 8)
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    started, generator = time.monotonic(), torch.Generator().manual_seed(1)
    hearts = _hearts(generator)

    def on_one_core(_: int) -> None:
        torch.set_num_threads(1)
        _simulate(hearts, generator)
        torch.set_num_threads(threads)

    seconds = in_turns(
        lambda _: _simulate(hearts, generator),
        lambda turn: _neurokit(of_neurokit, turn),
        on_one_core,
        lambda _: _simulate(_hearts(generator), generator),
        repetitions=repetitions,
    )
    ours, theirs, one_core, with_hearts = seconds.T
    checks = [
        _ratio("simulator over neurokit2", ours, theirs, of_neurokit, TARGET),
        _ratio("the same, the simulator on one core", one_core, theirs, of_neurokit),
        _ratio("the same, with hearts drawn anew", with_hearts, theirs, of_neurokit),
        _rate("simulator", ours, SIMULATED),
        _rate("neurokit2", theirs, of_neurokit),
        _heart_rate(generator),
    ]
    publish(
        "simulator",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={
            "sampling_rate_hz": RATE_HZ,
            "duration_s": DURATION_S,
            "heart_rate_bpm": HEART_RATE_BPM,
            "simulator": {"recordings_per_turn": SIMULATED, "programs": list(PROGRAMS), "threads": threads},
            "neurokit2": {"recordings_per_turn": of_neurokit, "version": _neurokit_version(), "method": "multileads"},
            "turns": repetitions,
        },
        details={"seconds_per_turn": np.round(seconds, 4).tolist()},
    )


def _hearts(generator: torch.Generator) -> Hearts:
    """One heart per recording, of every program alike."""
    programs = [list(PROGRAMS.values())[row % len(PROGRAMS)] for row in range(SIMULATED)]
    age = 30.0 + 50.0 * torch.rand(SIMULATED, generator=generator)
    anatomy = draw_anatomy(age, torch.randint(2, (SIMULATED,), generator=generator), generator)
    return draw_hearts(programs, anatomy, generator, torch.full((SIMULATED,), HEART_RATE_BPM))


@torch.inference_mode()
def _simulate(hearts: Hearts, generator: torch.Generator) -> torch.Tensor:
    return simulate(hearts, generator, RATE_HZ, DURATION_S)


def _neurokit(recordings: int, turn: int) -> None:
    try:
        import neurokit2
    except ImportError:
        raise EinthovenError("neurokit2 is not installed; `make install` installs it with the other tools") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(recordings):
            neurokit2.ecg_simulate(
                duration=int(DURATION_S),
                sampling_rate=RATE_HZ,
                heart_rate=int(HEART_RATE_BPM),
                method="multileads",
                random_state=1 + (turn + 1) * recordings + number,
            )


def _neurokit_version() -> str:
    from importlib.metadata import version

    return version("neurokit2")


def _ratio(name: str, ours: np.ndarray, theirs: np.ndarray, of_neurokit: int, target: float | None = None) -> Check:
    found = rate_ratio(ours, SIMULATED, theirs, of_neurokit)
    return Check(name=name, **found._asdict(), unit="×", target=target, n=len(ours), seeds=[1])


def _rate(name: str, seconds: np.ndarray, done: int) -> Check:
    return Check(name=name, **rate(seconds, done)._asdict(), unit="records/s", n=len(seconds), seeds=[1])


def _heart_rate(generator: torch.Generator) -> Check:
    """The rate asked for is the rate measured: a fast simulator must still be right."""
    asked = 45.0 + 105.0 * torch.rand(400, generator=generator)
    anatomy = draw_anatomy(torch.full((400,), 60.0), torch.zeros(400), generator)
    signal = _simulate(draw_hearts([PROGRAMS[SINUS]] * 400, anatomy, generator, asked), generator)
    measured = measure(signal.numpy(), locate_r_peaks(signal.numpy(), RATE_HZ), RATE_HZ)
    error = np.abs(measured["heart_rate_bpm"] - asked.numpy())
    largest = float(np.quantile(error, 0.95))
    return Check(
        name="heart-rate error in sinus rhythm, 95 % of recordings within",
        value=largest,
        unit="bpm",
        target=1.0,
        comparison="<=",
        n=len(error),
        seeds=[1],
    )


if __name__ == "__main__":
    main()
