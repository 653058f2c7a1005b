"""The report needs nothing from elsewhere, is readable without sight, and shows no small count of real recordings."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.privacy.canaries import BEATS
from tasks.drawing.learning_curves import learning_curves
from tasks.drawing.report_figures import draw_curves, draw_distributions, draw_fit, draw_prevalence, suppressed
from tasks.privacy.attacks.membership import THROUGHOUT
from tasks.release.power_pictures import curves
from tasks.release.report import render_report
from tests.tiny_pipeline import CONDITIONS, HISTORY, TinyPipeline
from warehouse.release.content import ReleaseContent, ReleaseDescription, gather
from warehouse.storage.facts import CanaryPower
from warehouse.storage.store import Store


class Page(HTMLParser):
    """What a browser would fetch, what a screen reader would read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def make(folder: Path, simulated: bool = True) -> tuple[ReleaseContent, str]:
    store = Store(str(folder))
    inputs = TinyPipeline(store, simulated=simulated).commit()
    description = ReleaseDescription("tiny", "Tiny <cohort>", "CC-BY-4.0", "Tests", "Nobody 2026")
    content = gather(store, description, inputs, "v3", "0123456789abcdef", datetime(2026, 1, 2, tzinfo=UTC))
    return content, render_report(store, content)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReleaseContent, str]:
    return make(tmp_path_factory.mktemp("warehouse"))


@pytest.fixture
def page(made: tuple[ReleaseContent, str]) -> Page:
    return Page(made[1])


def test_nothing_is_fetched_or_run(made: tuple[ReleaseContent, str], page: Page) -> None:
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    assert all((anchor["href"] or "").startswith("#") for anchor in page.all("a"))
    assert "url(" not in made[1] and "@import" not in made[1]
    assert len(made[1].encode()) < 5_000_000


def test_every_picture_is_described_and_headings_are_in_order(page: Page) -> None:
    pictures = page.all("img")
    assert len(pictures) >= len(CONDITIONS) + 4
    assert all(len(image["alt"] or "") > 40 for image in pictures)
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(header.get("scope") in ("col", "row") for header in page.all("th"))
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {(anchor["href"] or "").removeprefix("#") for anchor in page.all("a")} <= targets


def test_header_metrics_and_bounds_are_shown(made: tuple[ReleaseContent, str], page: Page) -> None:
    for shown in ("Tiny <cohort>", "tiny v3", "SIMULATED SOURCE", "24 synthetic 12-lead ECGs", "Nobody 2026"):
        assert shown in page.text
    for row in (one for one in made[0].evaluation if one["condition"] is None):
        assert row["metric"] in page.text
    assert "membership inference" in page.text
    assert "0.51 to 0.59" in page.text
    for step in made[0].lineage:
        assert step.id in page.text


def test_the_floor_stands_beside_the_cohort_and_long_tables_are_folded_up(page: Page) -> None:
    assert "real against real: 1; autoencoder alone: 2.1" in page.text
    assert "What does the autoencoder lose?" not in page.text  # this evaluation has no such rows
    assert "60 rows" in page.text
    assert page.text.index("60 rows") > page.text.index("How well does the simulator fit the recordings?")


def test_conditions_furthest_from_real_ecgs_are_named(page: Page) -> None:
    furthest = page.text.index("complete left bundle branch block QRS duration above 119 ms 0.31")
    assert furthest < page.text.index("sinus tachycardia heart rate above 100 bpm 0.88")
    assert "P wave present" not in page.text  # too few real recordings to compare with


def test_the_power_of_every_attack_is_drawn_by_share_and_cohort_size(page: Page) -> None:
    alts = [image["alt"] or "" for image in page.all("img") if (image["alt"] or "").startswith("Power")]
    assert len(alts) == 2, "a picture for each attack with canaries"
    assert "Near copies: planted are shifted recordings." in alts[1]
    assert (
        "12 ECGs: 5 % at 0.5 %, 20 % at 2 %, 50 % at 5 %; 24 ECGs: 10 % at 0.5 %, 40 % at 2 %, 100 % at 5 %" in alts[1]
    )
    assert "Would the attacks have found a leak?" in page.text and "95 % of trials" in page.text


def test_curves_of_an_attack_with_several_bounds_are_of_the_whole_cohort() -> None:
    about = {"attack": "membership", "canary": THROUGHOUT}
    rows = [{**about, "metric": metric} for metric in ("AUC, records", "AUC, patients")]
    power = [
        CanaryPower.model_validate({"attack": "membership", "share": share, "trials": 20, "power": share} | one)
        for metric in ("AUC, records", "AUC, patients")
        for canary, share in ((BEATS, 0.02), (THROUGHOUT, 0.5), ("shifted recordings", 0.02))
        for one in ({"metric": metric, "canary": canary, "rows": size} for size in (100, 400))
    ]
    assert curves(rows, power) == {row["metric"]: [(0.02, 0.02), (0.5, 0.5)] for row in rows}
    assert list(curves(rows[:1], power)) == ["100 ECGs", "400 ECGs"]


def test_training_pictures_show_every_network(page: Page) -> None:
    (alt,) = [image["alt"] or "" for image in page.all("img") if (image["alt"] or "").startswith("Losses")]
    for network in ("autoencoder: loss 0.011, validation 0.5", "denoiser: loss", "alignment: loss 3, validation 4"):
        assert network in alt


def test_badge_is_only_for_a_simulated_source(tmp_path: Path) -> None:
    assert "SIMULATED SOURCE" not in Page(make(tmp_path, simulated=False)[1]).text


def test_real_recordings_do_not_appear(made: tuple[ReleaseContent, str], page: Page) -> None:
    assert "palpitations" not in made[1]
    examples = [image["alt"] or "" for image in page.all("img") if "12-lead" in (image["alt"] or "")]
    assert {alt.split(": ")[1].split(",")[0].lower() for alt in examples} == {
        words for words, _, _ in CONDITIONS.values()
    }


def test_pictures_are_the_same_for_the_same_data(tmp_path: Path, made: tuple[ReleaseContent, str]) -> None:
    assert make(tmp_path)[1] == made[1]


def test_small_counts_are_suppressed() -> None:
    assert suppressed(np.array([0, 1, 4, 5, 30]), 5).tolist() == [0, 0, 0, 5, 30]
    rates = np.concatenate([np.full(40, 70.0), np.full(4, 150.0), [np.nan]])
    columns = ("heart_rate_bpm", "pr_ms", "qrs_ms", "qtc_ms", "axis_deg", "age_years")
    real = {name: rates if name == "heart_rate_bpm" else np.full(45, np.nan) for name in columns}
    figure, hidden = draw_distributions(real, real, 5, "real recordings")
    of_real = figure.axes[0].patches[0].get_data().values  # type: ignore[attr-defined]
    assert hidden == 1
    assert of_real.sum() == pytest.approx(1.0)  # shares of what is shown, so that the rest cannot be subtracted
    assert np.count_nonzero(of_real) == 1


def test_suppressed_statement_is_said_in_words() -> None:
    figure = draw_prevalence(["common", "rare"], [0.5, None], [0.6, 0.1], 5, "real recordings")
    assert [text.get_text().strip() for text in figure.axes[0].texts] == ["not shown: fewer than 5 real recordings"]


def test_learning_curves_keep_losses_per_stage() -> None:
    curves = learning_curves(HISTORY)
    assert list(curves) == ["autoencoder", "denoiser"]
    assert set(curves["denoiser"]) == {"loss", "validation"}
    steps, values = curves["denoiser"]["loss"]
    assert steps == [float(step) for step in range(0, 100, 10)]
    assert values[0] == 0.5


def test_curves_have_a_column_per_stage_with_totals_above_and_terms_below() -> None:
    steps = [1.0, 2.0, 3.0]
    stage = {"loss": (steps, [3.0, 2.0, 1.0]), "validation": ([2.0], [2.5]), "kl": (steps, [0.1, 0.2, 0.3])}
    figure = draw_curves({"autoencoder": stage, "alignment": {"loss": stage["loss"]}})
    above, _, below, empty = figure.axes
    assert [line.get_label() for line in above.lines] == ["training", "validation"]
    assert [line.get_label() for line in below.lines] == ["kl"]
    assert not empty.get_visible()
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["autoencoder", "alignment"]


def test_a_fit_shows_differences_near_one() -> None:
    figure = draw_fit(["normal ECG"], ["I", "II", "V1"], np.array([[0.9994, 0.93, np.nan]]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.999", "0.930", "–"]
    image = figure.axes[0].images[0]
    assert image.norm.vmin == 0.9 and image.norm.vmax == 1.0
