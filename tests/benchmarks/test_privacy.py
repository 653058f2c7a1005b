"""The cohort of the privacy benchmark cannot leak, and releases with planted leaks are refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from benchmarks.privacy import SHARES, cannot_leak, planted_releases
from benchmarks.privacy_people import people_like_training
from models.architecture import BeatEncoderArchitecture
from models.ecg.r_peaks import in_samples
from models.privacy import canaries
from models.privacy.beat_encoder import BeatEncoderTraining, train_beat_encoder
from models.privacy.mean_beats import beat_halves
from tasks.ecg_sets import EcgSet, read_recordings, read_reported
from tasks.privacy.attacks.disclosure import disclosure_rows
from tasks.privacy.audit import Attacks
from tasks.privacy.audited import Audited
from tests.models.synthetic_hearts import RATE_HZ
from tests.stage_outputs import PRIVACY
from tests.tasks.clinic import STATEMENTS, put_recordings, recordings_table
from warehouse.storage.store import Store


def test_planted_releases_are_refused_and_one_that_cannot_leak_passes(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    recordings = put_recordings(store, recordings_table(200))
    members, people = (read_recordings(store, recordings, split) for split in ("train", "validation"))
    others = read_reported(store, recordings, "test")
    synthetic, reference = cannot_leak(people, 100, RATE_HZ, seed=1)
    assert set(reference.patients) < set(people.patients)
    assert len(reference) == 10
    assert not set(synthetic.patients) & set(people.patients)
    halves = beat_halves(members.signal, in_samples(members.r_peaks_s, RATE_HZ), RATE_HZ)
    shape = BeatEncoderArchitecture(width=16, embedding=32)
    encoder = train_beat_encoder(halves, members.patients, shape, BeatEncoderTraining(40, 48, 2e-3, 1))
    audited = Audited(synthetic, members, reference, others, RATE_HZ, encoder, None, 1)
    # With 20 non-members and 10 reference recordings, membership tells nothing.
    lax = {"max_beat_share": 0.08, "max_membership_auc": 1.0, "max_membership_tpr_at_10": 1.0}
    settings = PRIVACY.model_copy(update=lax)
    found = planted_releases(audited, Attacks.on(audited, settings), seed=1)
    assert [one["share"] for one in found] == list(SHARES) * len(canaries.KINDS)
    verdicts = {(one["canary"], one["share"]): one["verdict"] for one in found}
    assert {verdicts[kind, 0.0] for kind in canaries.KINDS} == {"passed"}, found[0]
    assert {verdicts[kind, 0.2] for kind in (canaries.BEATS, canaries.RECORDINGS)} == {"refused"}
    assert np.array_equal(cannot_leak(people, 100, RATE_HZ, seed=1)[0].signal, synthetic.signal)
    failed = [
        row for row in disclosure_rows(synthetic, members, [members], STATEMENTS, settings) if row["passed"] is False
    ]
    assert not failed, "conditions and texts of the cohort are nobody's"


def test_who_is_in_the_data_under_two_names_is_within_the_radius_and_has_the_same_sex_and_age() -> None:
    rng = np.random.default_rng(1)
    points = {"members": rng.normal(size=(200, 6)), "reference": rng.normal(size=(60, 6)), "non_members": None}
    points["members"][100:110] = points["members"][:10] + 0.01 * rng.normal(size=(10, 6))
    points["non_members"] = rng.normal(size=(60, 6))
    ages, sexes = rng.integers(20, 90, 200), rng.choice(["female", "male"], 200)
    ages[100:110], sexes[100:110] = ages[:10] + 1, sexes[:10]

    def people(count: int, **columns: list) -> EcgSet:
        table = pa.table({"superclasses": [["NORM"]] * count, **columns})
        return EcgSet(table, np.zeros((count, 0)), np.array([f"p{row}" for row in range(count)]))

    audited = SimpleNamespace(
        members=people(200, age_years=ages.tolist(), sex=sexes.tolist()),
        reference=people(60),
        non_members=people(60),
        points=lambda space, side: points[side],
    )
    found = people_like_training(audited, SimpleNamespace(name="a space"), seed=1)
    inside, alike, by_chance, others = (check.value for check in found)
    assert 0.08 <= inside <= 0.12, "both recordings of ten people; in one part of eight both are members or neither is"
    assert alike > 0.75 and by_chance < 0.2 and others < 0.03
