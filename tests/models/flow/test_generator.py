"""The flow generator: rows of their own, the simulator's ECG at 0 steps, R peaks where they were drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.architecture import BeatPriorArchitecture, FlowArchitecture
from models.beats.rejection import MOST_REDRAWS, Neighbourhood, Rejection
from models.conditioning import ConditionTensors
from models.flow.claims import measured_guides
from models.flow.config import FlowConfig, SteeringClaim
from models.flow.generator import FlowGenerator
from models.rhythm.rhythm import VENTRICULAR_PREMATURE
from models.rhythm.statistics import ECTOPIES, FIBRILLATION_RHYTHM, RHYTHMS, USUAL, VENTRICULAR_BEATS
from tests.models.flow.flow_networks import recorded_beats
from tests.models.test_conditioning import conditions

SHAPE = FlowArchitecture(width=16, depth=1, heads=2, statement_tokens=3, knowledge_tokens=2)
SAMPLING = {"steps": 2, "guidance": 1.5, "trait_guidance": 1.25}


def generator(rate_hz: int = 100, samples: int = 405, precision: str = "bf16") -> FlowGenerator:
    """A small one of seeded weights; its last patch is not whole."""
    torch.manual_seed(0)
    prior = BeatPriorArchitecture(components=12, ectopic_components=6, width=16, blocks=1, token_width=16, queries=2)
    config = FlowConfig(
        denoiser=SHAPE,
        prior=prior,
        sampling_rate_hz=rate_hz,
        samples=samples,
        precision=precision,  # type: ignore[arg-type]
        statistics=USUAL,
        rows_at_once=4,
    )
    made = FlowGenerator(config)
    for weight in made.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    made.prior.fit_components(recorded_beats())
    signal = 0.1 * torch.randn(20, 8, samples).cumsum(dim=-1)
    made.filter.fit(made.filter.power(signal) / len(signal))
    return made


def varied(rows: int) -> ConditionTensors:
    """Conditions of every rhythm and kind of premature beats in turn."""
    condition = conditions(rows)
    condition.stated_rhythm[:, 0] = torch.arange(rows) % len(RHYTHMS)
    condition.stated_rhythm[:, 1] = torch.arange(rows) % len(ECTOPIES)
    return condition


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_row_is_a_function_of_its_seed_and_condition(precision: str) -> None:
    made, condition = generator(precision=precision), varied(6)
    together = made.sample(condition, range(6), **SAMPLING)
    assert together.shape == (6, 8, 405) and torch.isfinite(together).all()
    for rows in ([4, 1], [3], [0, 5, 2]):
        assert torch.equal(made.sample(condition[rows], rows, **SAMPLING), together[rows])
    assert not torch.equal(together[0], together[1])


def test_no_steps_leave_the_ecg_of_the_simulator() -> None:
    made, condition = generator(), conditions(3)
    drawn = made.sample(condition, [1, 2, 3], **{**SAMPLING, "steps": 0})
    rhythm = made.rhythms(condition, [1, 2, 3])
    power = drawn.diff(dim=-1).square().sum(dim=1)
    for row, times_s in enumerate(rhythm.r_times_s):
        near = torch.zeros(405, dtype=torch.bool)
        for peak in times_s[(times_s >= 0) & (times_s < 4.05)].tolist():
            near[max(0, int(peak * 100) - 6) : int(peak * 100) + 7] = True
        assert power[row][near[:-1]].mean() > 5 * power[row][~near[:-1]].mean()


def test_stated_rhythm_and_premature_beats_and_heart_rate_are_drawn() -> None:
    made, condition = generator(samples=1000), conditions(4)
    condition.stated_rhythm[1, 0] = RHYTHMS.index(FIBRILLATION_RHYTHM)
    condition.stated_rhythm[2, 1] = ECTOPIES.index(VENTRICULAR_BEATS)
    condition.numbers[3, 2] = 120.0
    rhythm = made.rhythms(condition, [1, 2, 3, 4])
    rr_s = rhythm.r_times_s.diff(dim=1)
    assert (rr_s[1].nanmean() / rr_s[3].nanmean()).item() == pytest.approx(120 / 72, rel=0.1)
    spread = [float(rr[rr.isfinite()].std()) for rr in rr_s]
    assert spread[1] > 3 * spread[0]
    assert (rhythm.kinds == VENTRICULAR_PREMATURE).any(dim=1).tolist() == [False, False, True, False]
    asked, seeds = {"steps": 0, "guidance": 1.0, "trait_guidance": 1.0}, [1, 2, 3, 4]
    drawn, without = made.sample(condition, seeds, **asked), condition.where(torch.ones(4) > 0, conditions(4))
    assert ectopic_beats_of(made, condition, seeds).tolist() == [False, False, True, False]
    assert not torch.equal(drawn[2], made.sample(without, seeds, **asked)[2])


def ectopic_beats_of(made: FlowGenerator, condition: ConditionTensors, seeds: list[int]) -> torch.Tensor:
    """Which rows get an ectopic beat, (B,), as the renderer sees it."""
    with pytest.MonkeyPatch.context() as patch:
        seen: list[torch.Tensor] = []
        patch.setattr(
            "models.flow.generator.render",
            lambda beats, rhythm, rate_hz, samples, seeds: (
                seen.append(beats.has_ectopic & (beats.ectopic != 0).any(dim=(1, 2)))
                or torch.zeros(len(beats), 8, samples)
            ),
        )
        made.sample(condition, seeds, steps=0, guidance=1.0, trait_guidance=1.0)
    return seen[0][: len(seeds)]


def test_claims_choose_rhythm_and_beats_of_the_rows_that_they_are_asked_of() -> None:
    made, condition, seeds = generator(), varied(8), list(range(8))
    above = {"statement": "NORM", "comparison": "above", "share": 0.5, "patients": 99, "weight": 4.0}
    rhythm, drawn = made.drawing(condition, condition, 1.25)(torch.arange(8), torch.arange(8))
    size = float(np.nanquantile(measured_guides(rhythm, drawn.beats, 4.05)["r_amplitude_mv"][:, 1], 0.8))
    irregular = SteeringClaim(feature="rr_irregularity", value=0.04, **above)  # type: ignore[arg-type]
    large = SteeringClaim(feature="r_amplitude_mv", lead="II", value=size, **above)  # type: ignore[arg-type]
    made.config = made.config.model_copy(update={"claims": (irregular, large)})
    asked = np.stack([np.arange(8) > 1, np.arange(8) > 3], axis=1)
    free, steered = made.sampled(condition, seeds, **SAMPLING), made.sampled(condition, seeds, **SAMPLING, asked=asked)
    assert (free.draws == 0).all() and (steered.draws[:2] == 0).all() and steered.draws.max() > 1
    first = torch.from_numpy(steered.draws < 2)
    assert torch.equal(free.signal[first], steered.signal[first])
    assert (free.signal[~first] != steered.signal[~first]).any(dim=(1, 2)).all()
    rows = [6, 1, 5]
    alone = made.sampled(condition[rows], rows, **SAMPLING, asked=asked[rows])
    assert torch.equal(alone.signal, steered.signal[rows]) and (alone.draws == steered.draws[rows]).all()


def test_trait_guidance_moves_beats() -> None:
    made, condition = generator(), conditions(2)
    some, more = (made.sample(condition, [1, 2], steps=0, guidance=1.0, trait_guidance=scale) for scale in (1.0, 2.0))
    assert not torch.allclose(some, more, atol=1e-3)


def rejecting(made: FlowGenerator, beat: torch.Tensor, radius: float, coordinates: int) -> Rejection:
    """Keeps usual beats away from one; of the test's people few coordinates differ."""

    def usual(amplitude: torch.Tensor) -> torch.Tensor:
        return made.prior.usual.coordinates(amplitude)[:, :coordinates]

    nowhere = Neighbourhood(made.prior.ectopic.coordinates, torch.zeros(0, made.prior.ectopic.size), 0.0)
    return Rejection(Neighbourhood(usual, usual(beat), radius), nowhere)


def test_beats_near_a_training_patients_are_drawn_again_or_refused() -> None:
    made, condition = generator(), conditions(3)
    asked = {"steps": 0, "guidance": 1.0, "trait_guidance": 1.0}
    free = made.sample(condition, [1, 2, 3], **asked)
    drawn = made.prior.draw(condition[[1]], torch.tensor([2]), has_ectopic=torch.tensor([False]))
    made.rejection = rejecting(made, drawn.usual, 0.1, 3)
    kept = made.sampled(condition, [1, 2, 3], **asked)
    assert [torch.equal(one, other) for one, other in zip(free, kept.signal, strict=True)] == [True, False, True]
    assert kept.redraws.tolist() == [0, 1, 0] and not kept.refused.any()
    made.rejection = rejecting(made, drawn.usual, 1e6, 3)
    refused = made.sampled(condition, [1, 2, 3], **{**SAMPLING, "steps": 1})
    assert refused.signal.isnan().all() and refused.refused.all()
    assert refused.redraws.tolist() == [2 * MOST_REDRAWS + 1] * 3


def test_a_row_that_guidance_holds_near_a_training_patient_is_drawn_without() -> None:
    made, condition = generator(), conditions(8)
    guided = {"steps": 0, "guidance": 1.0, "trait_guidance": 6.0}
    seeds, without = list(range(8)), torch.zeros(8, dtype=torch.bool)
    beats = [made.prior.draw(condition, torch.tensor(seeds), n, without, guidance=6.0) for n in range(MOST_REDRAWS + 1)]
    middle = torch.stack([one.usual for one in beats]).mean(dim=0)[:1]
    rejection = rejecting(made, middle, 1.0, 1)
    away = torch.stack([(rejection.usual.space(one.usual) - rejection.usual.training).norm(dim=1) for one in beats])
    # So near that the guided draws of one row are inside; the others have one that is not.
    made.rejection = rejecting(made, middle, float(away.max(dim=0).values.min()) + 1e-4, 1)
    found = made.sampled(condition, seeds, **guided)
    held = found.redraws > MOST_REDRAWS
    assert held.sum() == 1 and not found.refused.any() and found.signal.isfinite().all()
    row = held.nonzero()[0].tolist()
    alone = made.sampled(condition[row], row, **guided)
    assert torch.equal(alone.signal, found.signal[row]) and torch.equal(alone.redraws, found.redraws[row])


def test_recorded_beats_and_rhythms_guide_as_drawn_ones_do() -> None:
    made, condition, seeds = generator(), varied(3), [1, 2, 3]
    rhythm = made.rhythms(condition, seeds)
    drawn = made.beats(condition, seeds, rhythm, 1.25)
    around = made.around(condition, seeds, rhythm, drawn.beats, steps=2, guidance=1.5)
    assert torch.equal(around, made.sample(condition, seeds, **SAMPLING))
    assert not torch.equal(around, made.around(condition, seeds, rhythm, drawn.beats[[1, 2, 0]], steps=2, guidance=1.5))


def test_rhythm_and_beats_can_be_drawn_for_other_conditions() -> None:
    made, condition = generator(), conditions(2)
    faster = conditions(2)
    faster.numbers[:, 2] = 150.0
    usual = made.sample(condition, [1, 2], **SAMPLING)
    assert not torch.equal(made.sample(condition, [1, 2], **SAMPLING, rhythm_of=faster), usual)
    assert not torch.equal(made.sample(condition, [1, 2], **SAMPLING, beats_of=faster), usual)


def test_seeds_and_conditions_must_match() -> None:
    with pytest.raises(ValueError, match="3 conditions need as many seeds, got 2"):
        generator().sample(conditions(3), [1, 2], **SAMPLING)
    assert generator().sample(conditions(3)[[]], [], **SAMPLING).shape == (0, 8, 405)
