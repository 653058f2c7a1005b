"""Who planted a beat into another rhythm is recognised; other people are not."""

from __future__ import annotations

import numpy as np
import pytest

from models.architecture import BeatEncoderArchitecture
from models.ecg.r_peaks import locate_r_peaks
from models.evaluation.metrics import wilson
from models.privacy import canaries
from models.privacy.beat_encoder import BeatEncoder, BeatEncoderTraining, encode_beats, train_beat_encoder
from models.privacy.canaries import Ecgs
from models.privacy.linkage import BeatGate, Nearest, low_quantile, nearest_patient, verified
from models.privacy.mean_beats import BEAT_SAMPLES, beat_halves, mean_beats
from tests.models.synthetic_hearts import RATE_HZ, ecgs

pytestmark = pytest.mark.usefixtures("one_thread")


def with_peaks(count: int, seed: int) -> Ecgs:
    signal = ecgs(count, seed)
    return Ecgs(signal, locate_r_peaks(signal, RATE_HZ))


PEOPLE, HOSTS, OTHERS = with_peaks(120, 1), with_peaks(30, 2), with_peaks(60, 3)


@pytest.fixture(scope="module")
def encoder() -> BeatEncoder:
    halves = beat_halves(PEOPLE.signal, PEOPLE.r_peaks, RATE_HZ)
    training = BeatEncoderTraining(steps=40, batch_patients=48, learning_rate=2e-3, seed=1)
    return train_beat_encoder(halves, np.arange(120), BeatEncoderArchitecture(width=16, embedding=32), training)


def points(encoder: BeatEncoder, given: Ecgs) -> np.ndarray:
    return encode_beats(encoder, mean_beats(given.signal, given.r_peaks, RATE_HZ))


@pytest.mark.parametrize(
    ("kind", "share"),
    [(canaries.BEATS, 0.95), (canaries.NEIGHBOURS, 0.6), (canaries.FITTED, 0.8), (canaries.RECORDINGS, 0.95)],
)
def test_whose_canary_it_is_can_be_told(encoder: BeatEncoder, kind: str, share: float) -> None:
    made = canaries.planted(kind, PEOPLE.take(np.arange(30)), HOSTS, RATE_HZ, np.arange(30))
    found = nearest_patient(points(encoder, made), points(encoder, PEOPLE), np.arange(120))
    assert (found.row == np.arange(30)).mean() >= share


def test_planted_beats_lie_within_the_radius_and_other_people_do_not(encoder: BeatEncoder) -> None:
    training, patients = points(encoder, PEOPLE), np.arange(120)
    held_out = nearest_patient(points(encoder, OTHERS), training, patients)
    gate = BeatGate.fitted(held_out, [""] * 60)
    assert not gate.inside(held_out, [""] * 60).any()
    made = canaries.planted(canaries.BEATS, PEOPLE.take(np.arange(30)), HOSTS, RATE_HZ, np.arange(30))
    own = nearest_patient(points(encoder, made), training, patients)
    assert gate.inside(own, [""] * 30).mean() > 0.8
    fresh = nearest_patient(points(encoder, with_peaks(60, 4)), training, patients)
    assert wilson(int(gate.inside(fresh, [""] * 60).sum()), 60).low < 1 / 61


def test_planted_beats_keep_the_rhythm_of_the_ecg_that_they_are_put_into() -> None:
    sources = PEOPLE.take(np.arange(30))
    made = canaries.planted(canaries.BEATS, sources, HOSTS, RATE_HZ, np.arange(30))
    assert made.r_peaks is HOSTS.r_peaks
    own, others, found = (mean_beats(one.signal, one.r_peaks, RATE_HZ) for one in (sources, HOSTS, made))

    def likeness(one: np.ndarray, two: np.ndarray) -> float:
        flat = one.reshape(30, -1), two.reshape(30, -1)
        return float(np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(*flat, strict=True)]))

    assert likeness(found, own) > 0.98 > likeness(found, others)


def test_beats_that_follow_each_other_closely_do_not_overlap() -> None:
    beats = np.ones((1, 8, BEAT_SAMPLES), np.float32)
    signal = canaries.placed(beats, [np.array([100.0, 140.0, 700.0])], 1000, RATE_HZ)
    assert signal.max() == 1
    assert (signal[0, 0, :70] == 0).all() and (signal[0, 0, 90:170] > 0).all() and (signal[0, 0, 300:600] == 0).all()
    assert (canaries.placed(beats, [np.array([])], 1000, RATE_HZ) == 0).all()


def test_recognition_of_real_people_counts_pairs_of_one_patient() -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(50, 8))
    seen = np.concatenate([centres, centres[:10]]) + rng.normal(0, 0.05, (60, 8))
    found = verified(seen, np.concatenate([np.arange(50), np.arange(10)]))
    assert found is not None
    assert (found.rank_one.value, found.equal_error, found.pairs, found.recordings) == (1.0, 0.0, 10, 20)
    strangers = verified(rng.normal(size=(60, 8)), np.concatenate([np.arange(50), np.arange(10)]))
    assert strangers is not None and strangers.rank_one.value < 0.3 and 0.3 < strangers.equal_error < 0.7
    assert verified(seen[:50], np.arange(50)) is None


def test_distances_are_measured_against_those_usual_for_the_class() -> None:
    held_out = Nearest(np.repeat([1.0, 4.0], 25), np.full(50, 0.9), np.zeros(50, int))
    gate = BeatGate.fitted(held_out, ["NORM"] * 25 + ["MI"] * 25)
    near = Nearest(np.array([0.9, 2.0, 2.0]), np.full(3, 0.5), np.zeros(3, int))
    assert gate.inside(near, ["NORM", "MI", "NORM"]).tolist() == [True, True, False]
    assert gate.linked(near).all()


def test_a_quantile_of_few_values_is_extrapolated_from_their_tail() -> None:
    rng = np.random.default_rng(1)
    for count in (130, 400, 5000):
        found = [low_quantile(rng.random(count) ** (1 / 8), 0.001) for _ in range(50)]
        assert np.median(found) == pytest.approx(0.001 ** (1 / 8), rel=0.06)
    assert low_quantile(np.array([3.0, 1.0, 2.0]), 0.001) <= 1


def test_who_has_two_recordings_is_not_their_own_second_nearest() -> None:
    training = np.array([[0.0], [0.1], [2.0]])
    found = nearest_patient(np.array([[0.05]]), training, np.array(["a", "a", "b"]))
    assert found.margin[0] == pytest.approx(0.05 / 1.95)


def test_patients_with_several_recordings_teach_the_encoder() -> None:
    halves = beat_halves(PEOPLE.signal, PEOPLE.r_peaks, RATE_HZ)
    training = BeatEncoderTraining(steps=2, batch_patients=16, learning_rate=1e-3, seed=1)
    shape = BeatEncoderArchitecture(width=8, embedding=8)
    several, renamed, alone = (
        encode_beats(train_beat_encoder(halves, patients, shape, training), halves[:5, 0])
        for patients in (np.arange(120) // 2, 1000 - np.arange(120) // 2, np.arange(120))
    )
    assert np.array_equal(several, renamed), "what patients are called changes nothing"
    assert not np.array_equal(several, alone)
    with pytest.raises(ValueError, match="at least two"):
        train_beat_encoder(halves[:3], np.zeros(3), shape, training)
