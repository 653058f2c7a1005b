"""A cohort: how many ECGs, for which conditions, sampled how."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tasks.settings.settings_section import Section, Seed, operational


class CohortSettings(Section):
    """A cohort: how many ECGs, for which conditions, sampled how."""

    name: str = Field("cohort", pattern=r"^[a-z0-9][a-z0-9-]*$", description="Name of the cohort.")
    size: int = Field(500, ge=1, description="Synthetic ECGs.")
    seed: Seed = Field(1, description="Cohort seed; each row's seed derives from it and the row number.")
    min_patients: int = Field(
        10,
        ge=1,
        description="Training patients who must share all that an ECG is asked to show: superclasses, statements, sex, "
        "age band and coded views.",
    )
    sampler_steps: int = Field(
        4,
        ge=0,
        description="Denoising steps: 3 to 8 by a solver that training fitted to the model, with guidance or without; "
        "other numbers by UniPC, whose correction each process finds on 128 ECGs first; 0 for the simulator's ECGs of "
        "drawn beats, which tell what the denoiser adds. Of a flow: n steps of Heun's method, 2 n − 1 network "
        "evaluations.",
    )
    guidance: float = Field(
        1.0,
        ge=1,
        description="Classifier-free guidance scale of the denoiser, which is a flow's transformer: 1 for none; more "
        "makes ECGs more typical of their condition, and doubles the network passes.",
    )
    guide_guidance: float = Field(
        1.0,
        ge=0,
        description="Of a flow: guidance scale of what the transformer sees of the simulator, the ECG of drawn beats "
        "and their phase. 1 for none; other scales add a network pass. Latent diffusion has 1.",
    )
    trait_guidance: float = Field(
        1.25,
        ge=1,
        description="Guidance scale of the prior, by which the beat drawn for an ECG, and levels where a model has "
        "them, are typical of its condition; 1 for none.",
    )
    rows_per_part: int = Field(256, ge=1, description="ECGs per Parquet file; the unit of resumption.")
    batch_size: int = operational(
        256, ge=1, description="ECGs handed to the model at once, of which each thread makes 64 at a time."
    )
    workers: int = operational(1, ge=1, description="Ray actors that generate.")
    use_gpu: bool = Field(
        False, description="One GPU per actor; its arithmetic differs from a processor's in the last digits."
    )

    @property
    def sampling(self) -> dict[str, Any]:
        """How one ECG is sampled: arguments of `Generator.sample`."""
        return {
            "steps": self.sampler_steps,
            "guidance": self.guidance,
            "trait_guidance": self.trait_guidance,
            "guide_guidance": self.guide_guidance,
        }
