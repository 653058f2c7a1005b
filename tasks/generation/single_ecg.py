"""One ECG for a request in words, drawn on paper: no Prefect, no Ray, a trained model is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.ecg.measurements import measure
from models.ecg.r_peaks import locate_r_peaks
from tasks.conditions.reading.reader import StatementReader
from tasks.conditions.request import ConditionError, UnderstoodRequest, understand
from tasks.drawing.ecg_paper import draw_ecg
from tasks.generation.steering import steering
from tasks.settings import CohortSettings
from tasks.training.model_folder import condition_embedder, load_config, load_generator
from warehouse.errors import WarehouseError
from warehouse.storage.store import Manifest, Store

PICTURE_DPI = 150


@dataclass(frozen=True)
class SingleEcg:
    """One generated ECG, what it was asked to show and how it was sampled.

    Attributes:
        signal: (8, samples) in mV, leads in the order of `INDEPENDENT_LEADS`.
        request: as it was understood.
        entries: ids of the knowledge entries retrieved for it, best first.
        cohort: id of the cohort that it was sampled like; None for default settings.
    """

    signal: np.ndarray
    request: UnderstoodRequest
    entries: list[str]
    cohort: str | None


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
        Lines that say what was understood; the last one says what was drawn, measured on the waveform, and how it was
        sampled.

    Raises:
        WarehouseError: there is no such model, or its knowledge base is gone.
        ConditionError: the request is not understood, contradictory or ambiguous.
    """
    model = _model(store, model_id)
    config = load_config(store.folder("model", model.id))
    rate_hz = config.generator.sampling_rate_hz
    ecg = sample_single_ecg(store, model, text, age, sex, heart_rate, seed)
    signal = ecg.signal[None]
    found = _found(measure(signal, locate_r_peaks(signal, rate_hz), rate_hz))
    subtitle = f"{_asked(ecg.request)}  |  {found}  |  seed {seed}, model {model.id}"
    mark = "SYNTHETIC, learned from simulated recordings" if config.simulated else "SYNTHETIC"
    figure = draw_ecg(ecg.signal, rate_hz, text, subtitle, mark)
    # Without a date in the file, the same request gives the same bytes.
    figure.savefig(
        out,
        dpi=PICTURE_DPI,
        metadata={"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[out.suffix.lower()[1:]],
    )
    like = f"like cohort {ecg.cohort}" if ecg.cohort else "with default settings, since the model has no cohort"
    return "\n".join([*ecg.request.lines(config.statements), f"{out}: {text}; {found}; sampled {like}"])


def sample_single_ecg(
    store: Store, model: Manifest, text: str, age: float | None, sex: str | None, heart_rate: float | None, seed: int
) -> SingleEcg:
    """Generate one ECG as the model's newest cohort was generated: its row with this condition and seed.

    Raises:
        WarehouseError: the model's knowledge base is gone.
        ConditionError: the request is not understood, contradictory or ambiguous, or every beat drawn for it lay too
            near to a training patient's.
    """
    folder = store.folder("model", model.id)
    config, generator = load_config(folder), load_generator(folder)
    (knowledge,) = [one for one in model.lineage.inputs if one.kind == "knowledge"]
    reader = StatementReader(config.statements, config.findings)
    request = understand(text, age, sex, heart_rate, reader, config.statements)
    known = _without(store.read(knowledge, "knowledge"), request.reading.excluded) if knowledge.rows else None
    tensors, entries = condition_embedder(config, known)([request.condition])
    cohorts = [one for one in store.committed("cohort") if any(made.id == model.id for made in one.lineage.inputs)]
    settings = CohortSettings.model_validate(cohorts[-1].lineage.settings) if cohorts else CohortSettings()
    how = settings.sampling | steering(generator, settings, [request.condition])
    signal = generator.sample(tensors, [seed], **how).numpy()
    if not np.isfinite(signal).all():
        raise ConditionError(
            f"seed {seed}: every beat drawn for this request lay as near to a training patient's as no stranger's does;"
            " give another --seed, or ask for something less particular"
        )
    return SingleEcg(signal[0], request, entries[0], cohorts[-1].id if cohorts else None)


def _model(store: Store, model_id: str | None) -> Manifest:
    models = store.committed("model")
    if model_id is not None:
        models = [manifest for manifest in models if manifest.id == model_id]
    if not models:
        wanted = f"model {model_id}" if model_id else "trained model"
        raise WarehouseError(f"{store.root} holds no {wanted}; train one with `einthoven train --profile demo`")
    return models[-1]


def _without(knowledge: pa.Table, excluded: Sequence[str]) -> pa.Table:
    """Knowledge that is not about excluded statements."""
    about = pc.is_in(knowledge["statement"], pa.array(excluded, pa.string()))
    return knowledge.filter(pc.invert(pc.fill_null(about, False)))


def _asked(request: UnderstoodRequest) -> str:
    condition = request.condition
    parts = [condition.text]
    if condition.age_years is not None:
        parts.append(f"{condition.age_years:.0f} years")
    if condition.sex is not None:
        parts.append(condition.sex)
    if condition.heart_rate_bpm is not None:
        parts.append(f"{condition.heart_rate_bpm:.0f} bpm asked")
    if request.reading.excluded_names:
        parts.append(f"no {' or '.join(request.reading.excluded_names)}")
    return ", ".join(parts)


def _found(measured: dict[str, np.ndarray]) -> str:
    names = (("heart_rate_bpm", "heart rate {:.0f} bpm"), ("qrs_ms", "QRS {:.0f} ms"), ("qtc_ms", "QTc {:.0f} ms"))
    values = [(form, float(measured[name][0])) for name, form in names]
    return ", ".join(form.format(value) for form, value in values if np.isfinite(value)) or "no beats found"
