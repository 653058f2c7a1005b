"""`make demo` can pass its own audit: with the demo's numbers of people and ECGs, honest ones keep its bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flows.profiles import load_settings
from models.evaluation.metrics import wilson
from models.privacy.linkage import RADIUS_QUANTILE, low_quantile
from models.privacy.membership import judged
from tasks.privacy.audited import NEEDED_SHARE, planted_rows
from tasks.privacy.task import audit_ecgs
from tests.tasks.clinic import cohort_table, people, put_cohort, put_recordings, recordings_table
from warehouse.storage.facts import AuditFacts
from warehouse.storage.store import Store

DEMO = load_settings("demo")
PRIVACY = DEMO.privacy
RECORDINGS = DEMO.source.simulation.recordings - DEMO.source.simulation.damaged_files
HELD_OUT = RECORDINGS // 10
"""Recordings of the test split, and of the validation split: a tenth each."""
DRAWS = 200


def test_people_who_were_not_learned_from_pass_the_audit_of_the_demo(tmp_path: Path) -> None:
    """Members, non-members and released ECGs are drawn alike, so that only the bounds and the demo's n decide.

    A bound too narrow for so few people fails; so does one too wide to be broken by what is planted.
    """
    store = Store(str(tmp_path))
    recordings = put_recordings(store, recordings_table(RECORDINGS))
    cohort = put_cohort(store, recordings, cohort_table(*people(DEMO.cohort.size, seed=99)), "honest")
    made = audit_ecgs.fn(PRIVACY, cohort, recordings, DEMO.compute, str(store.root))
    facts = store.facts(made, AuditFacts)
    assert (facts.verdict, facts.failed, facts.powerless) == ("passed", [], [])
    bounds = {name for name in vars(PRIVACY) if name.startswith("max_")}
    not_measured = {"max_membership_tpr_at_1"}  # by fewer than 100 non-members
    assert {row["setting"] for row in store.read(made, "audits").to_pylist()} >= bounds - not_measured


def test_attacks_that_guess_keep_the_demos_bounds_on_membership() -> None:
    """One cohort may keep a bound by luck; of 200, nearly all must."""
    member = np.repeat([True, False], [RECORDINGS - 2 * HELD_OUT, HELD_OUT])
    patients = np.arange(len(member)).astype(str)
    rng = np.random.default_rng(1)
    ends = []
    for draw in range(DRAWS):
        area, found = judged(rng.normal(size=len(member)), member, patients, PRIVACY.bootstrap_samples, draw)
        ends.append((area.high, found[0.1].high))
    bounds = (PRIVACY.max_membership_auc, PRIVACY.max_membership_tpr_at_10)
    broken = (np.array(ends) > bounds).mean(axis=0)
    assert broken.max() <= 0.01, dict(zip(("AUC", "share found at 10 %"), broken, strict=True))


def test_honest_beats_keep_the_demos_beat_gate_and_half_of_the_canaries_break_it() -> None:
    rng = np.random.default_rng(1)
    rows = DEMO.cohort.size
    broken = 0
    for _ in range(DRAWS):
        radius = low_quantile(rng.lognormal(0, 0.3, 2 * HELD_OUT), RADIUS_QUANTILE)
        inside = int((rng.lognormal(0, 0.3, rows) < radius).sum())
        broken += wilson(inside, rows).high > PRIVACY.max_beat_share
    assert broken / DRAWS <= 0.06
    planted = planted_rows(NEEDED_SHARE, rows)
    assert wilson(planted // 2, rows + planted).high > PRIVACY.max_beat_share
