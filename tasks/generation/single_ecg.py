"""One ECG for a request in words, drawn on paper: no Prefect, no Ray, a trained model is enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.ecg.measurements import measure
from models.ecg.r_peaks import locate_r_peaks
from tasks.conditions.condition import Condition, ConditionEmbedder, condition_from_text, describe
from tasks.conditions.statement_reader import StatementReader
from tasks.drawing.ecg_paper import draw_ecg
from tasks.knowledge.embeddings import local_embeddings
from tasks.settings import CohortSettings, KnowledgeSettings
from tasks.training.model_folder import load_config, load_generator
from warehouse.errors import WarehouseError
from warehouse.storage.reference import Reference
from warehouse.storage.store import Manifest, Store

PICTURE_DPI = 150


def draw_single_ecg(
    store: Store,
    text: str,
    age: float | None,
    sex: str | None,
    heart_rate: float | None,
    seed: int,
    model_id: str | None,
    out: Path,
) -> str:
    """Generate one ECG and draw it.

    Args:
        store: the warehouse that holds the model.
        text: what the ECG shows, in words.
        age, sex, heart_rate: years, "female" or "male", beats per minute; None leaves it to the model.
        seed: the same request and seed give the same ECG.
        model_id: id of a model, or None for the newest.
        out: picture to write; its ending decides the format.

    Returns:
        One line that says what was drawn, measured on the waveform.

    Raises:
        WarehouseError: there is no such model.
        ConditionError: the request cannot be understood.
    """
    manifest = _model(store, model_id)
    reference = store.find("model", manifest.id)
    if reference is None:
        raise WarehouseError(f"model {manifest.id} is no longer in {store.root}")
    folder = store.path(reference)
    config, generator = load_config(folder), load_generator(folder)
    knowledge_settings, knowledge = _knowledge(store, manifest)
    embeddings = local_embeddings()
    condition = condition_from_text(
        text, age, sex, heart_rate, StatementReader(embeddings, config.statements), config.statements
    )
    shape = config.generator.denoiser
    table = store.read(knowledge, "knowledge") if knowledge and knowledge.rows else None
    embedder = ConditionEmbedder(
        embeddings, table, config.statements, shape.statement_tokens, shape.knowledge_tokens, knowledge_settings
    )
    tensors, _ = embedder([condition])
    sampling = CohortSettings()
    signal = generator.sample(
        tensors,
        [seed],
        steps=sampling.sampler_steps,
        guidance=sampling.guidance,
        detail_steps=sampling.detail_steps,
        trait_guidance=sampling.trait_guidance,
    ).numpy()
    rate_hz = config.generator.sampling_rate_hz
    measured = measure(signal, locate_r_peaks(signal, rate_hz), rate_hz)
    subtitle = f"{_asked(condition, config.statements)}  |  {_found(measured)}  |  seed {seed}, model {manifest.id}"
    mark = "SYNTHETIC, learned from simulated recordings" if config.simulated else "SYNTHETIC"
    figure = draw_ecg(signal[0], rate_hz, text, subtitle, mark)
    # Without a date in the file, the same request gives the same bytes.
    figure.savefig(
        out,
        dpi=PICTURE_DPI,
        metadata={"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[out.suffix.lower()[1:]],
    )
    return f"{out}: {text}; {_found(measured)}"


def _model(store: Store, model_id: str | None) -> Manifest:
    models = store.committed("model")
    if model_id is not None:
        models = [manifest for manifest in models if manifest.id == model_id]
    if not models:
        wanted = f"model {model_id}" if model_id else "trained model"
        raise WarehouseError(f"{store.root} holds no {wanted}; train one with `einthoven train --profile demo`")
    return models[-1]


def _knowledge(store: Store, model: Manifest) -> tuple[KnowledgeSettings, Reference | None]:
    """The knowledge base that the model learned with, and the settings it was built with."""
    for reference in model.lineage.inputs:
        if reference.kind == "knowledge" and store.find("knowledge", reference.id):
            return KnowledgeSettings.model_validate(store.manifest(reference).lineage.settings), reference
    return KnowledgeSettings(), None


def _asked(condition: Condition, statements: dict[str, dict[str, str]]) -> str:
    parts = [", ".join(describe(code, statements) for code in condition.statements) or "free text"]
    if condition.age_years is not None:
        parts.append(f"{condition.age_years:.0f} years")
    if condition.sex is not None:
        parts.append(condition.sex)
    if condition.heart_rate_bpm is not None:
        parts.append(f"{condition.heart_rate_bpm:.0f} bpm asked")
    return ", ".join(parts)


def _found(measured: dict[str, np.ndarray]) -> str:
    names = (("heart_rate_bpm", "heart rate {:.0f} bpm"), ("qrs_ms", "QRS {:.0f} ms"), ("qtc_ms", "QTc {:.0f} ms"))
    values = [(form, float(measured[name][0])) for name, form in names]
    return ", ".join(form.format(value) for form, value in values if np.isfinite(value)) or "no beats found"
