"""Through which part of the generator does a condition act?

`python -m benchmarks.swap --cohort ID [--rows N] [--quick] [--profile P] [--data PATH]` generates ECGs from the same
seeds with condition A (rows of the cohort that ask for a normal ECG) in every part of the generator, then with
condition B in the rhythm only, in the beats only, in the denoiser (a flow's transformer) only, and in all; and with the
knowledge entries of B dealt to other rows, or dropped. Of each step it says

- by how much B's logit rises, by a classifier of all statements that learned from real training recordings,
- which share of B's criteria the ECGs satisfy: textbook rules and the claims that the knowledge base kept.

Knowledge that acts makes a difference when it is dropped; knowledge of other rows of the same B should make little.
Differences are paired by seed; intervals are bootstrapped over seeds and conditions B alike. Real recordings appear as
the value of real validation recordings of B.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.record import Check, arguments, publish
from benchmarks.swap_chain import DROPPED, EVERYTHING, PARTS, SHUFFLED, UNSWAPPED, VARIANTS, Chain
from flows.profiles import load_settings
from models.ecg.measurements import measure
from models.ecg.qrs_shape import qrs_shapes
from models.ecg.r_peaks import locate_r_peaks
from models.evaluation.classifier import classify
from models.evaluation.delivery import satisfied
from models.evaluation.metrics import Estimate, mean_estimate
from models.evaluation.textbook_rules import feature_values
from tasks.ecg_sets import EcgSet, read_cohort, read_recordings
from tasks.evaluation.networks.statement_classifier import load_statement_classifier, statement_classifier
from tasks.evaluation.rows.delivery import Criterion, kept_claims, textbook_criteria
from warehouse.errors import EinthovenError
from warehouse.storage.store import Store

NAME: Final = "swap"
USUAL: Final = "NORM"
"""Condition A: rows that ask for a normal ECG."""
SWAPPED: Final[tuple[str, ...]] = ("AFIB", "STACH", "SBRAD", "1AVB", "CRBBB", "CLBBB", "LAFB", "ASMI", "IMI", "LVH")
"""Conditions B; those of which the cohort has too few rows are left out."""
FEWEST: Final = 8
ROWS, QUICK_ROWS = 64, 16
BOOTSTRAP, SEED = 500, 1
LOGIT, DELIVERED = "rise of the logit", "rise of the share of criteria satisfied"
Reader = Callable[[np.ndarray], np.ndarray]
"""(n, 8, samples) in mV to (n, statements) probabilities."""


@dataclass(frozen=True)
class Judges:
    """What ECGs are judged by.

    Attributes:
        read: probabilities of every statement in `codes`.
        criteria: of every condition.
    """

    read: Reader
    codes: Sequence[str]
    criteria: Sequence[Criterion]
    rate_hz: int

    def of(self, signal: np.ndarray, code: str) -> dict[str, np.ndarray]:
        """Of each ECG the logit of a statement, and the share of its criteria that the ECG satisfies; (n,) each.

        NaN for ECGs that are not finite, as the model leaves those that it refuses to make.
        """
        kept = np.isfinite(signal).all(axis=(1, 2))
        if not kept.all():
            nothing = {name: np.full(len(signal), np.nan) for name in (LOGIT, DELIVERED)}
            if kept.any():
                for name, values in self.of(signal[kept], code).items():
                    nothing[name][kept] = values
            return nothing
        probability = np.clip(self.read(signal)[:, list(self.codes).index(code)].astype(np.float64), 1e-6, 1 - 1e-6)
        r_peaks = locate_r_peaks(signal, self.rate_hz)
        measured = measure(signal, r_peaks, self.rate_hz) | qrs_shapes(signal, r_peaks, self.rate_hz)
        met = [
            satisfied(
                feature_values(measured, one.claim.feature, one.claim.lead),
                one.claim.comparison,
                one.claim.value,
                one.claim.upper,
            )
            for one in self.criteria
            if one.statement == code and one.sex is None and one.age_band is None
        ]
        delivered = np.mean(met, axis=0) if met else np.full(len(signal), np.nan)
        return {LOGIT: np.log(probability / (1 - probability)), DELIVERED: delivered}


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--cohort", required=True, help="id of a cohort in the warehouse; its model generates")
    parser.add_argument("--rows", type=int, help=f"seeds per condition B (default: {ROWS}, quick {QUICK_ROWS})")
    given, started = parser.parse_args(words), time.monotonic()
    settings = load_settings(given.profile, given.set, given.data)
    store = Store(settings.warehouse.uri)
    cohort = store.find("cohort", given.cohort)
    if cohort is None:
        raise EinthovenError(f"cohort {given.cohort} is not in {store.root}")
    behind = {one.kind: one for one in store.manifest(cohort).lineage.inputs}
    chain, rows = Chain(store, cohort), given.rows or (QUICK_ROWS if given.quick else ROWS)
    network = statement_classifier(settings.evaluation, behind["recordings"], settings.compute, store)
    model, codes = load_statement_classifier(store.path(network))
    rate_hz = chain.facts.sampling_rate_hz
    criteria = [*textbook_criteria(), *kept_claims(store, behind["knowledge"])]
    judges = Judges(lambda signal: classify(model, signal, rate_hz)[0], codes, criteria, rate_hz)
    asked = read_cohort(store, cohort)
    real = read_recordings(store, behind["recordings"], "validation")
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for code in (code for code in SWAPPED if code in codes):
        usual, swapped = swapped_rows(asked, code, rows)
        if len(swapped) < FEWEST:
            continue
        made = chain.ladder(chain.conditions(usual), chain.conditions(swapped), chain.seeds(usual))
        found[code] = {variant: judges.of(signal, code) for variant, signal in made.items()}
    if not found:
        raise EinthovenError(f"cohort {given.cohort} has fewer than {FEWEST} rows of each condition that is swapped")
    publish(
        NAME,
        checks(found),
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={"profile": given.profile, "rows": rows, "cohort": chain.settings.name},
        details={"conditions": details(found, {code: of_real(real, judges, code) for code in found})},
    )


def swapped_rows(asked: EcgSet, code: str, most: int) -> tuple[list[int], list[int]]:
    """Row numbers of the cohort that ask for A, and equally many that ask for B.

    Args:
        asked: the cohort.
        code: statement B.
        most: of each.
    """
    numbers = asked.table["row_number"].to_numpy(zero_copy_only=False)
    rng = np.random.default_rng(SEED)
    usual = rng.permutation(numbers[[USUAL in held and code not in held for held in asked.statements]])
    swapped = rng.permutation(numbers[[code in held for held in asked.statements]])
    count = min(most, len(usual), len(swapped))
    return usual[:count].tolist(), swapped[:count].tolist()


Measured = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]
"""Condition B to variant to measure to (n,) values, one per seed."""


def rise(found: Measured, variant: str, over: str, measure_: str) -> tuple[Estimate, int]:
    """Mean over conditions B of the mean difference between two variants from the same seeds, and how many seeds."""
    differences = [of[variant][measure_] - of[over][measure_] for of in found.values()]
    known = [each[np.isfinite(each)] for each in differences]
    known = [each for each in known if len(each)]
    # Every condition weighs the same, however many seeds it has.
    total = sum(map(len, known))
    values = np.concatenate([each * total / (len(known) * len(each)) for each in known]) if known else np.empty(0)
    return mean_estimate(values, np.arange(len(values)), BOOTSTRAP, SEED), total


def checks(found: Measured) -> list[Check]:
    """The ladder over all conditions B."""
    steps = [(f"B in {part} only", part, UNSWAPPED) for part in PARTS]
    steps += [
        ("B everywhere", EVERYTHING, UNSWAPPED),
        ("knowledge of other rows", SHUFFLED, EVERYTHING),
        ("no knowledge", DROPPED, EVERYTHING),
    ]
    made = []
    for measure_ in (LOGIT, DELIVERED):
        for words, variant, over in steps:
            estimate, n = rise(found, variant, over, measure_)
            known = lambda number: float(number) if np.isfinite(number) else None  # noqa: E731
            value, low, high = map(known, estimate)
            made.append(Check(name=f"{measure_}, {words}", value=value, low=low, high=high, n=n, seeds=[SEED]))
    return made


def of_real(real: EcgSet, judges: Judges, code: str) -> dict[str, float | None]:
    """Mean logit and share of criteria of real validation recordings of a condition; None without any."""
    held = real.take(np.array([code in codes for codes in real.statements], dtype=bool))
    return _means(judges.of(held.signal, code)) if len(held) >= FEWEST else {}


def details(found: Measured, real: Mapping[str, Mapping[str, float | None]]) -> dict[str, Any]:
    """Per condition B the means of every variant, and those of real recordings of B."""
    return {
        code: {"n": len(next(iter(of[UNSWAPPED].values()))), "real": dict(real[code])}
        | {variant: _means(of[variant]) for variant in VARIANTS}
        for code, of in found.items()
    }


def _means(values: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    names = {LOGIT: "logit", DELIVERED: "criteria satisfied"}
    return {
        names[name]: round(float(np.nanmean(each)), 4) if np.isfinite(each).any() else None
        for name, each in values.items()
    }


if __name__ == "__main__":
    main()
