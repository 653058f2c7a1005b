"""How fast does the trained model generate, and does speed cost fidelity?

`python -m benchmarks.sampling [--quick] [--profile P] [--data PATH] [--model ID] [--beside ID]` takes the profile's
model, training it if need be, or any model in the warehouse, and times whole ECGs in mV, in turns with published rivals
(`benchmarks.sampling_rivals`) and, with `--beside`, another model of the warehouse. Rivals run as suits them best, the
model as cohorts are generated. A flow is also timed with 25 evaluations of the same network, and with and without its
student. FID is measured against held-out recordings, of the same conditions and seeds in every way and with 250
evaluations. The share of the machine's peak is that of multiplications and additions in matrix products and
convolutions, counted by PyTorch. Where the time goes, on a GPU too, `python -m benchmarks.sampling_stages` measures.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peak import PRECISIONS, peak_flops
from benchmarks.record import Check, arguments, publish
from benchmarks.sampling_fidelity import MANY_STEPS, fidelity_checks
from benchmarks.sampling_rivals import BATCHES, TIMED_STEPS, Rival, RivalWay, rivals
from benchmarks.timing import in_turns, rate, rate_ratio
from benchmarks.trained_model import Trained, Way, load_trained, ways_to_sample
from flows.profiles import load_settings

SHARE_TARGET: Final = 35.0


@dataclass(frozen=True)
class Timed:
    """What is timed: one turn of its work, and how many ECGs that is."""

    name: str
    work: Callable[[int], object]
    done: float


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--model", help="id of a model in the warehouse; by default the profile's")
    parser.add_argument("--beside", help="id of another model that is timed in turns with it, as the profile samples")
    given = parser.parse_args(words)
    settings, started = load_settings(given.profile, given.set, given.data), time.monotonic()
    compared_rows, turns = (128, 4) if given.quick else (1024, 12)
    torch.set_num_threads(threads := len(os.sched_getaffinity(0)))
    timed_rows = 64 * threads
    trained = load_trained(settings, given.model, compared_rows)
    ways = ways_to_sample(settings, trained.generator)
    say = Console(stderr=True).print
    say("measuring the machine's peak, and what batch suits each rival")
    peaks = {name: peak_flops(name) for name in PRECISIONS}
    timed = [Timed(way.label, lambda _, way=way: trained.sample(way, timed_rows), timed_rows) for way in ways]  # type: ignore[misc]
    if given.beside:
        other = load_trained(settings, given.beside, timed_rows)
        timed.append(Timed(other.name, lambda _: other.sample(ways[0], timed_rows), timed_rows))
    found = rivals()
    best = {rival.name: rival.best_way(threads) for rival in found}
    timed += [_timed(rival, f"{rival.name}, batch {best[rival.name].batch}", best[rival.name]) for rival in found]
    timed.append(_timed(found[0], f"{found[0].name}, its released batch, {BATCHES[0]}", RivalWay(BATCHES[0])))
    say(f"timing {turns} turns")
    seconds = in_turns(*(one.work for one in timed), repetitions=turns)

    checks = _speed_checks(timed, seconds, ways, turns)
    precision = trained.generator.config.precision
    peak = max(peaks[precision].values())
    flops = _flops(trained, ways[0])
    checks.append(
        Check(
            name=f"default: share of the machine's {precision} peak",
            **{end: 100 * flops * timed_rows * value / peak for end, value in rate(seconds[:, 0], 1)._asdict().items()},
            unit="%",
            target=SHARE_TARGET,
            n=turns,
            seeds=[1],
        )
    )
    say(f"generating {compared_rows} ECGs in each way and at {MANY_STEPS} steps, for FID")
    checks += fidelity_checks(trained, settings, ways, compared_rows)
    publish(
        "sampling",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={
            "profile": given.profile,
            "model": given.model or "the profile's",
            "kind": trained.name,
            "beside": given.beside,
            "threads": threads,
            "precision": precision,
            "rows": {"timed": timed_rows, "at_once": trained.generator.config.rows_at_once, "compared": compared_rows},
            "rivals": {
                rival.name: {
                    "parameters": rival.parameters,
                    "batch": best[rival.name].batch,
                    "batches_at_a_time": best[rival.name].at_a_time,
                    "precision": "bf16" if best[rival.name].bf16 else "fp32",
                    "steps_timed": min(TIMED_STEPS, rival.steps),
                }
                for rival in found
            },
            "turns": turns,
        },
        details={
            "peak_gflops": {
                name: {kind: round(value / 1e9, 1) for kind, value in found.items()} for name, found in peaks.items()
            },
            "gflop_per_ecg": round(flops / 1e9, 2),
            "denoiser_parameters": sum(weight.numel() for weight in trained.generator.denoiser.parameters()),
            "seconds_per_turn": {one.name: np.round(seconds[:, at], 4).tolist() for at, one in enumerate(timed)},
        },
    )


def _timed(rival: Rival, name: str, way: RivalWay) -> Timed:
    steps = min(TIMED_STEPS, rival.steps)
    return Timed(name, lambda _: rival.sample(way, steps), way.ecgs * steps / rival.steps)


def _speed_checks(timed: list[Timed], seconds: np.ndarray, ways: list[Way], turns: int) -> list[Check]:
    """Speed of everything that was timed; of the default over everything else, of other ways over DiffuSETS' shape."""
    check, checks = partial(Check, n=turns, seeds=[1]), []
    published = next(at for at, one in enumerate(timed) if at >= len(ways) and "DiffuSETS" in one.name)
    for at, one in enumerate(timed):
        checks.append(check(name=f"{one.name}: speed", **rate(seconds[:, at], one.done)._asdict(), unit="records/s"))
    for at, way in enumerate(ways):
        for other in range(len(timed)) if at == 0 else [published]:
            if other == at:
                continue
            ratio = rate_ratio(seconds[:, at], timed[at].done, seconds[:, other], timed[other].done)
            checks.append(
                check(
                    name=f"{way.label}: over {timed[other].name}",
                    **ratio._asdict(),
                    unit="×",
                    target=way.times_faster if other == published else None,
                )
            )
    if not any("ECGEN" in one.name for one in timed):
        checks.append(check(name="ECGEN's DiT: speed (the package ecgen is not installed)", value=None, n=0))
    return checks


def _flops(trained: Trained, way: Way) -> float:
    """Multiplications and additions per ECG."""
    at_once = trained.generator.config.rows_at_once
    with FlopCounterMode(display=False) as counter:
        trained.sample(way, at_once)
    return counter.get_total_flops() / at_once


if __name__ == "__main__":
    main()
