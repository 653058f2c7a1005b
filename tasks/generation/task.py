"""Generation of a cohort: an actor pool of Ray Data, one Parquet file per part, each row from its own seed.

A part is the unit of resumption: it appears whole or not at all, and one that an interrupted run wrote is kept. A row
depends on the cohort seed, its number, the recordings and the model only, so the rows are the same however the work
was cut up.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from tasks.conditions.cohort_design import CohortDesign, design_cohort, row_seed
from tasks.conditions.condition import StatementFacts
from tasks.settings import CohortSettings, ComputeSettings
from tasks.stage import RUN_BY_PREFECT, Result, Stage, commit_once, run_logger
from warehouse.errors import EinthovenError
from warehouse.storage.facts import BeatRejectionFacts, CohortFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

STAGE = Stage("generate cohort", "cohort", code_version=13)
TABLE = "cohorts"
DESIGN_COLUMNS = ["patient_key", "split", "statements", "sex", "age_years", "heart_rate_bpm", "coded_views", "text"]


class GenerationError(EinthovenError):
    """A cohort cannot be generated from this model and these recordings."""


@task(name="generate ECGs", **RUN_BY_PREFECT)
def generate_ecgs(
    settings: CohortSettings,
    model: Reference,
    knowledge: Reference,
    recordings: Reference,
    compute: ComputeSettings,
    uri: str,
) -> Reference:
    """Generate a cohort, or find it.

    Args:
        settings: size, seed and sampling of the cohort.
        model: a trained generator.
        knowledge: the knowledge base that the model learned with; entries are retrieved as in training.
        recordings: the recordings whose training split says which conditions to ask for.
        compute: how Ray is used.
        uri: the warehouse.

    Returns:
        The reference of a `cohorts` dataset.

    Raises:
        GenerationError: no group of patients is large enough, the model has no such guidance, or its output is not
            finite.
    """
    store = Store(uri)

    def build(staging: Staging) -> Result:
        return _generate(staging, settings, model, knowledge, recordings, compute)

    return commit_once(STAGE, settings, [model, knowledge, recordings], store, build)


def _generate(
    staging: Staging,
    settings: CohortSettings,
    model: Reference,
    knowledge: Reference,
    recordings: Reference,
    compute: ComputeSettings,
) -> Result:
    from tasks.generation.cohort_table import summarise

    logger = run_logger()
    store = staging.store
    source = store.facts(recordings, RecordingsFacts)
    known = store.read(recordings, "recordings", DESIGN_COLUMNS)
    design = design_cohort(known.filter(pc.equal(known["split"], "train")), settings, source.statements)
    if not design.groups:
        raise GenerationError(
            f"no group of training patients in {recordings} has cohort.min_patients={settings.min_patients}; lower it"
        )
    logger.info(
        "cohort %s: %d groups of at least %d patients; %d of %d training recordings back off, %d fit no group",
        settings.name,
        len(design.groups),
        settings.min_patients,
        design.facts.backed_off,
        design.facts.training_recordings,
        design.facts.left_out,
    )
    parts = -(-settings.size // settings.rows_per_part)
    missing = [part for part in range(parts) if not staging.has_part(TABLE, part, noted=True)]
    if len(missing) < parts:
        logger.info("cohort %s: %d of %d parts are already there", settings.name, parts - len(missing), parts)
    speed = {}
    if missing:
        _check_sampling(store, model, settings)
        speed = _run_actors(
            staging,
            missing,
            settings,
            compute,
            {
                "cohort": staging.id,
                "settings": settings,
                "design": design,
                "model": model,
                "knowledge": knowledge,
                "statement_facts": source.statements,
                "simulated": source.simulated,
                "uri": str(store.root),
            },
        )
    facts = CohortFacts(
        name=settings.name,
        simulated=source.simulated,
        sampling_rate_hz=source.sampling_rate_hz,
        samples=source.samples,
        design=design.facts,
        **speed,
        **summarise(notes := [staging.note(TABLE, part) for part in range(parts)]),
    )
    if facts.beat_rejection and facts.beat_rejection.refused:
        logger.warning(
            "cohort %s: %d of %d rows are left out, for every beat drawn for them lay as near to a training patient's "
            "as no stranger's does",
            settings.name,
            facts.beat_rejection.refused,
            settings.size,
        )
    return Result(rows=sum(note["rows"] for note in notes), facts=facts)


def _check_sampling(store: Store, model: Reference, settings: CohortSettings) -> None:
    """Refuse guidance that the model does not have, and say what its training did not prepare for."""
    from models.architecture import GeneratorConfig
    from tasks.training.model_folder import load_config

    config = load_config(store.path(model)).generator
    if not isinstance(config, GeneratorConfig):
        return
    if settings.guide_guidance != 1:
        raise GenerationError(
            f"model {model.id} is no flow and has no cohort.guide_guidance={settings.guide_guidance:g}; leave it at 1"
        )
    fitted = [len(rule.times) for rule in config.solvers]
    if settings.sampler_steps not in fitted:
        run_logger().info(
            "cohort %s: the model has no solver fitted for cohort.sampler_steps=%d (it has for %s), so that each actor "
            "first finds on 128 ECGs what to correct",
            settings.name,
            settings.sampler_steps,
            ", ".join(map(str, fitted)) or "none",
        )


def _run_actors(
    staging: Staging, missing: list[int], settings: CohortSettings, compute: ComputeSettings, shared: dict[str, Any]
) -> dict[str, float]:
    """Let an actor pool write the missing parts; returns how fast it was."""
    import ray
    import ray.data

    from tasks.cluster import connect

    connect(compute)
    logger = run_logger()
    cpus = int(ray.cluster_resources().get("CPU", 1))
    workers = max(1, min(settings.workers, len(missing), cpus))
    threads = max(1, cpus // workers)
    rows_of = lambda part: min(settings.rows_per_part, settings.size - part * settings.rows_per_part)  # noqa: E731
    wanted = sum(map(rows_of, missing))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    started, done = time.monotonic(), 0
    written = ray.data.from_items([{"part": part} for part in missing], override_num_blocks=len(missing)).map_batches(
        PartWriter,
        fn_constructor_kwargs={**shared, "threads": threads},
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=threads,
        num_gpus=1 if settings.use_gpu else 0,
    )
    # Without prefetching, a part is heard of when it is done and not one part later.
    for batch in written.iter_batches(batch_size=1, prefetch_batches=0):
        if failure := str(batch["failure"][0]):
            raise GenerationError(failure)
        done += int(batch["rows"][0])
        rate = done / (time.monotonic() - started)
        logger.info(
            "cohort %s: %d/%d ECGs, %.1f records/s, about %.0f s left",
            settings.name,
            done,
            wanted,
            rate,
            (wanted - done) / rate,
        )
    seconds = time.monotonic() - started
    return {"records_per_second": round(wanted / seconds, 2), "generation_seconds": round(seconds, 1)}


class PartWriter:
    """A Ray actor that generates parts: it loads the model and the embeddings once."""

    def __init__(
        self,
        cohort: str,
        settings: CohortSettings,
        design: CohortDesign,
        model: Reference,
        knowledge: Reference,
        statement_facts: StatementFacts,
        simulated: bool,
        uri: str,
        threads: int,
    ) -> None:
        import torch

        from tasks.training.model_folder import condition_embedder, load_config, load_generator

        torch.set_num_threads(threads)
        self.store = Store(uri)
        self.cohort, self.settings, self.design = cohort, settings, design
        self.model_id, self.statement_facts, self.simulated = model.id, statement_facts, simulated
        folder = self.store.path(model)
        self.generator = load_generator(folder)
        if settings.use_gpu:
            self.generator.to("cuda")
        entries = self.store.read(knowledge, "knowledge") if knowledge.rows else None
        self.embedder = condition_embedder(load_config(folder), entries)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Write one part; returns its row count, or what failed (Ray would wrap an exception in its own)."""
        from tasks.generation.cohort_table import part_note

        part = int(batch["part"][0])
        first = part * self.settings.rows_per_part
        numbers = range(first, min(first + self.settings.rows_per_part, self.settings.size))
        failure = ""
        try:
            table, rejected, draws = self.generate(numbers)
            note = part_note(table, rejected, draws)
            Staging(self.store, "cohort", self.cohort).write_table(TABLE, part, table, note)
        except EinthovenError as error:
            failure = str(error)
        return {"part": batch["part"], "rows": np.array([len(numbers)]), "failure": np.array([failure])}

    def generate(self, numbers: range) -> tuple[pa.Table, BeatRejectionFacts | None, dict[str, int]]:
        """The rows of a cohort with these row numbers, as the table keeps them, without those that are refused.

        Returns:
            The rows; how many beats were rejected, None for a model that rejects none; number of a draw of rhythm and
            beats to how many rows took it, of those that claims steer.

        Raises:
            GenerationError: the model's output is not finite.
        """
        from models.flow.generator import FlowGenerator
        from tasks.generation.cohort_table import cohort_table
        from tasks.generation.steering import steering

        conditions = [self.design.ask(self.settings.seed, row, self.statement_facts) for row in numbers]
        given_up = [self.design.group(self.settings.seed, row).given_up for row in numbers]
        seeds = [row_seed(self.settings.seed, row) for row in numbers]
        signals: list[np.ndarray] = []
        redraws: list[np.ndarray] = []
        refused: list[np.ndarray] = []
        draws: Counter[str] = Counter()
        entries: list[list[str]] = []
        rejects = isinstance(self.generator, FlowGenerator) and self.generator.rejection is not None
        for at in range(0, len(numbers), self.settings.batch_size):
            batch = slice(at, at + self.settings.batch_size)
            tensors, found = self.embedder(conditions[batch])
            if isinstance(self.generator, FlowGenerator):
                how = self.settings.sampling | steering(self.generator, self.settings, conditions[batch])
                sampled = self.generator.sampled(tensors, seeds[batch], **how)
                signals.append(sampled.signal.numpy())
                redraws.append(sampled.redraws.numpy())
                refused.append(sampled.refused.numpy())
                draws.update(str(draw) for draw in sampled.draws if draw)
            else:
                signals.append(self.generator.sample(tensors, seeds[batch], **self.settings.sampling).numpy())
                refused.append(np.zeros(len(found), dtype=bool))
            entries.extend(found)
        signal, left_out = np.concatenate(signals), np.concatenate(refused)
        kept = np.flatnonzero(~left_out).tolist()
        if bad := [numbers[row] for row in kept if not np.isfinite(signal[row]).all()]:
            raise GenerationError(
                f"model {self.model_id} generated values that are not finite for {len(bad)} rows (first: {bad[0]}); "
                "train it longer or lower cohort.guidance"
            )
        table = cohort_table(
            self.cohort,
            [numbers[row] for row in kept],
            [seeds[row] for row in kept],
            [conditions[row] for row in kept],
            [given_up[row] for row in kept],
            [entries[row] for row in kept],
            signal[kept],
            self.generator.config.sampling_rate_hz,
            self.model_id,
            self.simulated,
            self.statement_facts,
        )
        if not rejects:
            return table, None, dict(draws)
        again = np.concatenate(redraws)
        rejected = BeatRejectionFacts(
            redrawn=int((again > 0).sum()), redraws=int(again.sum()), refused=int(left_out.sum())
        )
        return table, rejected, dict(draws)
