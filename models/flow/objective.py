"""What the transformer is trained to lower: flow matching on the straight path (Lipman et al.; Liu et al. 2023)."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.conditioning import ConditionTensors
from models.flow.physics import FlowPhysics, PieceBeats
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
    """L = L_v + λ L_Euler + γ L_inter; the forward pass returns the loss and, where there is physics, its parts.

    L_v is the mean square error of the velocity ε − x at x_t = (1 − t) x + t ε.

    Args:
        network: what learns.
        physics: terms of the clean estimate x̂0 = x_t − t v, or None for none.
    """

    def __init__(self, network: FlowTransformer, physics: FlowPhysics | None = None) -> None:
        super().__init__()
        self.network, self.physics = network, physics

    def forward(
        self,
        signal: Tensor,
        guide: Tensor,
        condition: ConditionTensors,
        guided: Tensor,
        first: int = 0,
        beats: PieceBeats | None = None,
    ) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            signal: (B, 8, T · samples of a patch) filtered ECGs.
            guide: (B, GUIDE_CHANNELS, T · samples of a patch).
            condition: of B rows.
            guided: (B,) bool, False in rows that have no guide.
            first: position of the first patch.
            beats: of B rows; physics needs them.
        """
        time, noise = training_times(len(signal), signal.device), torch.randn_like(signal)
        noisy = torch.lerp(signal, noise, time[:, None, None])
        seen = guided & (torch.rand(len(signal), device=signal.device) >= GUIDE_HIDDEN)
        predicted = self.network(noisy, time, condition.dropped(), guide * seen[:, None, None], first).float()
        loss = F.mse_loss(predicted, noise - signal)
        if self.physics is None or beats is None:
            return {"loss": loss}
        terms = self.physics(noisy - time[:, None, None] * predicted, time, beats)
        weighted = sum(weight * terms[name] for name, weight in self.physics.weights.items())
        return {"loss": loss + weighted, "velocity": loss, **terms}
