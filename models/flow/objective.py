"""What the transformer is trained to lower: flow matching on the straight path (Lipman et al.; Liu et al. 2023)."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.conditioning import ConditionTensors
from models.flow.transformer import FlowTransformer

TIME_SHIFT, TIME_SPREAD = 0.2, 1.2
"""Mean and standard deviation of the logit of training times (Esser et al. 2024): the middle of the path is hardest."""
GUIDE_HIDDEN: Final = 0.25
"""Share of rows whose guide is hidden, so that the condition acts without it, and guidance can compare."""


def training_times(rows: int, device: torch.device | str = "cpu") -> Tensor:
    """One time per row, logit-normal, spread evenly over that distribution, which lowers the variance of the loss."""
    share = (torch.randperm(rows, device=device) + torch.rand(rows, device=device)) / rows
    return torch.sigmoid(TIME_SHIFT + TIME_SPREAD * torch.special.ndtri(share.clamp(1e-6, 1 - 1e-6)))


class FlowObjective(nn.Module):
    """Mean square error of the velocity ε − x at x_t = (1 − t) x + t ε; the forward pass returns it as the loss.

    Args:
        network: what learns.
    """

    def __init__(self, network: FlowTransformer) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, signal: Tensor, guide: Tensor, condition: ConditionTensors, guided: Tensor, first: int = 0
    ) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            signal: (B, 8, T · samples of a patch) filtered ECGs.
            guide: (B, GUIDE_CHANNELS, T · samples of a patch).
            condition: of B rows.
            guided: (B,) bool, False in rows that have no guide.
            first: position of the first patch.
        """
        time, noise = training_times(len(signal), signal.device), torch.randn_like(signal)
        noisy = torch.lerp(signal, noise, time[:, None, None])
        seen = guided & (torch.rand(len(signal), device=signal.device) >= GUIDE_HIDDEN)
        predicted = self.network(noisy, time, condition.dropped(), guide * seen[:, None, None], first)
        return {"loss": F.mse_loss(predicted.float(), noise - signal)}
