"""What keeps the prior of beats from giving training patients away, and what does it cost?

`python -m benchmarks.prevention [--quick] [--profile P] [--data PATH] [--set PATH=VALUE] [--minutes N]` trains priors
on the training split of the recordings that a profile's warehouse holds: with exact and with coarse keys, stopped
early, with rejection, and with differential privacy of patients. Each is attacked, and its draws are compared with
real beats. Every prior is trained twice: each time one of two groups of training patients is in, the other out, so that
the same people are members and non-members. A third group is in no training; people who are asked for are compared
with them. Half of the validation patients stop the training and give the radius of rejection, the other half judge what
draws are good for; fold 10 is read by nobody. Killed, stopped by `--minutes` or repeated, the same command goes on:
what an arm gave is kept in the warehouse's folder `_prevention`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.prevention.arms import ARMS, FULL, QUICK, Arm, Plan, prior_of, rejection_of
from benchmarks.prevention.attacks import (
    Attack,
    Draw,
    Found,
    crossed,
    keyed_extraction,
    linkage,
    membership,
    near_share,
)
from benchmarks.prevention.inputs import People, people_of
from benchmarks.prevention.utility import classifier, common_components, discriminator, measurement_distances
from benchmarks.record import RESULTS, Check, arguments, publish
from flows.profiles import load_settings
from models.beats.beats import Beats
from models.beats.identifying_space import Space, coordinate_space, encoder_space
from models.beats.prior import BeatPrior
from models.beats.rejection import Neighbourhood, Rejection, draw_with_rejection
from models.conditioning import ConditionTensors
from models.evaluation.metrics import Estimate
from tasks.privacy.beat_encoder import beat_encoder, load_encoder
from tasks.settings import PrivacySettings
from warehouse.errors import EinthovenError
from warehouse.storage.reference import Reference, digest
from warehouse.storage.store import Store
from warehouse.storage.whole_files import write_text

LOG: Final = logging.getLogger("einthoven")
SEED: Final = 1
COORDINATES, ENCODER = "coordinates", "encoder"
MEMBERSHIP: Final = "membership AUC of the loss"
LARGEST_MEMBERSHIP_AUC: Final = 0.55
"""As the audit's default bound."""
GROUP_SHARE: Final = 0.06
"""Of the training patients, of each of the two groups and of those who are in no training."""
WHOSE: Final = {"members": "", "others": " of non-members", "difference": ", difference"}
"""Rates by name, and what of their name the record tells."""
LEAST_GAIN: Final = 0.005
"""Macro AUC by which a prior that prevents less must be better to be chosen."""


def main(words: Sequence[str] | None = None, plan: Plan | None = None, results: Path = RESULTS) -> None:
    """Run the benchmark, or go on with it, and write its record.

    Args:
        words: of the command line.
        plan: how much to do, in place of the full or the quick form.
        results: folder of the record.
    """
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, metavar="N", help="begin no arm after N minutes")
    given = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    settings = load_settings(given.profile, given.set, given.data)
    plan = plan or (QUICK if given.quick else FULL)
    torch.set_num_threads(1)  # more threads would round differently
    store, started = Store(settings.warehouse.uri), time.monotonic()
    recordings = latest_recordings(store)
    folder = store.root / "_prevention" / recordings.id / digest(asdict(plan))
    bench = Bench.prepared(store, recordings, settings.privacy, plan, folder)
    found: dict[str, dict[str, Any]] = {}
    for name, make in {"real beats": bench.of_real, **{arm.name: bench.of_arm(arm) for arm in ARMS}}.items():
        path = folder / f"result-{name}.json"
        if not path.is_file():
            if given.minutes is not None and time.monotonic() - started > 60 * given.minutes:
                LOG.info("stopped before %s; the same command goes on", name)
                return
            LOG.info("judging %s", name)
            write_text(path, json.dumps(make()))
        found[name] = json.loads(path.read_text())
    publish(
        "prevention",
        [check for name, result in found.items() for check in _checks(name, result)],
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={"profile": given.profile, "training": len(bench.training(0)), "plan": asdict(plan)},
        details={
            "chosen on the validation split": {
                "where ECGs are released": chosen(found, model_released=False),
                "where the model is released": chosen(found, model_released=True),
            },
            "arms": found,
        },
        results=results,
    )


def latest_recordings(store: Store) -> Reference:
    """The recordings that were ingested last.

    Raises:
        EinthovenError: there are none.
    """
    kept = store.committed("recordings")
    found = store.find("recordings", max(kept, key=lambda one: one.created_at).id) if kept else None
    if found is None:
        raise EinthovenError(f"{store.root} holds no recordings; run `einthoven ingest` first")
    return found


def chosen(found: dict[str, dict[str, Any]], model_released: bool) -> str:
    """The arm from whose draws a classifier learns most, among those that give no member away; ties prevent more.

    An arm gives nobody away if no attack on its draws finds people more often when they are members, beyond the
    interval of the difference; and where the model itself is released, if its loss tells members with an AUC of at most
    `LARGEST_MEMBERSHIP_AUC`, upper end.
    """
    best = ""
    for arm in ARMS:
        result = found[arm.name]
        safe = all(one["difference"][1] <= 0 for one in result["attacks"].values() if "difference" in one)
        if model_released:
            safe &= result["attacks"][MEMBERSHIP]["members"][2] <= LARGEST_MEMBERSHIP_AUC
        if safe and (
            not best or result["utility"]["classifier"][0] > found[best]["utility"]["classifier"][0] - LEAST_GAIN
        ):
            best = arm.name
    return best or "none"


class Bench:
    """Everything that arms share: people, spaces, and how draws are judged.

    Args:
        always: people who are in every training.
        groups: two groups of people of whom one is in a training, the other not.
        decoys: people who are in none.
        held_out: people by whom training is stopped.
        judge: people with whom draws are compared.
        encoder: space of an encoder that recognises people.
        plan: how much is done.
        folder: receives weights and results.
    """

    def __init__(
        self,
        always: People,
        groups: tuple[People, People],
        decoys: People,
        held_out: People,
        judge: People,
        encoder: Space,
        plan: Plan,
        folder: Path,
    ) -> None:
        self.always, self.groups, self.decoys, self.held_out, self.judge = always, groups, decoys, held_out, judge
        self.plan, self.folder = plan, folder
        self.components = common_components(always)
        self.spaces = {COORDINATES: coordinate_space(self.components), ENCODER: encoder}
        self.neighbourhoods = {
            name: Neighbourhood.fitted(space, self.training(0).examples.beats.usual, held_out.examples.beats.usual)
            for name, space in self.spaces.items()
        }
        self.asked = [group.one_of_each(SEED, plan.asked) for group in groups]
        self.attacks: dict[str, Attack] = {
            "keyed extraction": keyed_extraction(self.spaces, decoys.one_of_each(SEED), plan.draws),
            "rank-1 linkage": linkage(self.spaces, always + groups[0] + groups[1]),
        }

    def training(self, group: int) -> People:
        """Whom a prior with this group in its training learns from."""
        return self.always + self.groups[group]

    @classmethod
    def prepared(cls, store: Store, recordings: Reference, privacy: PrivacySettings, plan: Plan, folder: Path) -> Bench:
        """Read people, draw the groups and split the validation patients in halves."""
        encoder = encoder_space(load_encoder(store.path(beat_encoder(privacy, recordings, store))))
        training, validation = (people_of(store, recordings, split) for split in ("train", "validation"))
        rank = _patient_ranks(training)
        group = (rank / GROUP_SHARE).long()
        always = group > 2
        if plan.training is not None:
            always &= rank < 3 * GROUP_SHARE + plan.training / len(training)
        judges = _patient_ranks(validation) < 0.5
        groups = training[group == 0], training[group == 1]
        people = training[always], groups, training[group == 2], validation[~judges], validation[judges]
        return cls(*people, encoder, plan, folder)

    def of_real(self) -> dict[str, Any]:
        """The same figures of real people, for reference: what no prior needs to beat."""
        some = self.always[torch.arange(min(len(self.always), len(self.judge)))]
        return {
            "attacks": {
                f"near a training beat, {name}": {"others": list(near_share(self.decoys.examples.beats, one))}
                for name, one in self.neighbourhoods.items()
            },
            "utility": {
                "measurements": measurement_distances(some.examples.beats, some, self.judge),
                "discriminator": list(discriminator(some.examples.beats, self.judge, self.components, SEED)),
                "classifier": list(self._classifier(self.training(0).examples.beats)),
            },
        }

    def _classifier(self, beats: Beats) -> Estimate:
        drawn = beats.usual.isfinite().all(dim=(1, 2))
        labels = self.training(0).labels[drawn.numpy()]
        return classifier(beats[drawn], labels, self.judge, self.components, SEED)

    def of_arm(self, arm: Arm) -> Any:
        """A function that trains an arm and judges it."""
        return lambda: self._judged(arm)

    def _judged(self, arm: Arm) -> dict[str, Any]:
        started = time.monotonic()
        found = [
            prior_of(arm, self.plan, self.training(group), self.held_out, self.folder, group) for group in range(2)
        ]
        trained = time.monotonic() - started
        priors, about = [prior for prior, _ in found], found[0][1]
        counts = {"draws": 0, "drawn again": 0, "refused": 0}
        draws = [self._draw(prior, group, arm, counts) for group, prior in enumerate(priors)]
        training = self.training(0)
        cohort = draws[0](training.examples.condition, torch.arange(len(training)))
        like_judges = draws[0](self.judge.examples.condition, 10**7 + torch.arange(len(self.judge)))
        kept = like_judges.usual.isfinite().all(dim=(1, 2))
        attacks: dict[str, Any] = {MEMBERSHIP: {"members": list(membership(priors, self.asked, SEED))}}
        for name, one in self.neighbourhoods.items():
            attacks[f"near a training beat, {name}"] = {"members": list(near_share(cohort, one))}
        for number, (attack, made) in enumerate(self.attacks.items()):
            rates = crossed(draws, self.asked, made, (2 + number) * 10**7)
            attacks |= {f"{attack}, {name}": _rates(rate) for name, rate in rates.items()}
        return {
            "attacks": attacks,
            "utility": {
                "measurements": measurement_distances(like_judges[kept], self.judge[kept], self.judge),
                "discriminator": list(discriminator(like_judges[kept], self.judge, self.components, SEED)),
                "classifier": list(self._classifier(cohort)),
            },
            "training": {**about, "seconds": round(trained, 1)},
            "rejection": counts,
        }

    def _draw(self, prior: BeatPrior, group: int, arm: Arm, counts: dict[str, int]) -> Draw:
        """Draws of a prior that has learned with a group, as the arm makes them, counted."""
        rejection: Rejection | None = None
        if arm.rejection:
            rejection = rejection_of(prior, self.spaces[ENCODER], self.training(group), self.held_out)

        def draw(condition: ConditionTensors, seeds: torch.Tensor) -> Beats:
            counts["draws"] += len(seeds)
            if rejection is None:
                return prior.draw(condition, seeds)
            drawn = draw_with_rejection(prior, rejection, condition, seeds)
            counts["drawn again"] += int((drawn.redraws > 0).sum())
            counts["refused"] += int(drawn.refused.sum())
            return drawn.beats

        return draw


def _patient_ranks(people: People) -> torch.Tensor:
    """(n,) number in 0 to 1 of each recording's patient, in an order that is shuffled once and for all."""
    patients = people.examples.patients
    count = int(patients.max()) + 1
    return torch.from_numpy(np.random.default_rng(SEED).permutation(count))[patients] / count


def _rates(found: Found) -> dict[str, list[float]]:
    return {name: list(getattr(found, name)) for name in WHOSE}


def _checks(arm: str, result: dict[str, Any]) -> list[Check]:
    checks = []
    for attack, rates in result["attacks"].items():
        for who, rate in rates.items():
            value, low, high = rate
            checks.append(Check(name=f"{arm}: {attack}{WHOSE[who]}", value=value, low=low, high=high))
    utility = result["utility"]
    distances = list(utility["measurements"].values())
    checks.append(
        Check(
            name=f"{arm}: distance of measurements", value=float(np.mean(distances)) if distances else None, unit="SD"
        )
    )
    for name in ("discriminator", "classifier"):
        value, low, high = utility[name]
        checks.append(Check(name=f"{arm}: {name} AUC", value=value, low=low, high=high))
    return checks


if __name__ == "__main__":
    main()
