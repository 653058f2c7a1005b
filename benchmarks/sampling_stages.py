"""Where does the time go when a flow generates, on a processor or on a GPU?

It needs PyTorch, NumPy and pydantic, no network, no warehouse and no trained model: weights are random, which cost as
much time as trained ones. Whole ECGs and every part of them are timed, the flow's steps and those of a student.

    python -m benchmarks.sampling_stages --device cuda --size L --batch 4096 --compile [--rivals]
    python -m benchmarks.sampling_stages --device cpu --size S --batch 64

With `--rivals` the published networks of `benchmarks.sampling_rivals` are timed in the same run; that needs `diffusers`
and, for the second of them, `ecgen` (`pip install --no-deps ecgen`, or its wheel's folder in PYTHONPATH). One line of
JSON per figure is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import torch

from models.architecture import FLOW_SIZES, BeatPriorArchitecture
from models.beats.beats import Beats
from models.conditioning import ConditionTensors
from models.counter_random import normal
from models.flow.config import FlowConfig
from models.flow.generator import FlowGenerator
from models.flow.guide import guide
from models.leads import INDEPENDENT_LEADS
from models.rhythm.statistics import ECTOPIES, RHYTHMS, USUAL
from models.simulator.beat_events import EVENTS

RATE_HZ: Final = 100
SAMPLES: Final = 1000
LEADS: Final = len(INDEPENDENT_LEADS)
FLOW_STEPS: Final = (3, 4, 13)
"""Of Heun's method; the last are the 25 evaluations of a sampler without special care."""
STUDENT_STEPS: Final = (1, 2, 4)
RIVAL_STEPS: Final = 20


def main(words: Sequence[str] | None = None) -> None:
    """Time everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", choices=sorted(FLOW_SIZES), default="S")
    parser.add_argument("--batch", type=int, default=64, help="ECGs that networks see at once")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="compile the transformer's blocks")
    parser.add_argument("--rivals", action="store_true", help="time published networks too")
    given = parser.parse_args(words)
    generator = random_flow(given.size, given.batch, given.device)
    if given.compile:
        for name in ("denoiser", "student"):
            for block in generator._for_sampling(name).blocks:
                block.compile(dynamic=False)
    tell(machine=device_name(given.device), torch=torch.__version__, **vars(given))

    def timed(name: str, work: Callable[[], Any], ecgs: float = given.batch) -> None:
        seconds = median_seconds(work, given.device, given.repetitions)
        tell(name=name, ecgs_per_s=round(ecgs / seconds, 1), ms_per_batch=round(1e3 * seconds, 3))

    with torch.inference_mode():
        for name, work in parts(generator, given.batch).items():
            timed(name, work)
        condition, seeds = conditions(given.batch), list(range(given.batch))
        sample = partial(generator.sample, guidance=1.0, trait_guidance=1.25)
        for by_student, numbers in ((True, STUDENT_STEPS), (False, FLOW_STEPS)):
            for steps in numbers:
                name = f"ECGs, {steps} steps of {'the student' if by_student else 'Heun'}"
                timed(name, partial(sample, condition, seeds, steps=steps, by_student=by_student))
        if given.rivals:
            from benchmarks.sampling_rivals import rivals

            for rival in rivals(given.device):
                steps = min(RIVAL_STEPS, rival.steps)
                work = partial(rival.make, 0, given.batch, steps, True)
                timed(rival.name, work, given.batch * steps / rival.steps)


def random_flow(size: str, batch: int, device: str) -> FlowGenerator:
    """A flow of random weights with a student."""
    torch.manual_seed(1)
    config = FlowConfig(
        denoiser=FLOW_SIZES[size],
        prior=BeatPriorArchitecture(),
        sampling_rate_hz=RATE_HZ,
        samples=SAMPLES,
        student=True,
        statistics=USUAL,
        rows_at_once=batch,
    )
    made = FlowGenerator(config)
    for weight in made.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.02)
    beats = 0.1 * torch.randn(256, LEADS, len(EVENTS))
    made.prior.fit_components(Beats(beats, -beats, torch.ones(256, dtype=torch.bool)))
    walk = 0.05 * torch.randn(64, LEADS, SAMPLES).cumsum(dim=-1)
    made.filter.fit(made.filter.power(walk) / len(walk))
    return made.requires_grad_(False).to(device)


def conditions(rows: int) -> ConditionTensors:
    """Conditions that say everything, of all rhythms and kinds of premature beats in turn."""
    shape = FLOW_SIZES["S"]
    made = ConditionTensors.nothing(rows, shape.statement_tokens, shape.knowledge_tokens)
    for texts in (made.text, made.statements, made.knowledge):
        texts.normal_(std=0.05)
    made.present.fill_(True)
    made.numbers.copy_(torch.tensor([60.0, 1.0, 72.0]).expand(rows, -1))
    # Most people are in sinus rhythm without premature beats.
    number = torch.arange(rows)
    made.stated_rhythm[:, 0] = torch.where(number % 5 == 0, number // 5 % len(RHYTHMS), 0)
    made.stated_rhythm[:, 1] = torch.where(number % 7 == 0, number // 7 % len(ECTOPIES), 0)
    return made


def parts(generator: FlowGenerator, rows: int) -> dict[str, Callable[[], Any]]:
    """Everything that a batch goes through, by name."""
    device = generator.device
    condition, seeds = conditions(rows).to(device), torch.arange(rows, device=device)
    rhythm = generator.rhythms(condition, range(rows))
    beats = generator.beats(condition, range(rows), rhythm, 1.25).beats
    shown = guide(beats, rhythm, generator.filter, RATE_HZ, seeds)
    network = generator._for_sampling("denoiser")
    context = network.context(condition, shown)
    state, time_now = torch.randn(rows, LEADS, SAMPLES, device=device), torch.full((rows,), 0.5, device=device)
    return {
        "rhythms": lambda: generator.rhythms(condition, range(rows)),
        "beats": lambda: generator.beats(condition, range(rows), rhythm, 1.25),
        "guide": lambda: guide(beats, rhythm, generator.filter, RATE_HZ, seeds),
        "noise": lambda: normal(seeds, "flow", (LEADS, SAMPLES)),
        "condition": lambda: network.context(condition, shown),
        "one evaluation": lambda: network.velocity(state, time_now, context),
        "filter": lambda: generator.filter.inverse(state),
    }


def median_seconds(work: Callable[[], Any], device: str, repetitions: int) -> float:
    """Median time of some work after a first run, which compiles and fills caches."""

    def ended() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    work()
    seconds = []
    for _ in range(repetitions):
        began = ended()
        work()
        seconds.append(ended() - began)
    return statistics.median(seconds)


def device_name(device: str) -> str:
    """What the figures are of."""
    return torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"


def tell(**figures: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
