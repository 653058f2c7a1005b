"""Differential privacy of patients: gradients of a patient are averaged, clipped once, and noise is added to their sum.

DP-SGD (Abadi et al., CCS 2016) with the patient as the unit: two training sets are neighbours if one has a patient
more, with all of their recordings. Patients are sampled by independent coin tosses at every step, as the accounting
supposes (Rényi differential privacy of the subsampled Gaussian mechanism, Mironov et al. 2019), which `opacus` does,
as it clips, sums and adds the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

if TYPE_CHECKING:
    from opacus.optimizers import DPOptimizer

ROWS_AT_ONCE: Final = 256
"""Recordings whose gradients are held at once: bounds memory."""
ACCOUNTANT: Final = "rdp"

RowLoss = Callable[[dict[str, Tensor], dict[str, Tensor]], Tensor]
"""Loss of one recording, a scalar, from the parameters by name and the recording's tensors, each with one row."""


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

    Args:
        model: whose parameters are optimised.
        optimizer: of these parameters.
        loss: of one recording.
        patients: (n,) patient of every training recording.
        privacy: the guarantee.
        steps: that will be taken at most; the noise is chosen so that this many spend the whole of ε.

    Raises:
        ModuleNotFoundError: opacus is not installed.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: RowLoss,
        patients: Tensor,
        privacy: PatientPrivacy,
        steps: int,
    ) -> None:
        try:
            from opacus.accountants.utils import get_noise_multiplier
            from opacus.optimizers import DPOptimizer
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "differential privacy in training needs opacus: pip install 'einthoven[privacy]'"
            ) from error

        self.model, self.loss, self.privacy = model, loss, privacy
        self.names = [name for name, _ in model.named_parameters()]
        order = torch.argsort(patients, stable=True)
        _, counts = torch.unique_consecutive(patients[order], return_counts=True)
        self.rows_of = order.split(counts.tolist())
        self.rate = min(1.0, privacy.patients_per_step / len(self.rows_of))
        self.noise_multiplier = get_noise_multiplier(
            target_epsilon=privacy.epsilon,
            target_delta=privacy.delta,
            sample_rate=self.rate,
            steps=steps,
            accountant=ACCOUNTANT,
        )
        self.generator = torch.Generator().manual_seed(privacy.noise_seed)
        self.optimizer: DPOptimizer = DPOptimizer(
            optimizer,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=privacy.largest_gradient,
            expected_batch_size=self.rate * len(self.rows_of),  # type: ignore[arg-type]  # any number does
            generator=self.generator,
        )
        self.steps = 0

    def step(self, batch: Callable[[Tensor], dict[str, Tensor]]) -> None:
        """Sample patients and take a step.

        Args:
            batch: tensors of recordings by their row numbers.
        """
        tossed = torch.rand(len(self.rows_of), generator=self.generator) < self.rate
        chosen = [self.rows_of[patient] for patient in torch.nonzero(tossed)[:, 0].tolist()]
        groups = _groups(chosen)
        self.optimizer.zero_grad()
        for number, group in enumerate(groups):
            self._gradients(group, batch)
            self.optimizer.signal_skip_step(number < len(groups) - 1)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.steps += 1

    def _gradients(self, patients: list[Tensor], batch: Callable[[Tensor], dict[str, Tensor]]) -> None:
        """Leave the mean gradient over each patient's recordings, (patients, …), in every parameter's `grad_sample`."""
        parameters = dict(self.model.named_parameters())
        if not patients:
            for parameter in parameters.values():
                parameter.grad_sample = parameter.new_zeros(0, *parameter.shape)  # type: ignore[attr-defined]
            return
        counts = torch.tensor([len(rows) for rows in patients])
        of_patient = torch.arange(len(patients)).repeat_interleave(counts)
        detached = {name: parameter.detach() for name, parameter in parameters.items()}
        one_row = {name: tensor[:, None] for name, tensor in batch(torch.cat(patients)).items()}
        found = vmap(grad(self.loss), in_dims=(None, 0))(detached, one_row)
        for name, parameter in parameters.items():
            summed = parameter.new_zeros(len(patients), *parameter.shape).index_add_(0, of_patient, found[name])
            parameter.grad_sample = summed / counts.view(-1, *[1] * parameter.ndim)  # type: ignore[attr-defined]

    def spent(self) -> PrivacySpent:
        """What the steps so far cost."""
        from opacus.accountants import create_accountant

        accountant = create_accountant(ACCOUNTANT)
        accountant.history = [(self.noise_multiplier, self.rate, self.steps)]
        return PrivacySpent(
            epsilon=float(accountant.get_epsilon(self.privacy.delta)) if self.steps else 0.0,
            delta=self.privacy.delta,
            unit="patient",
            patients=len(self.rows_of),
            sampling_rate=self.rate,
            noise_multiplier=self.noise_multiplier,
            steps=self.steps,
            largest_gradient=self.privacy.largest_gradient,
            accountant=ACCOUNTANT,
        )


def _groups(patients: list[Tensor]) -> list[list[Tensor]]:
    """Patients in groups of about `ROWS_AT_ONCE` recordings; one group that may be empty at the least."""
    groups: list[list[Tensor]] = [[]]
    rows = 0
    for one in patients:
        if rows + len(one) > ROWS_AT_ONCE and groups[-1]:
            groups.append([])
            rows = 0
        groups[-1].append(one)
        rows += len(one)
    return groups
