"""One training: what it may read, what its key says, and that nothing is made twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.augmentation import network
from benchmarks.augmentation.data import AugmentationError, Ecgs, LearningPlaces
from benchmarks.augmentation.jobs import Jobs, TimeUpError
from benchmarks.augmentation.judge import Judge
from benchmarks.augmentation.network import Shape
from benchmarks.augmentation.runs import Results, Run, agreed, score, tune
from tasks.settings import ComputeSettings
from tests.benchmarks.augmentation.made_up_ecgs import LABELLING, SHAPE, JobsHere, made_up


def run_of(**changes: object) -> Run:
    usual: dict[str, object] = {
        "regime": "release consumer",
        "labelling": LABELLING,
        "classifier": "network",
        "recipe": "real only",
        "share": 0.5,
        "draw": 1,
        "seed": 1,
        "learning_rate": 0.01,
        "steps": 10,
        **SHAPE,
        "recordings": "real",
        "purpose": "tune",
    }
    return Run.model_validate({**usual, **changes})


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> LearningPlaces:
    folder = tmp_path_factory.mktemp("ecgs")
    sets = {"train": made_up(200, 1), "validation": made_up(100, 2), "synthetic": made_up(200, 3)}
    for name, ecgs in sets.items():
        ecgs.save(folder / name)
    return LearningPlaces(**{name: str(folder / name) for name in sets})


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    ecgs = made_up(20, 1)
    ecgs.save(tmp_path / "some")
    found = Ecgs.open(tmp_path / "some")
    assert found.codes == ecgs.codes and found.rate_hz == 100
    for name in ("signal", "measurements", "superclasses", "statements", "female", "patients"):
        np.testing.assert_array_equal(getattr(found, name), getattr(ecgs, name))
    with pytest.raises(AugmentationError, match="holds no ECGs"):
        Ecgs.open(tmp_path / "others")


def test_what_chooses_has_no_test_set(places: LearningPlaces, tmp_path: Path) -> None:
    """Neither the places of a tuning run nor the judge can name one; a run that scores cannot go without."""
    assert set(LearningPlaces.__dataclass_fields__) == {"train", "validation", "synthetic", "simulated"}
    results = Results(tmp_path)
    runs = [run_of(learning_rate=rate, steps=40) for rate in (1e-6, 0.02)]
    for run in runs:
        tune(run, places, results)
        assert set(results.predictions(run)) == {"validation"}
    judge = Judge(LABELLING, Ecgs.open(places.validation), results)
    assert judge.best(runs) == runs[1]
    last = run_of(purpose="score")
    with pytest.raises(AugmentationError, match="holds no ECGs"):
        score(last, places, {"test": str(tmp_path / "test")}, results)
    assert not results.has(last)
    made_up(60, 4).save(tmp_path / "test")
    score(last, places, {"test": str(tmp_path / "test")}, results)
    assert results.predictions(last)["test"].shape == (60, 6)


def test_tuning_is_the_same_whatever_the_test_set_holds(places: LearningPlaces, tmp_path: Path) -> None:
    """The same seeds give the same network with a test set beside it, with another, and with none."""
    found = []
    for seed in (4, 5):
        results = Results(tmp_path / str(seed))
        made_up(60, seed).save(tmp_path / f"test {seed}")
        score(run_of(purpose="score"), places, {"test": str(tmp_path / f"test {seed}")}, results)
        found.append(results.predictions(run_of(purpose="score"))["validation"])
    tune(run_of(), places, Results(tmp_path))
    found.append(Results(tmp_path).predictions(run_of())["validation"])
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all()


def test_a_key_says_everything_that_shapes_a_run() -> None:
    changes: list[dict[str, object]] = [
        {},
        {"regime": "self-augmentation"},
        {"classifier": "boosting"},
        {"recipe": "real + mixup"},
        {"share": 0.1},
        {"draw": 2},
        {"seed": 2},
        {"learning_rate": 0.1},
        {"steps": 20},
        {"width": 16},
        {"recordings": "others"},
        {"made": "cohort"},
        {"size": 5},
        {"filtered": True},
        {"begins_with": "another"},
        {"purpose": "score"},
        {"labelling": {"name": "sex", "kind": "sex"}},
    ]
    assert len({run_of(**change).key for change in changes}) == len(changes)
    assert run_of().key == run_of().key


def test_pre_training_begins_with_the_weights_of_a_run_without_real_ecgs(
    places: LearningPlaces, tmp_path: Path
) -> None:
    results = Results(tmp_path)
    first = run_of(recipe="synthetic only", made="synthetic", steps=80, learning_rate=0.03)
    tune(first, places, results)
    barely = {"learning_rate": 1e-7, "steps": 2, "share": 0.05}
    alone, begun = (
        run_of(**barely),
        run_of(**barely, recipe="pre-trained on synthetic", made="synthetic", begins_with=first.key),
    )
    tune(alone, places, results)
    tune(begun, places, results)
    judge = Judge(LABELLING, Ecgs.open(places.validation), results)
    values = [judge.estimate([run]).value for run in (first, begun, alone)]
    assert values[0] > 0.85 and abs(values[1] - values[0]) < 0.05 and values[2] < 0.7
    assert results.outcome(first).real_rows == 0 and results.outcome(first).made_rows == 200
    with pytest.raises(AugmentationError, match=r"gone\.safetensors is missing"):
        results.weights("gone")


def test_gradient_boosting_learns_from_measurements(places: LearningPlaces, tmp_path: Path) -> None:
    results = Results(tmp_path)
    run = run_of(classifier="boosting", share=1.0, learning_rate=0.1, steps=20)
    tune(run, places, results)
    assert Judge(LABELLING, Ecgs.open(places.validation), results).estimate([run]).value > 0.8


def test_a_label_without_positives_gets_its_share(places: LearningPlaces, tmp_path: Path) -> None:
    labelling = LABELLING.model_copy(update={"statements": ("AFIB", "NEVER")})
    run = run_of(classifier="boosting", labelling=labelling, steps=2)
    tune(run, places, Results(tmp_path))
    assert (Results(tmp_path).predictions(run)["validation"][:, -1] == 0).all()


def test_a_filter_drops_what_a_classifier_of_real_ecgs_doubts(places: LearningPlaces) -> None:
    made, wrong = made_up(160, 8), made_up(40, 9, shuffled=True)
    both = Ecgs(
        **{
            name: np.concatenate([getattr(made, name), getattr(wrong, name)])
            for name in ("signal", "measurements", "superclasses", "statements", "female", "patients")
        },
        codes=made.codes,
        rate_hz=100,
    )
    run = run_of(share=1.0, steps=150, learning_rate=0.02, recipe="half synthetic", filtered=True)
    kept = agreed(run, Ecgs.open(places.train), both, Shape(**SHAPE), "cpu")
    truly = {each.tobytes() for each in both.signal[160:]}
    assert len(kept) == 160
    assert sum(each.tobytes() in truly for each in kept.signal) < 20


def test_what_is_there_is_not_made_again(places: LearningPlaces, tmp_path: Path) -> None:
    runs = {run_of(seed=seed): places for seed in (1, 2)}
    jobs = JobsHere(Results(tmp_path), ComputeSettings())
    jobs.tune(runs)
    # A kill between predictions and their description leaves a run that is made again.
    lost = next(iter(runs))
    (tmp_path / f"{lost.key}.json").unlink()
    again = JobsHere(Results(tmp_path), ComputeSettings())
    again.tune(runs)
    assert (jobs.made, jobs.found, again.made, again.found) == (2, 0, 1, 1)


@pytest.mark.slow
def test_trainings_are_ray_tasks_and_stop_when_the_time_is_up(
    places: LearningPlaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(network, "BATCH", 128)  # as in Ray's workers

    runs = {run_of(seed=seed, steps=2): places for seed in (1, 2, 3)}
    here = Results(tmp_path / "here")
    tune(next(iter(runs)), places, here)
    try:
        late = Jobs(Results(tmp_path / "ray"), ComputeSettings(cpus=1, object_store_mb=80), minutes=0.0)
        with pytest.raises(TimeUpError):
            late.tune(runs)
        jobs = Jobs(late.results, late.compute)
        jobs.tune(runs)
        assert jobs.made == 3 and jobs.seconds > 0
        found = jobs.results.predictions(next(iter(runs)))["validation"]
        np.testing.assert_allclose(found, here.predictions(next(iter(runs)))["validation"], atol=1e-6)
        shutil.rmtree(tmp_path / "here")
    finally:
        ray.shutdown()
