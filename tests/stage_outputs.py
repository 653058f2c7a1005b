"""Every stage run once, small and seeded, on inputs that no other stage made: for digests of outputs, and other tests.

Each stage has its own inputs, made by tests, so that a change of one stage shows in its own output only. The one
exception is the generator, which is trained on the autoencoder trained here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from models.architecture import AlignmentArchitecture, BeatEncoderArchitecture, ClassifierArchitecture
from tasks.evaluation import task as evaluation
from tasks.evaluation.networks import alignment, classifier, statement_classifier
from tasks.evaluation.task import evaluate_ecgs
from tasks.generation import task as generation
from tasks.generation.task import generate_ecgs
from tasks.ingestion.task import INGESTION, ingest_recordings, reference_source
from tasks.knowledge.task import KNOWLEDGE, build_knowledge
from tasks.privacy import beat_encoder, model_audit
from tasks.privacy import task as privacy
from tasks.privacy.model_audit import audit_model
from tasks.privacy.task import audit_ecgs
from tasks.release import task as release
from tasks.release.task import publish_release
from tasks.settings import (
    AlignmentSettings,
    BeatEncoderSettings,
    CohortSettings,
    ComputeSettings,
    EvaluationSettings,
    IngestionSettings,
    KnowledgeSettings,
    ModelAuditSettings,
    PrivacySettings,
    ReleaseSettings,
    RetrievalSettings,
    SimulationSettings,
    SourceSettings,
)
from tasks.settings.settings_section import Section
from tasks.simulation import task as simulation
from tasks.simulation.task import simulate_dataset
from tasks.stage import Stage
from tasks.training import autoencoder_task
from tasks.training.model_folder import load_generator
from tasks.training.task import TRAINING
from tests.facts import recordings_facts
from tests.fingerprints import Tolerances
from tests.models.test_conditioning import conditions
from tests.scripted_lines import ScriptedLines
from tests.tasks import clinic, small_training
from tests.tasks.knowledge.entries import entries
from tests.tasks.knowledge.patients import FACTS
from tests.tasks.knowledge.patients import recordings_table as patients_table
from tests.tiny_pipeline import TinyPipeline
from tests.varied_dataset import varied_dataset
from warehouse.storage.pseudonyms import KEY_VARIABLE
from warehouse.storage.reference import Reference
from warehouse.storage.store import Lineage, Store

SIMULATION: Final = SimulationSettings(recordings=120, seed=5, damaged_files=len(simulation.DAMAGES))
INGESTION_SETTINGS: Final = IngestionSettings(recordings_per_part=32, workers=1)
KNOWLEDGE_SETTINGS: Final = KnowledgeSettings(max_conditions=8)
COHORT: Final = CohortSettings(min_patients=5, size=10, sampler_steps=3, rows_per_part=4, batch_size=3)
OTHERWISE: Final = {
    "guidance": COHORT.model_copy(update={"sampler_steps": 2, "guidance": 2.0}),
    "no steps": COHORT.model_copy(update={"sampler_steps": 0}),
}
"""Ways of sampling besides the cohort's."""
# Few and small steps: Adam's are as large for a gradient that is nothing but rounding error as for any other, and after
# some dozens, what processors round differently has grown to differences as large as the weights.
EVALUATION: Final = EvaluationSettings(
    classifier=ClassifierArchitecture(width=8, stages=3, features=16),
    classifier_steps=3,
    batch_size=32,
    learning_rate=1e-4,
    discriminator_steps=3,
    bootstrap_samples=20,
    alignment=AlignmentSettings(
        architecture=AlignmentArchitecture(width=8, stages=3, features=16, embedding=8),
        steps=4,
        batch_size=24,
        learning_rate=1e-4,
        check_every_steps=2,
    ),
)
# 200 members and 25 non-members leave an interval of about ±0.13 around 0.5; 50 held-out people make a radius of 2 %.
PRIVACY: Final = PrivacySettings(
    encoder=BeatEncoderSettings(
        architecture=BeatEncoderArchitecture(width=16, embedding=32), steps=60, batch_patients=48, learning_rate=2e-3
    ),
    bootstrap_samples=60,
    max_membership_auc=0.75,
    max_membership_tpr_at_10=0.4,
    max_beat_share=0.05,
    min_group_patients=5,
)
MODEL_AUDIT: Final = ModelAuditSettings(
    shadow_priors=4, keyed_people=5, keyed_seeds=3, shadow_denoisers=4, denoiser_recordings=24
)
HARDLY_TRAINED: Final = PRIVACY.model_copy(
    update={"encoder": PRIVACY.encoder.model_copy(update={"steps": 4, "learning_rate": 1e-4})}
)
"""Of the digests, for the reason above: its encoder recognises nobody, so nothing is shown by what the audit finds."""
# What rounding does was found on a processor told to be three (AVX-512, AVX2, SSE; one and two threads), and each
# tolerance is at least three times what it did there.
EXACT: Final[Tolerances] = (("", 3e-4),)
"""One sample in a thousand may round to the next microvolt."""
# A beat at the edge of a radius counts or does not.
AUDITED: Final[Tolerances] = (("share|power|AUC|^MANIFEST|records_at_risk", 0.5), ("", 0.1))
GENERATED: Final[Tolerances] = (("", 2e-3),)
"""In single precision, ECGs of the same weights differ by some millionths; they are stored in whole microvolts."""
NETWORKS: Final[Tolerances] = (
    ("^MANIFEST.*prior", 0.5),
    ("^MANIFEST", 0.02),
    # Weights whose gradient is next to nothing: Adam makes its rounding errors as large as any other. The prior learns
    # levels along the axes of fewer recordings than levels, most of which are nothing but rounding errors.
    (r"^prior|levels|embed|modulation|place\.bias|spectrum\.(scatter|weight)", None),
    ("", 0.1),
)
EVALUATED: Final[Tolerances] = (
    ("AUC|F1|accuracy", 0.5),  # ranks and thresholds of few recordings: one that changes places is much
    ("floor-corrected|^MANIFEST", 0.4),  # a ratio of two differences, both small
    ("precision|recall|density|coverage|CLIP", 0.1),
    ("", 0.02),
)
RELEASE: Final = ReleaseSettings(name="tiny", title="Tiny cohort", citation="Nobody 2026")


@dataclass(frozen=True)
class Output:
    """What a stage made of what.

    Attributes:
        folder: what it made.
        settings: sections that shaped it.
        tolerances: by how much rounding may move its numbers.
        inputs: name to folder, of what tests made.
        after: stages that made the other inputs.
        beside: what it does or would do beside it, as JSON values or arrays.
        copied: places of what it took over from its inputs as it was.
    """

    stage: Stage
    folder: Path
    settings: tuple[Section, ...]
    tolerances: Tolerances
    inputs: dict[str, Path] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    beside: dict[str, Any] = field(default_factory=dict)
    copied: str | None = None


class StageOutputs:
    """Runs stages in a folder, each when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _store(self, name: str) -> Store:
        return Store(str(self.root / name))

    @cached_property
    def simulated(self) -> tuple[Store, Reference]:
        """A simulated dataset with one file damaged in every way there is."""
        store = self._store("simulation")
        return store, simulate_dataset.fn(SIMULATION, str(store.root))

    @cached_property
    def ingested(self) -> tuple[Store, Reference]:
        """Recordings on both sides of every quality threshold, and some that are refused."""
        store = self._store("ingestion")
        folder, uri = varied_dataset(self.root / "ptbxl").folder, str(store.root)
        source = reference_source.fn(SourceSettings(kind="ptbxl", path=str(folder)), uri)
        with patch.dict("os.environ", {KEY_VARIABLE: "5a" * 32}):
            return store, ingest_recordings.fn(INGESTION_SETTINGS, "ptbxl", source, ComputeSettings(), uri)

    @cached_property
    def described(self) -> tuple[Store, Reference, list[Any]]:
        """A knowledge base by a scripted model, and all that the model was asked."""
        store = self._store("knowledge")
        with store.stage("recordings", "patients") as staging:
            table = patients_table()
            staging.write_table("recordings", 0, table)
            lineage = Lineage(stage="test", code_version=1, settings={}, inputs=[])
            recordings = staging.commit(table.num_rows, lineage, recordings_facts(statements=FACTS))
        model = ScriptedLines()
        with patch("tasks.knowledge.language_models.chat_model", lambda _: model):
            return store, build_knowledge.fn(KNOWLEDGE_SETTINGS, recordings, str(store.root)), model.asked

    @cached_property
    def trained(self) -> tuple[Store, Reference]:
        """A trained generator."""
        # Ray Train looks at its workers every two seconds, longer than these runs last.
        with patch.dict("os.environ", {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1"}):
            return small_training.train(self.root / "training", small_training.small())

    @cached_property
    def clinic(self) -> tuple[Store, Reference, Reference, Reference]:
        """Recordings of a small clinic, a knowledge base and an untrained generator.

        In the default precision, two kinds of processor would round its ECGs to percents of difference.
        """
        store = self._store("clinic")
        recordings = clinic.put_recordings(store, clinic.recordings_table(60))
        model, knowledge = clinic.put_model(store, recordings, entries(clinic.STATEMENTS), precision="fp32")
        return store, model, knowledge, recordings

    @cached_property
    def generated(self) -> tuple[Store, Reference]:
        """A cohort of the clinic's generator."""
        store, *inputs = self.clinic
        return store, generate_ecgs.fn(COHORT, *inputs, ComputeSettings(), str(store.root))

    @cached_property
    def sampled(self) -> dict[str, np.ndarray]:
        """Two ECGs (2, 8, samples) in mV each, sampled in other ways and by another model than the cohort's."""
        store, model, _, recordings = self.clinic
        plain, _ = clinic.put_model(store, recordings, precision="fp32", simulated_ecg=False)
        generator, condition = load_generator(store.path(model)), conditions(2, statements=4, entries=3)
        found = {name: generator.sample(condition, [1, 2], **way.sampling).numpy() for name, way in OTHERWISE.items()}
        unfitted = COHORT.model_copy(update={"sampler_steps": 2})
        without = load_generator(store.path(plain)).sample(condition, [1, 2], **unfitted.sampling)
        return {**found, "no simulated ECG": without.numpy()}

    @cached_property
    def evaluated(self) -> tuple[Store, Reference, Reference, Reference]:
        """An evaluation, with its cohort and recordings."""
        store = self._store("evaluation")
        recordings = clinic.put_recordings(store, clinic.recordings_table(100))
        model, _ = clinic.put_model(store, recordings, precision="fp32")
        table = clinic.cohort_table(*clinic.people(40, seed=77))
        cohort = clinic.put_cohort(store, recordings, table, "good", model)
        found = evaluate_ecgs.fn(EVALUATION, cohort, recordings, ComputeSettings(), str(store.root))
        return store, found, cohort, recordings

    @cached_property
    def audited(self) -> tuple[Store, Reference, Reference, Reference]:
        """An audit of an honest cohort, with its cohort and recordings."""
        store = self._store("privacy")
        recordings = clinic.put_recordings(store, clinic.recordings_table(250))
        table = clinic.cohort_table(*clinic.people(160, seed=98))
        cohort = clinic.put_cohort(store, recordings, table, "honest")
        return store, audit_ecgs.fn(PRIVACY, cohort, recordings, ComputeSettings(), str(store.root)), cohort, recordings

    @cached_property
    def model_audited(self) -> tuple[Store, Reference, Reference, Reference]:
        """The audit of a generator that learned from nobody, the generator, and recordings."""
        store = self._store("model privacy")
        recordings = clinic.put_recordings(store, clinic.recordings_table(250))
        model, _ = clinic.put_model(store, recordings)
        inputs = (MODEL_AUDIT, PRIVACY, model, recordings)
        return store, audit_model.fn(*inputs, ComputeSettings(), str(store.root)), model, recordings

    @cached_property
    def published(self) -> tuple[Store, Reference]:
        """A release."""
        store = self._store("release")
        given = TinyPipeline(store).commit()
        inputs = (given.cohort, given.evaluation, given.audit, given.model)
        return store, publish_release.fn(RELEASE, *inputs, str(store.root))

    def of_simulation(self) -> Output:
        store, made = self.simulated
        return Output(simulation.STAGE, store.path(made), (SIMULATION,), EXACT)

    def of_ingestion(self) -> Output:
        store, made = self.ingested
        inputs = {"source": self.root / "ptbxl"}
        return Output(INGESTION, store.path(made), (INGESTION_SETTINGS,), EXACT, inputs)

    def of_knowledge(self) -> Output:
        store, made, asked = self.described
        inputs = {"recordings": store.folder("recordings", "patients")}
        return Output(KNOWLEDGE, store.path(made), (KNOWLEDGE_SETTINGS,), EXACT, inputs, beside={"asked": asked})

    def of_autoencoder(self) -> Output:
        store, model = self.trained
        made, inputs = small_training.autoencoder_of(store, model), {"recordings": store.folder("recordings", "tiny")}
        return Output(autoencoder_task.STAGE, store.path(made), (small_training.small(),), NETWORKS, inputs)

    def of_generator(self) -> Output:
        store, made = self.trained
        given = {one.kind: store.path(one) for one in store.manifest(made).lineage.inputs}
        inputs = {kind: given[kind] for kind in ("recordings", "knowledge")}
        settings = (small_training.small(), RetrievalSettings())
        after, copied = (autoencoder_task.STAGE.name,), r"^(autoencoder|beat_decoder|detail)\.safetensors/."
        return Output(TRAINING, store.path(made), settings, NETWORKS, inputs, after, copied=copied)

    def of_generation(self) -> Output:
        store, made = self.generated
        inputs = {one.kind: store.path(one) for one in store.manifest(made).lineage.inputs}
        return Output(generation.STAGE, store.path(made), (COHORT,), GENERATED, inputs, beside=self.sampled)

    def of_classifier(self) -> Output:
        return self._beside_evaluation(classifier.STAGE)

    def of_statement_classifier(self) -> Output:
        return self._beside_evaluation(statement_classifier.STAGE)

    def of_alignment(self) -> Output:
        return self._beside_evaluation(alignment.STAGE)

    def _beside_evaluation(self, stage: Stage) -> Output:
        """One of the networks that the evaluation trained."""
        store, _, _, recordings = self.evaluated
        (made,) = [one for one in store.committed(stage.makes) if one.lineage.stage == stage.name]
        folder, inputs = store.folder(stage.makes, made.id), {"recordings": store.path(recordings)}
        return Output(stage, folder, (EVALUATION,), NETWORKS, inputs)

    def of_evaluation(self) -> Output:
        store, made, cohort, recordings = self.evaluated
        behind = {one.kind: store.path(one) for one in store.manifest(cohort).lineage.inputs}
        inputs = {"cohort": store.path(cohort), "recordings": store.path(recordings), "model": behind["model"]}
        after = (classifier.STAGE.name, statement_classifier.STAGE.name, alignment.STAGE.name)
        return Output(evaluation.STAGE, store.path(made), (EVALUATION,), EVALUATED, inputs, after)

    def of_beat_encoder(self) -> Output:
        store, _, _, recordings = self.audited
        made = beat_encoder.beat_encoder(HARDLY_TRAINED, recordings, store)
        inputs = {"recordings": store.path(recordings)}
        return Output(beat_encoder.STAGE, store.path(made), (HARDLY_TRAINED,), NETWORKS, inputs)

    def of_audit(self) -> Output:
        store, _, cohort, recordings = self.audited
        made = audit_ecgs.fn(HARDLY_TRAINED, cohort, recordings, ComputeSettings(), str(store.root))
        inputs = {"cohort": store.path(cohort), "recordings": store.path(recordings)}
        return Output(privacy.STAGE, store.path(made), (HARDLY_TRAINED,), AUDITED, inputs, (beat_encoder.STAGE.name,))

    def of_model_audit(self) -> Output:
        store, made, model, recordings = self.model_audited
        inputs = {"model": store.path(model), "recordings": store.path(recordings)}
        return Output(model_audit.STAGE, store.path(made), (MODEL_AUDIT, PRIVACY), AUDITED, inputs)

    def of_release(self) -> Output:
        _, made = self.published
        return Output(release.STAGE, Path(made.uri), (RELEASE,), EXACT)


OUTPUTS: Final[dict[str, Callable[[StageOutputs], Output]]] = {
    simulation.STAGE.name: StageOutputs.of_simulation,
    INGESTION.name: StageOutputs.of_ingestion,
    KNOWLEDGE.name: StageOutputs.of_knowledge,
    autoencoder_task.STAGE.name: StageOutputs.of_autoencoder,
    TRAINING.name: StageOutputs.of_generator,
    generation.STAGE.name: StageOutputs.of_generation,
    classifier.STAGE.name: StageOutputs.of_classifier,
    statement_classifier.STAGE.name: StageOutputs.of_statement_classifier,
    alignment.STAGE.name: StageOutputs.of_alignment,
    evaluation.STAGE.name: StageOutputs.of_evaluation,
    beat_encoder.STAGE.name: StageOutputs.of_beat_encoder,
    privacy.STAGE.name: StageOutputs.of_audit,
    model_audit.STAGE.name: StageOutputs.of_model_audit,
    release.STAGE.name: StageOutputs.of_release,
}
"""Name of a stage to its small run."""
