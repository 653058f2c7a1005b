"""What sampling is timed against and compared with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import record, sampling, sampling_fidelity, sampling_rivals, sampling_stages
from benchmarks.diffusets import LATENT, LEVELS, TEXT_SIZE, PublishedUNet, sample_ancestrally
from benchmarks.peak import peak_flops
from benchmarks.trained_model import ways_to_sample
from tasks.settings import Settings


@pytest.fixture(scope="module")
def network() -> PublishedUNet:
    torch.manual_seed(1)
    return PublishedUNet().eval()


def test_the_published_shape_has_its_size(network: PublishedUNet) -> None:
    parameters = sum(weight.numel() for weight in network.parameters())
    assert parameters == pytest.approx(14.2e6, rel=0.03)
    assert len(network.down) == len(network.up) == LEVELS - 1
    assert network.down[0].before[0].kernel_size == (7,)  # type: ignore[union-attr, index]


def test_the_published_shape_depends_on_everything_it_is_given(network: PublishedUNet) -> None:
    draw = torch.Generator().manual_seed(2)
    latents, tokens = torch.randn(2, *LATENT, generator=draw), torch.randn(2, 1, TEXT_SIZE + 3, generator=draw)
    steps = torch.tensor([10, 900])
    with torch.no_grad():
        noise = network(latents, steps, tokens)
        assert noise.shape == latents.shape
        assert not torch.allclose(noise, network(latents, steps.flip(0), tokens))
        assert not torch.allclose(noise, network(latents, steps, -tokens))


def test_ancestral_steps_begin_at_noise_and_end_finite(network: PublishedUNet) -> None:
    tokens = torch.zeros(2, 1, TEXT_SIZE + 3)
    few, again = (sample_ancestrally(network, tokens, torch.Generator().manual_seed(3), steps=2) for _ in range(2))
    assert few.shape == (2, *LATENT) and torch.equal(few, again) and torch.isfinite(few).all()


def test_a_peak_is_some_billion_operations_per_second() -> None:
    for precision in ("fp32", "bf16"):
        assert all(1e8 < value < 1e16 for value in peak_flops(precision).values())


def test_a_flow_is_timed_with_its_student_and_without() -> None:
    settings = Settings.model_validate({"source": {"kind": "simulated"}})
    flow = sampling_stages.random_flow("S", 4, "cpu")
    ways = ways_to_sample(settings, flow)
    assert [(way.steps, way.by_student) for way in ways] == [
        (4, True),
        (3, True),
        (1, True),
        (2, True),
        (3, False),
        (4, False),
        (13, False),
    ]
    assert len({way.label for way in ways}) == len(ways)
    flow.student = None
    assert [way.steps for way in ways_to_sample(settings, flow)] == [4, 3, 13]


def test_every_part_of_sampling_is_timed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_stages, "FLOW_STEPS", (2,))
    monkeypatch.setattr(sampling_stages, "STUDENT_STEPS", (1,))
    sampling_stages.main(["--batch", "2", "--repetitions", "1"])
    machine, *figures = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert machine["size"] == "S" and machine["device"] == "cpu"
    names = [one["name"] for one in figures]
    assert names[:2] == ["rhythms", "beats"] and names[-2:] == ["ECGs, 1 steps of the student", "ECGs, 2 steps of Heun"]
    assert all(one["ecgs_per_s"] > 0 for one in figures)


@pytest.mark.slow
def test_the_benchmark_runs_on_any_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.tasks.clinic import put_model, put_recordings, recordings_table
    from warehouse.storage.store import Store

    store = Store(str(tmp_path / "warehouse"))
    model, _ = put_model(store, put_recordings(store, recordings_table(120)))
    monkeypatch.setattr(sampling_fidelity, "MANY_STEPS", 4)
    monkeypatch.setattr(sampling_fidelity, "DRAWS", 5)
    monkeypatch.setattr(sampling, "TIMED_STEPS", 1)
    monkeypatch.setattr(sampling_rivals, "TRIED_STEPS", 1)
    monkeypatch.setattr(sampling_rivals, "BATCHES", (2,))
    monkeypatch.setattr(sampling, "publish", lambda *names, **rest: record.publish(*names, **rest, results=tmp_path))
    threads = torch.get_num_threads()
    words = [
        "--quick",
        "--profile",
        "demo",
        "--model",
        model.id,
        "--beside",
        model.id,
        "--set",
        f"warehouse.uri={store.root}",
    ]
    words += ["--set", "cohort.sampler_steps=2", "--set", "cohort.min_patients=2"]
    words += ["--set", "evaluation.classifier_steps=5"]
    try:
        sampling.main(words)
    finally:
        torch.set_num_threads(threads)
    written = json.loads((tmp_path / "sampling-quick.json").read_text())
    values = {check["name"]: check for check in written["checks"]}
    targets = {name: check["target"] for name, check in values.items() if check["target"] is not None}
    assert sorted(targets.values()) == [1.02, 1.05, 35.0, 109.0, 300.0]
    unmeasured = {name for name, check in values.items() if check["value"] is None}
    assert unmeasured <= {"ECGEN's DiT: speed (the package ecgen is not installed)"}
    assert all(check["value"] > 0 for name, check in values.items() if name not in unmeasured)
    assert "default (2 steps, guidance 2): over latent diffusion" in values
    assert str(tmp_path) not in json.dumps(written)
    assert "share of the machine's" in capsys.readouterr().out
