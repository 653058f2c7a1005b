"""The folder of a trained generator: safetensors weights and a JSON file with everything else; nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.architecture import GeneratorConfig
from models.beats.rejection import Rejection
from models.flow.config import FlowConfig
from models.flow.generator import FlowGenerator
from models.latent_diffusion.generator import Generator
from models.simulator.beat_equation import WaveFit
from tasks.conditions.condition import ConditionEmbedder
from tasks.knowledge.embeddings import local_embeddings
from tasks.settings import RetrievalSettings
from tasks.training.data.weight_files import (
    AUTOENCODER_FILE,
    BEAT_DECODER_FILE,
    DENOISER_FILE,
    DETAIL_FILE,
    FILTER_FILE,
    FLOW_FILE,
    PRIOR_FILE,
    REJECTION_FILE,
    STUDENT_FILE,
    WAVE_FIT_FILE,
    save_tensors,
)
from warehouse.errors import EinthovenError
from warehouse.storage.whole_files import write_text

CONFIG_FILE: Final = "config.json"
FORMAT_VERSION: Final = 9


class ModelFolderError(EinthovenError):
    """A model folder is incomplete, damaged or of another format."""


class ModelConfig(BaseModel):
    """`config.json` of a model folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = Field(FORMAT_VERSION, description="Raised when code and older folders no longer fit.")
    generator: GeneratorConfig | FlowConfig = Field(description="Architectures, sampling rate, length and scales.")
    statements: dict[str, dict[str, Any]] = Field(description="Statement code to description, superclass and kind.")
    findings: list[str] = Field(
        default_factory=list,
        description="Findings of reports that enough training patients share; what may be asked for.",
    )
    embedding_model: str = Field(description="Model of the text embeddings it was trained with.")
    knowledge_id: str = Field(description="Knowledge base it was trained with.")
    retrieval: RetrievalSettings = Field(description="How entries of the knowledge base are retrieved.")
    recordings_id: str = Field(description="Recordings it was trained on.")
    simulated: bool = Field(description="True when it learned from simulated recordings.")
    wave_classes: list[str] = Field(description="Classes of the simulator fit, in the order of its tensors.")


class _Format(BaseModel):
    """What every version of `config.json` says."""

    format_version: int


def save_config(folder: Path, config: ModelConfig) -> None:
    """Write `config.json`."""
    write_text(folder / CONFIG_FILE, config.model_dump_json(indent=2))


def save_fit(folder: Path, fit: WaveFit) -> None:
    """Write the simulator parameters per class and lead."""
    save_tensors({"parameters": fit.parameters, "omega": fit.omega, "r2": fit.r2}, folder / WAVE_FIT_FILE)


def load_config(folder: str | Path) -> ModelConfig:
    """Read `config.json`.

    Raises:
        ModelFolderError: it is missing, damaged or of another format.
    """
    path = Path(folder) / CONFIG_FILE
    try:
        written = path.read_bytes()
        # Before anything else, since a file of another format fails in its fields too, which says less.
        if (found := _Format.model_validate_json(written).format_version) != FORMAT_VERSION:
            raise ModelFolderError(f"{path} has format {found}, this code reads {FORMAT_VERSION}; train again")
        return ModelConfig.model_validate_json(written)
    except FileNotFoundError:
        raise ModelFolderError(f"{path} is missing; {folder} is not a model folder, or training did not end") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelFolderError(
            f"{path} is damaged or from another version ({where}: {first['msg']}); train again"
        ) from None


def condition_embedder(config: ModelConfig, knowledge: pa.Table | None) -> ConditionEmbedder:
    """What makes tensors of conditions as a model was trained with them.

    Args:
        config: of the model.
        knowledge: entries that are retrieved; None or an empty table for none.
    """
    shape = config.generator.denoiser
    return ConditionEmbedder(
        local_embeddings(),
        knowledge if knowledge is not None and knowledge.num_rows else None,
        config.statements,
        shape.statement_tokens,
        shape.knowledge_tokens,
        config.retrieval,
    )


def load_generator(folder: str | Path) -> Generator | FlowGenerator:
    """Read a trained generator onto the CPU; its configuration says which kind it is.

    Raises:
        ModelFolderError: a file is missing or damaged, or does not fit the configuration.
    """
    config = load_config(folder).generator
    generator = FlowGenerator(config) if isinstance(config, FlowConfig) else Generator(config)
    for name, network in networks(generator).items():
        path = Path(folder) / name
        try:
            network.load_state_dict(_read(path))
        except RuntimeError as error:
            detail = str(error).splitlines()[0]
            raise ModelFolderError(f"{path} does not fit {CONFIG_FILE} ({detail}); train again") from None
    if isinstance(generator, FlowGenerator):
        generator.rejection = Rejection.of_tensors(_read(Path(folder) / REJECTION_FILE), generator.prior)
    return generator.requires_grad_(False)


def load_latent_diffusion(folder: str | Path) -> Generator:
    """Read a trained generator that has an autoencoder.

    Raises:
        ModelFolderError: as of `load_generator`, or it is a flow.
    """
    generator = load_generator(folder)
    if not isinstance(generator, Generator):
        raise ModelFolderError(f"{folder} holds a flow, which has no autoencoder; name a model of latent diffusion")
    return generator


def load_fit(folder: str | Path) -> WaveFit:
    """Read the simulator parameters per class and lead; class names are `ModelConfig.wave_classes`.

    Raises:
        ModelFolderError: the file is missing or damaged.
    """
    return WaveFit(**_read(Path(folder) / WAVE_FIT_FILE))


def networks(generator: Generator | FlowGenerator) -> Mapping[str, nn.Module]:
    """File of its weights to each network that a generator has."""
    found: dict[str, nn.Module]
    if isinstance(generator, FlowGenerator):
        found = {PRIOR_FILE: generator.prior, FLOW_FILE: generator.denoiser, FILTER_FILE: generator.filter}
        return found | ({} if generator.student is None else {STUDENT_FILE: generator.student})
    found = {
        AUTOENCODER_FILE: generator.autoencoder,
        BEAT_DECODER_FILE: generator.beat_decoder,
        DENOISER_FILE: generator.denoiser,
    }
    if generator.detail is not None:
        found[DETAIL_FILE] = generator.detail
    if generator.prior is not None:
        found[PRIOR_FILE] = generator.prior
    return found


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ModelFolderError(f"{path} is missing; the model folder is incomplete, train again") from None
    except SafetensorError as error:
        raise ModelFolderError(f"{path} is damaged ({error}); train again") from None
