"""The recipes of all networks by name."""

from __future__ import annotations

from typing import Final

from tasks.training.networks.autoencoder import AutoencoderRecipe
from tasks.training.networks.denoiser import DenoiserRecipe
from tasks.training.networks.detail_head import DetailRecipe
from tasks.training.networks.flow import FlowRecipe
from tasks.training.networks.prior import PriorRecipe
from tasks.training.networks.recipe import Recipe
from tasks.training.networks.student import StudentRecipe

RECIPES: Final[dict[str, type[Recipe]]] = {
    "autoencoder": AutoencoderRecipe,
    "detail": DetailRecipe,
    "prior": PriorRecipe,
    "denoiser": DenoiserRecipe,
    "flow": FlowRecipe,
    "student": StudentRecipe,
}
"""In the order in which the networks are trained."""
