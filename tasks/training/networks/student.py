"""Training of a student of the flow, for few steps."""

from __future__ import annotations

from typing import ClassVar

import torch
from safetensors.torch import load_file

from models.flow.student import StudentObjective, student_of
from tasks.training.data.weight_files import FLOW_FILE, STUDENT_FILE, save_weights
from tasks.training.networks.flow import FlowRecipe
from tasks.training.networks.recipe import Material


class StudentRecipe(FlowRecipe):
    """The student on what the flow learned from, with the trained flow as its teacher. Leaves averaged weights."""

    leaves: ClassVar[str] = STUDENT_FILE

    def __init__(self, material: Material) -> None:
        super().__init__(material)
        self.schedule, self.physics = self.settings.student, None
        self.network.load_state_dict(load_file(material.staging / FLOW_FILE))
        self.learner = student_of(self.network)
        self.objective = StudentObjective(self.learner, self.network)

    def finish(self, device: torch.device) -> None:
        """Save the student."""
        save_weights(self.learner, self.staging / STUDENT_FILE)
