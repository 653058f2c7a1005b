"""Differential privacy of training patients: what settings ask for, the secret of its noise, and what was spent."""

from __future__ import annotations

import importlib.util
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from models.patient_privacy import PatientGradients, PatientPrivacy, PrivacySpent, loss_of
from tasks.settings.training import PatientPrivacySettings, TrainingSettings
from tasks.training.data.recordings import TrainingError
from tasks.training.networks.recipe import Recipe
from tasks.training.optimisation import Average, autocast, learning_rate
from warehouse.storage.facts import PatientPrivacyFacts
from warehouse.storage.whole_files import write_text

NOISE_SEED_BITS: Final = 128
SPENT_FILE: Final = "_privacy-{network}.json"


def refuse_without_opacus(settings: TrainingSettings) -> None:
    """Refuse to begin a private training that could not be done.

    Raises:
        TrainingError: opacus is not installed.
    """
    asked = settings.flow.beats.privacy.epsilon is not None
    if settings.generator == "flow" and asked and importlib.util.find_spec("opacus") is None:
        raise TrainingError(
            "training.flow.beats.privacy.epsilon needs opacus, which is not installed: "
            "pip install 'einthoven[privacy]', or set it to null to train without differential privacy"
        )


def patient_privacy(how: PatientPrivacySettings, folder: Path, network: str) -> PatientPrivacy | None:
    """The guarantee that settings ask for; None for none.

    The seed of its noise is drawn once at random and kept in the staging folder, so that an interrupted training goes
    on with the same noise. It is not committed: afterwards nobody can take the noise off.
    """
    if how.epsilon is None:
        return None
    path = folder / f"_noise-{network}"
    if not path.exists():
        write_text(path, str(secrets.randbits(NOISE_SEED_BITS)))
    path.chmod(0o600)
    seed = int(path.read_text(encoding="ascii"))
    return PatientPrivacy(how.epsilon, how.delta, how.patients_per_step, how.largest_gradient, seed)


class PrivateTraining:
    """Private steps of a recipe's network in the training loop.

    Args:
        stage: whose training recordings' patients are protected.
        how: the guarantee.
        precision: of the forward pass.
        optimiser: of the network.
        average: follows the weights, if there is one.
        device: where the network is.
    """

    def __init__(
        self,
        stage: Recipe,
        how: PatientPrivacy,
        precision: str,
        optimiser: torch.optim.Optimizer,
        average: Average | None,
        device: torch.device,
    ) -> None:
        assert stage.patients is not None
        self.stage, self.precision, self.average, self.device = stage, precision, average, device
        steps = stage.schedule.steps
        self.gradients = PatientGradients(stage.objective, optimiser, self._loss, stage.patients, how, steps)

    def _loss(self, *given: Any) -> Tensor:
        with autocast(self.device, self.precision):
            return loss_of(*given)

    def step(self, step: int) -> float:
        """Take the step of this number, from 0; returns its learning rate. Its loss is not told: it is not private."""
        rate = learning_rate(step, self.stage.schedule.steps, self.stage.schedule.learning_rate)
        for group in self.gradients.optimizer.param_groups:
            group["lr"] = rate
        self.gradients.step(step, lambda rows: self.stage.batch("train", rows, self.device))
        if self.average:
            self.average.update(self.stage.learner, step)
        return rate


def save_spent(folder: Path, network: str, spent: PrivacySpent) -> None:
    """Leave what the training of a network cost its patients, for the facts of the model."""
    found = PatientPrivacyFacts(**asdict(spent))
    write_text(folder / SPENT_FILE.format(network=network), found.model_dump_json())


def load_spent(folder: Path, networks: list[str]) -> dict[str, PatientPrivacyFacts]:
    """What the training of each network cost; those without a guarantee are left out."""
    paths = {network: folder / SPENT_FILE.format(network=network) for network in networks}
    return {
        network: PatientPrivacyFacts.model_validate_json(path.read_text(encoding="utf-8"))
        for network, path in paths.items()
        if path.exists()
    }
