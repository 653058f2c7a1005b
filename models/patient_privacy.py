"""Differential privacy of patients: each patient in a step has one gradient, which is clipped, and noise is added.

DP-SGD (Abadi et al., CCS 2016) with the patient as the unit: two training sets are neighbours if one has a patient
more, with all of their recordings. At every step patients are sampled by independent coin tosses, as the accounting
supposes (Rényi differential privacy of the subsampled Gaussian mechanism, Mironov et al. 2019), and one recording of
each is taken at random. `opacus` clips, sums, adds the noise and accounts; gradients of single recordings are those of
`torch.func`, which needs no rule for each kind of layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from models.conditioning import ConditionTensors

if TYPE_CHECKING:
    from opacus.optimizers import DPOptimizer

NUMBERS_AT_ONCE: Final = 2**27
"""Numbers in the gradients of single recordings that are held at once: half a gigabyte."""
MOST_ROWS_AT_ONCE: Final = 256
ACCOUNTANT: Final = "rdp"

Loss = Callable[[nn.Module, dict[str, Tensor], dict[str, Any]], Tensor]
"""Loss, a scalar, of a batch of one recording under given parameters; draws its random numbers itself."""


@dataclass(frozen=True)
class PatientPrivacy:
    """The guarantee that training is to give to every training patient.

    Attributes:
        epsilon, delta: no outcome of training becomes more than e^ε times as likely, but for a chance δ, by one
            patient's being there. δ is to be well below one over the number of patients.
        patients_per_step: expected number of patients in a step; large ones lose less to noise.
        largest_gradient: norm to which the gradient of a patient is clipped.
        noise_seed: of sampling and noise; it must stay secret, for who knows it can take the noise off.
    """

    epsilon: float
    delta: float
    patients_per_step: int
    largest_gradient: float
    noise_seed: int


@dataclass(frozen=True)
class PrivacySpent:
    """What training gave, for the manifest.

    Attributes:
        epsilon, delta: of all steps that were taken.
        unit: what neighbouring training sets differ by.
        patients: patients of the training set.
        sampling_rate: chance of a patient to be in a step.
        noise_multiplier: standard deviation of the noise over the largest gradient of a patient.
        steps: that were taken.
        largest_gradient: norm to which the gradient of a patient was clipped.
        accountant: of the privacy loss.
    """

    epsilon: float
    delta: float
    unit: str
    patients: int
    sampling_rate: float
    noise_multiplier: float
    steps: int
    largest_gradient: float
    accountant: str


class PatientGradients:
    """Steps of an optimiser that are private for patients.

    What a step samples and its noise are functions of the noise seed and the step's number, so that a step that is
    taken again after an interruption is the same and costs nothing more.

    Args:
        model: whose parameters are optimised.
        optimizer: of these parameters.
        loss: of one recording.
        patients: (n,) patient of every training recording.
        privacy: the guarantee.
        steps: that will be taken at most; the noise is chosen so that this many spend the whole of ε.
        noise_multiplier: in place of the one that ε asks for.

    Raises:
        ModuleNotFoundError: opacus is not installed.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        patients: Tensor,
        privacy: PatientPrivacy,
        steps: int,
        noise_multiplier: float | None = None,
    ) -> None:
        try:
            from opacus.accountants.utils import get_noise_multiplier
            from opacus.optimizers import DPOptimizer
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "differential privacy in training needs opacus: pip install 'einthoven[privacy]'"
            ) from error

        self.model, self.loss, self.privacy = model, loss, privacy
        self.parameters = {name: one for name, one in model.named_parameters() if one.requires_grad}
        numbers = sum(one.numel() for one in self.parameters.values())
        self.rows_at_once = min(MOST_ROWS_AT_ONCE, max(1, NUMBERS_AT_ONCE // max(1, numbers)))
        order = torch.argsort(patients, stable=True)
        self.counts = torch.unique_consecutive(patients[order], return_counts=True)[1]
        self.rows, self.first = order, self.counts.cumsum(0) - self.counts
        self.rate = min(1.0, privacy.patients_per_step / len(self.counts))
        if noise_multiplier is None:
            noise_multiplier = get_noise_multiplier(
                target_epsilon=privacy.epsilon,
                target_delta=privacy.delta,
                sample_rate=self.rate,
                steps=steps,
                accountant=ACCOUNTANT,
            )
        self.noise_multiplier = noise_multiplier
        self.generator = torch.Generator(device=next(iter(self.parameters.values())).device)
        self.optimizer: DPOptimizer = DPOptimizer(
            optimizer,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=privacy.largest_gradient,
            expected_batch_size=self.rate * len(self.counts),  # type: ignore[arg-type]  # any number does
            generator=self.generator,
        )

    def step(self, number: int, batch: Callable[[Tensor], dict[str, Any]]) -> None:
        """Sample patients and take a step.

        Args:
            number: of the step, from 0.
            batch: what the loss needs of recordings, by their row numbers: tensors and conditions with a row for each,
                and anything else as it is.

        Raises:
            FloatingPointError: the gradient of a recording is not finite.
        """
        rng = np.random.default_rng([self.privacy.noise_seed, number])
        chosen = torch.from_numpy(np.flatnonzero(rng.random(len(self.counts)) < self.rate))
        which = torch.from_numpy(rng.random(len(chosen))) * self.counts[chosen]
        rows = self.rows[self.first[chosen] + which.long()]
        self.generator.manual_seed(int(rng.integers(2**63)))
        parts = rows.split(self.rows_at_once)
        self.optimizer.zero_grad(set_to_none=True)
        for position, part in enumerate(parts):
            self._leave_gradients(part, batch)
            self.optimizer.signal_skip_step(position < len(parts) - 1)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def _leave_gradients(self, rows: Tensor, batch: Callable[[Tensor], dict[str, Any]]) -> None:
        """Leave the gradient of each recording, (rows, …), in every parameter's `grad_sample`."""
        if not len(rows):
            for parameter in self.parameters.values():
                parameter.grad_sample = parameter.new_zeros(0, *parameter.shape)  # type: ignore[attr-defined]
            return
        tensors, rebuilt = _flattened(batch(rows))

        def of_one(parameters: dict[str, Tensor], row: dict[str, Tensor]) -> Tensor:
            return self.loss(self.model, parameters, rebuilt({name: one[None] for name, one in row.items()}))

        detached = {name: parameter.detach() for name, parameter in self.parameters.items()}
        gradients = vmap(grad(of_one), in_dims=(None, 0), randomness="different")(detached, tensors)
        for name, parameter in self.parameters.items():
            # Under autocast some are less precise than their parameter.
            parameter.grad_sample = gradients[name].to(parameter.dtype)  # type: ignore[attr-defined]
        if not all(bool(one.isfinite().all()) for one in gradients.values()):
            raise FloatingPointError("the gradient of a recording is not finite; lower the learning_rate")

    def spent(self, steps: int) -> PrivacySpent:
        """What so many steps cost."""
        from opacus.accountants import create_accountant

        accountant = create_accountant(ACCOUNTANT)
        accountant.history = [(self.noise_multiplier, self.rate, steps)]
        return PrivacySpent(
            epsilon=float(accountant.get_epsilon(self.privacy.delta)) if steps else 0.0,
            delta=self.privacy.delta,
            unit="patient",
            patients=len(self.counts),
            sampling_rate=self.rate,
            noise_multiplier=self.noise_multiplier,
            steps=steps,
            largest_gradient=self.privacy.largest_gradient,
            accountant=ACCOUNTANT,
        )


def loss_of(model: nn.Module, parameters: dict[str, Tensor], batch: dict[str, Any]) -> Tensor:
    """The sum of what a model's forward pass returns, or of its part `loss`."""
    found = functional_call(model, parameters, args=(), kwargs=batch)
    return (found["loss"] if isinstance(found, dict) else found).sum()


def _flattened(batch: dict[str, Any]) -> tuple[dict[str, Tensor], Callable[[dict[str, Tensor]], dict[str, Any]]]:
    """Tensors of a batch by name, those of conditions too, and a function that makes a batch of some of their rows."""
    conditions = [name for name, one in batch.items() if isinstance(one, ConditionTensors)]
    tensors = {name: one for name, one in batch.items() if isinstance(one, Tensor)}
    for name in conditions:
        tensors |= {f"{name}.{part}": one for part, one in batch[name].tensors().items()}

    def rebuilt(rows: dict[str, Tensor]) -> dict[str, Any]:
        found = {name: rows.get(name, one) for name, one in batch.items()}
        for name in conditions:
            prefix = f"{name}."
            parts = {part.removeprefix(prefix): one for part, one in rows.items() if part.startswith(prefix)}
            found[name] = ConditionTensors(**parts)
        return found

    return tensors, rebuilt
