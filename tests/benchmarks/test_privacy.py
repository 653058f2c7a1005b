"""The cohort of the privacy benchmark cannot leak, and releases with planted leaks are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.privacy import SHARES, cannot_leak, planted_releases
from models.architecture import BeatEncoderArchitecture
from models.ecg.r_peaks import in_samples
from models.privacy import canaries
from models.privacy.beat_encoder import BeatEncoderTraining, train_beat_encoder
from models.privacy.mean_beats import beat_halves
from tasks.ecg_sets import read_recordings, read_reported
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
