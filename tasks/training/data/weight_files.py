"""Files of tensors: names of the weights of every network, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from safetensors.torch import save_file
from torch import Tensor, nn

AUTOENCODER_FILE: Final = "autoencoder.safetensors"
BEAT_DECODER_FILE: Final = "beat_decoder.safetensors"
DETAIL_FILE: Final = "detail.safetensors"
PRIOR_FILE: Final = "prior.safetensors"
DENOISER_FILE: Final = "denoiser.safetensors"
FLOW_FILE: Final = "flow.safetensors"
STUDENT_FILE: Final = "student.safetensors"
REJECTION_FILE: Final = "training_beats.safetensors"
"""What drawn beats keep away from: coordinates of training patients' beats, as personal as their recordings."""
FILTER_FILE: Final = "filter.safetensors"
WAVE_FIT_FILE: Final = "simulator_fit.safetensors"
LATENTS_FILE: Final = "latents.safetensors"


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Save tensors as safetensors; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    partial.replace(path)


def save_weights(network: nn.Module, path: Path) -> None:
    """Save a network's weights; the file appears whole or not at all."""
    save_tensors({name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}, path)
