"""Rows about alignment: ratios, intervals and recalls that can be worked out by hand."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from tasks.evaluation.networks.alignment import aligned
from tasks.evaluation.rows.alignment import (
    Projected,
    alignment_rows,
    dealt_at_random,
    recall_on_equal_texts,
    relative_score,
    text_to_ecg_recall,
    weights_of_shared_texts,
)
from tasks.settings import EvaluationSettings

SETTINGS = EvaluationSettings(bootstrap_samples=50)


def projected(cosines: list[float], words: list[str] | None = None, prefix: str = "patient") -> Projected:
    """ECGs at given cosines from the one direction in which all texts lie."""
    cosine = np.array(cosines)
    pairs = np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1)
    texts = np.tile([1.0, 0.0], (len(cosine), 1))
    patients = np.array([f"{prefix} {row}" for row in range(len(cosine))])
    return Projected(pairs, texts, words or [f"text {row}" for row in range(len(cosine))], patients)


def test_rclip_is_the_ratio_of_the_means_with_an_interval() -> None:
    synthetic, real = projected([0.3, 0.5, 0.4] * 20), projected([0.8, 0.6, 1.0] * 20)
    rows = {(one["metric"], one["subject"]): one for one in alignment_rows(synthetic, real, SETTINGS)}
    score = rows["CLIP score", "synthetic"]
    assert score["value"] == pytest.approx(0.4)
    assert score["reference"] == rows["CLIP score", "real test recordings"]["value"] == pytest.approx(0.8)
    ratio = rows["rCLIP", "synthetic"]
    assert ratio["value"] == pytest.approx(0.5)
    assert 0.4 < ratio["low"] < 0.5 < ratio["high"] < 0.6
    assert all(one["aspect"] == "alignment" for one in rows.values())


def test_intervals_are_over_patients() -> None:
    one_patient = projected([0.2, 0.4, 0.6, 0.8] * 5)
    one_patient = Projected(one_patient.ecgs, one_patient.texts, one_patient.words, np.repeat(["a", "b"], 10))
    many = projected([0.2, 0.4, 0.6, 0.8] * 5)
    weights = np.ones(20), np.ones(20)
    narrow, wide = (relative_score(many, each, *weights, 200, 1) for each in (one_patient, many))
    assert narrow.high - narrow.low < wide.high - wide.low  # both patients have the same mean


def test_shared_texts_weigh_as_often_as_they_are_asked_for() -> None:
    synthetic = ["normal"] * 3 + ["block"] + ["only asked for"]
    real = ["normal"] + ["block"] * 4 + ["too rare to ask for"]
    of_synthetic, of_real = weights_of_shared_texts(synthetic, real)
    assert of_synthetic.tolist() == [1, 1, 1, 1, 0]
    assert of_real.tolist() == [3, 0.25, 0.25, 0.25, 0.25, 0]
    found = relative_score(
        projected([0.6, 0.6, 0.6, 0.2, 0.9], synthetic),
        projected([0.5, 0.5, 0.5, 0.5, 0.5, 0.1], real),
        of_synthetic,
        of_real,
        50,
        1,
    )
    assert found.value == pytest.approx(0.5 / 0.5)


def test_an_encoder_without_worth_gives_no_ratio() -> None:
    found = relative_score(projected([0.5] * 9), projected([-0.1] * 9), np.ones(9), np.ones(9), 50, 1)
    assert np.isnan(found.value)


def test_texts_dealt_at_random_score_the_mean_over_all_pairings() -> None:
    rng = np.random.default_rng(1)
    pairs = Projected(rng.normal(size=(12, 4)), rng.normal(size=(12, 4)), ["a"] * 12, np.arange(12))
    assert dealt_at_random(pairs, 50, 1).value == pytest.approx((pairs.ecgs @ pairs.texts.T).mean())


def test_recall_counts_each_text_once_beside_what_chance_would_find() -> None:
    # Ten texts: eight whose ECG is the nearest, one at the far end, one with three ECGs of which one is near.
    directions = np.eye(12)
    words = [f"text {row}" for row in range(9)] + ["three"] * 3
    ecgs = directions.copy()
    texts = directions.copy()
    texts[8] = -directions[8] + 0.1 * directions[:5].sum(axis=0)
    texts[9:] = directions[9]
    recall, chance, count = text_to_ecg_recall(Projected(ecgs, texts, words, np.arange(12)), 50, 1)
    assert count == 10
    assert recall.value == pytest.approx(0.9)
    assert chance == pytest.approx((9 * 5 / 12 + 1 - comb(9, 5) / comb(12, 5)) / 10)
    assert recall.low < recall.value < recall.high


def test_without_an_encoder_the_rows_are_null() -> None:
    rows = list(alignment_rows(None, None, SETTINGS))
    assert [one["value"] for one in rows] == [None] * 4
    recalls = {"text to ECG recall at 5", "text to ECG recall at 5, equal texts"}
    assert {one["metric"] for one in rows} == {"CLIP score", "rCLIP", *recalls}


def test_ecgs_without_a_text_are_left_out_and_equal_texts_share_a_number() -> None:
    signal = np.arange(4, dtype=np.float32)[:, None, None]
    found = aligned(signal, ["a", "", "b", "a"], np.arange(4, dtype=np.float32)[:, None])
    assert found.signal[:, 0, 0].tolist() == [0, 2, 3]
    assert found.same[0] == found.same[2] != found.same[1]


def matched(texts: int, each: int, faithful: bool, seed: int) -> Projected:
    """ECGs that lie where their texts lie, or where other texts lie."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0][:texts]
    own = np.repeat(np.arange(texts), each)
    shown = directions[own if faithful else rng.permutation(own)] + rng.normal(0, 0.05, (len(own), 64))
    ecgs = shown / np.linalg.norm(shown, axis=1, keepdims=True)
    patients = np.array([f"{seed}-{row}" for row in range(len(own))])
    return Projected(ecgs, directions[own], [f"text {one}" for one in own], patients)


def test_equal_texts_are_searched_in_equal_pools_and_any_ecg_of_a_text_is_found() -> None:
    """A cohort of more ECGs and texts than the recordings is not punished for it; shuffled conditions are."""
    real = matched(30, 4, faithful=True, seed=1)
    good, n = recall_on_equal_texts(matched(40, 9, faithful=True, seed=2), real, 50, 1)[::2]
    assert good.value == 1.0 and n == 30
    shuffled, reference, _ = recall_on_equal_texts(matched(40, 9, faithful=False, seed=3), real, 50, 1)
    assert reference == 1.0
    # Chance: 5 of 120 ECGs, of which 4 have the text.
    assert shuffled.value == pytest.approx(1 - comb(116, 5) / comb(120, 5), abs=0.15)
    one_for_all = matched(30, 4, faithful=True, seed=4)
    one_for_all = Projected(
        np.tile(one_for_all.ecgs[:1], (120, 1)), one_for_all.texts, one_for_all.words, one_for_all.patients
    )
    assert recall_on_equal_texts(one_for_all, real, 50, 1)[0].value < 0.2


def test_no_shared_text_gives_no_recall() -> None:
    found, reference, n = recall_on_equal_texts(projected([0.5], ["asked"]), projected([0.5], ["found"]), 50, 1)
    assert np.isnan(found.value) and np.isnan(reference) and n == 0
