"""Which claims steer what a flow draws for conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.flow.generator import FlowGenerator
from models.latent_diffusion.generator import Generator
from tasks.conditions.condition import Condition
from tasks.conditions.criteria import expected_of_conditions
from tasks.settings import CohortSettings


def steering(
    generator: Generator | FlowGenerator, settings: CohortSettings, conditions: Sequence[Condition]
) -> dict[str, Any]:
    """Arguments of `FlowGenerator.sample` by which claims steer what is drawn for conditions; none for other models."""
    if not settings.claims or not isinstance(generator, FlowGenerator) or not generator.config.claims:
        return {}
    return {"asked": expected_of_conditions(generator.config.claims, conditions)}
