"""Can the privacy audit find leaks, and does it pass what does not leak?

`python -m benchmarks.privacy [--profile P] [--data PATH] [--cohort ID] [--rows N]` attacks a cohort of the profile's
warehouse, or without one a cohort that cannot leak: mean beats of half of the validation patients, put into the rhythms
of others of them, against training, test and the other half of the validation recordings. It reports the power of
every attack against every kind of canary, the verdict on releases with planted leaks, time and memory, and what the
beat gate says of people like the training patients.
"""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.privacy_people import people_like_training
from benchmarks.record import Check, arguments, publish
from flows.profiles import load_settings
from models.ecg.measurements import measure
from models.ecg.r_peaks import in_samples
from models.evaluation.metrics import wilson
from models.privacy import canaries
from models.privacy.canaries import Ecgs
from tasks.ecg_sets import ASKED_COLUMNS, EcgSet, read_cohort, read_recordings, read_reported
from tasks.evaluation.networks.classifier import load_classifier
from tasks.privacy.attacks.membership import THROUGHOUT
from tasks.privacy.audit import Attacks, audit
from tasks.privacy.audited import IDENTIFYING, NEEDED_SHARE, Audited, planted_rows
from tasks.privacy.beat_encoder import beat_encoder, load_encoder
from tasks.settings import PrivacySettings
from warehouse.errors import EinthovenError
from warehouse.schema import cohorts
from warehouse.storage.facts import AuditFacts, RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import to_measured_columns, to_r_peak_column

SHARES: Final = (0.0, 0.005, 0.01, 0.02, 0.05, 0.2, 0.5)
ROWS, QUICK_ROWS = 20_000, 2_000
MADE_AT_ONCE: Final = 1024
MINUTES, GIGABYTES = 15.0, 4.0
CONDITION_COLUMNS: Final = ("statements", "age_years", "sex", *ASKED_COLUMNS)


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark and write its record."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--cohort", help="id of a cohort in the warehouse; without it, one that cannot leak")
    parser.add_argument("--rows", type=int, help=f"ECGs of the cohort that cannot leak (default: {ROWS})")
    given = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    settings = load_settings(given.profile, given.set, given.data)
    store = Store(settings.warehouse.uri)
    started = time.monotonic()
    recordings, cohort = _inputs(store, given.cohort)
    encoder = beat_encoder(settings.privacy, recordings, store)
    audited = _audited(
        store, settings.privacy, recordings, cohort, encoder, given.rows or (QUICK_ROWS if given.quick else ROWS)
    )
    trained, begun = time.monotonic() - started, time.monotonic()
    attacks = Attacks.on(audited, settings.privacy)
    about = store.facts(recordings, RecordingsFacts)
    found = audit(audited, attacks, about.statements, settings.privacy, logging.getLogger("einthoven"), encoder.id)
    seconds = time.monotonic() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    planted = planted_releases(audited, attacks, settings.privacy.seed)
    checks = [
        Check(name="audit", value=seconds / 60, unit="min", target=MINUTES, comparison="<=", n=len(audited.synthetic)),
        Check(name="largest memory", value=memory, unit="GB", target=GIGABYTES, comparison="<="),
        *_recognition(found.rows),
        *_bounds(found.rows),
        *_power(found.facts, settings.privacy),
        *_refused(planted),
        *(
            check
            for space in (audited.spaces[0], audited.event_space)
            for check in people_like_training(audited, space, settings.privacy.seed)
        ),
    ]
    publish(
        "privacy",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={
            "profile": given.profile,
            "cohort": given.cohort or "cannot leak",
            "rows": len(audited.synthetic),
            "members": len(audited.members),
            "non-members": len(audited.non_members),
            "privacy": settings.privacy.model_dump(mode="json"),
        },
        details={
            "verdict": found.facts.verdict,
            "failed": found.facts.failed,
            "powerless": found.facts.powerless,
            "preparation_s": round(trained, 1),
            "planted releases": planted,
            "power": [one.model_dump() for one in found.facts.power],
        },
    )


def _inputs(store: Store, cohort_id: str | None) -> tuple[Reference, Reference | None]:
    """Recordings and cohort: those of the id, or the latest recordings."""
    if cohort_id is None:
        if not (kept := store.committed("recordings")):
            raise EinthovenError(f"{store.root} holds no recordings; run `einthoven ingest` first")
        found = store.find("recordings", max(kept, key=lambda one: one.created_at).id)
        assert found is not None
        return found, None
    cohort = store.find("cohort", cohort_id)
    if cohort is None:
        raise EinthovenError(f"cohort {cohort_id} is not in {store.root}")
    (recordings,) = [one for one in store.manifest(cohort).lineage.inputs if one.kind == "recordings"]
    return recordings, cohort


def _audited(
    store: Store, settings: PrivacySettings, recordings: Reference, cohort: Reference | None, encoder: Reference, n: int
) -> Audited:
    members, validation = (read_recordings(store, recordings, split) for split in ("train", "validation"))
    test = read_reported(store, recordings, "test")
    rate_hz = store.facts(recordings, RecordingsFacts).sampling_rate_hz
    if cohort is None:
        synthetic, validation = cannot_leak(validation, n, rate_hz, settings.seed)
    else:
        synthetic = read_cohort(store, cohort)
    kept = [
        one for one in store.committed("classifier") if any(each.id == recordings.id for each in one.lineage.inputs)
    ]
    return Audited(
        synthetic=synthetic,
        members=members,
        reference=validation,
        non_members=test,
        rate_hz=rate_hz,
        encoder=load_encoder(store.path(encoder)),
        classifier=load_classifier(store.folder("classifier", kept[-1].id)) if kept else None,
        seed=settings.seed,
    )


def cannot_leak(people: EcgSet, n: int, rate_hz: int, seed: int) -> tuple[EcgSet, EcgSet]:
    """A cohort of `n` ECGs from half of the patients of `people`, and the recordings of the other half.

    An ECG is one recording whose mean beat is replaced by that of another; both are of people who are not in training.
    """
    rng = np.random.default_rng(seed)
    everyone = np.unique(people.patients)
    half = np.isin(people.patients, rng.choice(everyone, len(everyone) // 2, replace=False))
    given, rest = people.take(half), people.take(~half)
    sources, hosts = rng.integers(len(given), size=n), rng.integers(len(given), size=n)
    ecgs = Ecgs(given.signal, in_samples(given.r_peaks_s, rate_hz))
    signal, measured = np.empty((n, *given.signal.shape[1:]), np.float32), []
    for at in range(0, n, MADE_AT_ONCE):
        rows = slice(at, at + MADE_AT_ONCE)
        made = canaries.planted(
            canaries.BEATS, ecgs.take(sources[rows]), ecgs.take(hosts[rows]), rate_hz, np.arange(n)[rows]
        )
        signal[rows] = made.signal
        measured.append(pa.table(to_measured_columns(measure(made.signal, made.r_peaks, rate_hz))))
    r_peaks = [ecgs.r_peaks[host] for host in hosts]
    held = given.table.column("superclasses").to_pylist()
    columns: dict[str, Any] = {
        # Nothing is asked for that few patients share: this is about waveforms.
        **{name: pa.nulls(n, cohorts().field(name).type) for name in CONDITION_COLUMNS},
        "superclasses": [(held[source] or [])[:1] for source in sources],
        "text": [""] * n,
        "r_peak_s": to_r_peak_column(r_peaks, rate_hz),
        **dict(zip(measured[0].column_names, pa.concat_tables(measured).columns, strict=True)),
    }
    patients = np.array([f"synthetic {row}" for row in range(n)], dtype=object)
    return EcgSet(pa.table(columns), signal, patients), rest


def planted_releases(audited: Audited, attacks: Attacks, seed: int) -> list[dict[str, Any]]:
    """Which bounds are broken by releases with a share of canaries of each kind."""
    rng, rows, found = np.random.default_rng(seed), len(audited.synthetic), []
    for kind in canaries.KINDS:
        pool = len(audited.planted[kind].sources)
        for share in SHARES:
            count = planted_rows(share, rows) if share else 0
            chosen = rng.choice(pool, count, replace=count > pool)
            if count == 0:
                broken = [f"{row['attack']}: {row['metric']}" for row in _failed(attacks)]
            else:
                bounds = [bound for attack in attacks.all() for bound in attack.broken(kind, chosen, rows).items()]
                broken = [f"{attack}: {metric}" for (attack, metric), is_broken in bounds if is_broken]
            found.append(
                {"canary": kind, "share": share, "verdict": "refused" if broken else "passed", "broken": broken}
            )
    return found


def _failed(attacks: Attacks) -> list[dict[str, Any]]:
    return [row for attack in attacks.all() for row in attack.rows() if row["passed"] is False]


def _recognition(rows: list[dict[str, Any]]) -> list[Check]:
    found = []
    for row in rows:
        if row["attack"].startswith(f"recognition of real people, {IDENTIFYING}"):
            at_least = row["metric"] != "equal error rate"
            found.append(
                Check(
                    name=f"{row['attack']}: {row['metric']}",
                    value=row["value"],
                    low=row["low"],
                    high=row["high"],
                    target=0.8 if at_least else 0.05,
                    comparison=">=" if at_least else "<=",
                    n=row["n"],
                )
            )
    return found


def _bounds(rows: list[dict[str, Any]]) -> list[Check]:
    return [
        Check(
            name=f"{row['attack']}: {row['metric']}",
            value=row["value"],
            low=row["low"],
            high=row["high"],
            n=row["n"],
            unit=f"(bound {row['threshold']:.4g}: {'kept' if row['passed'] else 'broken'})",
        )
        for row in rows
        if row["threshold"] is not None
    ]


def _power(facts: AuditFacts, settings: PrivacySettings) -> list[Check]:
    """Of the best attack against each kind of canary at the share that must be found."""
    checks = []
    for kind, share in (*((kind, NEEDED_SHARE) for kind in canaries.KINDS), (THROUGHOUT, 0.5)):
        rows = max(one.rows for one in facts.power)
        best = max(
            (one.power for one in facts.power if (one.canary, one.share, one.rows) == (kind, share, rows)), default=0.0
        )
        interval = wilson(round(best * settings.trials), settings.trials)
        name = f"power against {kind}, {share:.0%} of rows"
        checks.append(
            Check(
                name=name,
                value=best,
                low=interval.low,
                high=interval.high,
                target=settings.min_power,
                n=settings.trials,
            )
        )
    return checks


def _refused(planted: list[dict[str, Any]]) -> list[Check]:
    clean = [one for one in planted if one["share"] == 0]
    leaking = [one for one in planted if one["share"] >= NEEDED_SHARE]
    return [
        Check(
            name="release without leaks passes", value=float(all(one["verdict"] == "passed" for one in clean)), target=1
        ),
        Check(
            name="planted releases from 2 % on that are refused",
            value=float(np.mean([one["verdict"] == "refused" for one in leaking])),
            target=1,
            n=len(leaking),
        ),
    ]


if __name__ == "__main__":
    main()
