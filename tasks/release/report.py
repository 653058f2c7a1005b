"""The report of a release: one HTML file that needs neither a server nor the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from models.ecg.measurements import IRREGULAR_RR
from models.leads import INDEPENDENT_LEADS
from tasks.drawing import report_figures as figures
from tasks.drawing.ecg_paper import draw_ecg
from tasks.drawing.fidelity_figures import discriminator_rows, draw_discriminators
from tasks.drawing.learning_curves import last_losses, learning_curves
from tasks.release.picture import Picture
from tasks.release.power_pictures import power_pictures
from warehouse.release.content import ReleaseContent
from warehouse.release.dataset_card import LIMITS, conditions, delivery, generation, summary
from warehouse.release.fidelity_verdicts import fidelity_verdicts
from warehouse.release.numbers_in_words import interval, number, outcome
from warehouse.release.steward import steward_summary
from warehouse.release.worst_conditions import headline_rows, worst_conditions
from warehouse.storage.facts import AlignmentFacts, EvaluationFacts, ModelFacts
from warehouse.storage.store import Store

TEMPLATES = Path(__file__).parent / "templates"
ECG_EXAMPLES = 8
STATEMENTS_SHOWN = 14
LONGEST_TABLE = 40
"""Rows from which a table is folded up."""
SMALLEST_MEDIAN = 20
"""Values behind a median that is written down."""
ASPECTS = {
    "fidelity": "Do they look like real ECGs?",
    "alignment": "Do they look like their texts to a contrastive encoder?",
    "condition": "Do they show what was asked for?",
    "delivery": "Is what was asked for delivered?",
    "downstream": "Do they help a classifier?",
    "physics": "Do they obey the physics?",
    "reconstruction": "What does the autoencoder lose?",
    "simulator": "How well does the simulator fit the recordings?",
}


def render_report(store: Store, content: ReleaseContent) -> str:
    """Draw and write the report.

    Args:
        store: read for aggregate counts of the real recordings and for the model's training history.

    Returns:
        The HTML, below 5 MB.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    environment.filters |= {"number": number, "interval": interval, "outcome": outcome}
    real = training_recordings(store, content)
    overall = headline_rows(content.evaluation)
    downstream = [row for row in overall if row["aspect"] == "downstream"]
    return environment.get_template("report.html.jinja").render(
        about=content.description,
        content=content,
        summary=summary(content),
        cards=headline(content),
        ecgs=list(example_ecgs(content)),
        heart_rate=heart_rate_picture(content),
        distributions=distribution_picture(content, real),
        prevalence=prevalence_picture(content, real),
        fidelity=fidelity_verdicts(content.evaluation, content.statement_descriptions),
        fidelity_picture=fidelity_picture(content.evaluation),
        aspects=by_aspect(content.evaluation),
        delivery=delivery(content),
        worst=worst_conditions(content.evaluation),
        steward=steward_summary(content),
        power=list(power_pictures(content)),
        longest_table=LONGEST_TABLE,
        downstream=list(downstream_pictures(downstream)),
        training=training_pictures(
            store.facts(content.inputs.model, ModelFacts),
            content.statement_descriptions,
            alignment_history(store, content),
        ),
        generation=generation(content),
        limits=[limit.replace("`", "") for limit in LIMITS],
    )


def training_recordings(store: Store, content: ReleaseContent) -> pa.Table:
    """Scalars of the real training recordings; only counts of them are drawn."""
    columns = ["split", "statements", *(feature.column for feature in figures.CHARTED_FEATURES)]
    table = store.read(content.recordings, "recordings", columns)
    return table.filter(pc.equal(table["split"], "train"))


def headline(content: ReleaseContent) -> list[tuple[str, str, str]]:
    """Summary cards: what, value, what to hold it against."""
    cards = [
        ("Synthetic ECGs", f"{content.rows:,}", f"{len(conditions(content))} statements"),
        (
            "Waveforms",
            f"{content.sampling_rate_hz} Hz",
            f"{content.samples / content.sampling_rate_hz:g} s, 12 leads, µV",
        ),
    ]
    overall = headline_rows(content.evaluation)
    of_reconstruction = {row["metric"]: number(row["value"]) for row in overall if row["subject"] == "reconstruction"}
    for title, metric, subject, beside in (
        ("Heart-rate error", "heart-rate MAE", "synthetic", ""),
        ("Fréchet distance", "FID", "synthetic", "real against real"),
        ("AUC, real + synthetic", "macro AUC", "real + synthetic", "real alone"),
    ):
        for row in overall:
            if (row["metric"], row["subject"]) == (metric, subject) and row["value"] is not None:
                compared = beside and row["reference"] is not None
                against = f"{beside}: {number(row['reference'])}" if compared else f"interval {interval(row)}"
                if floor := of_reconstruction.get(metric):
                    against += f"; autoencoder alone: {floor}"
                cards.append((title, f"{number(row['value'])} {row['unit'] or ''}".strip(), against))
    return cards


def example_ecgs(content: ReleaseContent) -> Iterator[Picture]:
    """One generated ECG, without quality flags where there is one, for each of the most frequent conditions."""
    chosen: dict[str, int] = {}
    names = content.cohort["condition"].to_pylist()
    flags = content.cohort["quality_flags"].to_pylist()
    wanted = [condition for condition, _ in conditions(content)[:ECG_EXAMPLES]]
    for row in sorted(range(content.rows), key=lambda row: (bool(flags[row]), row)):
        # An ECG stands for the first of its statements that has no example yet.
        if missing := [name for name in names[row].split("; ") if name in wanted and name not in chosen]:
            chosen[missing[0]] = row
    rows = [chosen[condition] for condition in wanted if condition in chosen]
    for row, signal in zip(rows, content.waveforms(rows), strict=True):
        about = content.cohort.slice(row, 1).to_pylist()[0]
        title = _sentence(about["condition"])
        subtitle = f"Synthetic · {_person(about)} · {_rate(about)} · {about['ecg_id']}"
        data = figures.png(draw_ecg(signal, content.sampling_rate_hz, title, subtitle))
        yield Picture(
            data,
            f"Generated 12-lead ECG on 25 mm/s paper: {title}, {_person(about)}, {_rate(about)}.",
            f"{title}. {subtitle}",
        )


def _person(about: dict[str, Any]) -> str:
    age = f"{about['age_years']:.0f} years" if about["age_years"] is not None else "age not asked for"
    return f"{about['sex'] or 'sex not asked for'}, {age}"


def _rate(about: dict[str, Any]) -> str:
    asked, delivered = about["target_heart_rate_bpm"], about["heart_rate_bpm"]
    delivered_text = "no rate measured" if delivered is None else f"{delivered:.0f} bpm measured"
    return delivered_text if asked is None else f"{asked:.0f} bpm asked for, {delivered_text}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def heart_rate_picture(content: ReleaseContent) -> Picture | None:
    """Heart rate asked for against measured; None if no row asked for one."""
    asked, delivered = _numbers(content.cohort, "target_heart_rate_bpm"), _numbers(content.cohort, "heart_rate_bpm")
    known = np.isfinite(asked) & np.isfinite(delivered)
    if not known.any():
        return None
    error = np.abs(asked - delivered)[known]
    irregular = (_numbers(content.cohort, "rr_irregularity") > IRREGULAR_RR)[known]
    caption = f"Median error {np.median(error):.1f} bpm, mean {error.mean():.1f} bpm over {known.sum():,} ECGs."
    if missing := int((np.isfinite(asked) & ~known).sum()):
        caption += f" {missing} ECGs gave no measurable rate."
    alt = f"Scatter plot of the heart rate asked for against the rate measured. {caption}"
    return Picture(figures.svg(figures.draw_heart_rate(asked[known], delivered[known], irregular)), alt, caption)


def distribution_picture(content: ReleaseContent, real: pa.Table) -> Picture:
    """Distributions of measured features and age, real against synthetic."""
    columns = [feature.column for feature in figures.CHARTED_FEATURES]
    smallest = content.description.smallest_cell
    figure, hidden = figures.draw_distributions(
        {name: _numbers(real, name) for name in columns},
        {name: _numbers(content.cohort, name) for name in columns},
        smallest,
        _origin(content),
    )
    caption = (
        f"Training split against cohort. Values beyond an axis are counted at its end. "
        f"{hidden} bars of fewer than {smallest} {_origin(content)} are left out."
    )
    medians = ", ".join(
        f"{feature.label}: {_median(real, feature.column)} and {_median(content.cohort, feature.column)}"
        for feature in figures.CHARTED_FEATURES
    )
    return Picture(
        figures.svg(figure), f"Six histograms. Medians, training recordings and synthetic: {medians}.", caption
    )


def _median(table: pa.Table, column: str) -> str:
    values = _numbers(table, column)
    return f"{np.nanmedian(values):.0f}" if np.isfinite(values).sum() >= SMALLEST_MEDIAN else "–"


def prevalence_picture(content: ReleaseContent, real: pa.Table) -> Picture:
    """Share of ECGs per statement, real against synthetic, most frequent in the cohort first."""
    smallest = content.description.smallest_cell
    asked = Counter(code for codes in content.cohort["statements"].to_pylist() for code in codes or [])
    found = Counter(one["code"] for statements in real["statements"].to_pylist() for one in statements or [])
    codes = [code for code, _ in sorted(asked.items(), key=lambda item: (-item[1], item[0]))][:STATEMENTS_SHOWN]
    of_real = [found[code] / real.num_rows if found[code] >= smallest else None for code in codes]
    of_synthetic = [asked[code] / content.rows for code in codes]
    names = [content.statement_descriptions.get(code, code) for code in codes]
    shown = "; ".join(f"{name} {share:.0%}" for name, share in zip(names, of_synthetic, strict=True))
    caption = f"The {len(codes)} most frequent of {len(asked)} statements; an ECG may have several."
    return Picture(
        figures.svg(figures.draw_prevalence(names, of_real, of_synthetic, smallest, _origin(content))),
        f"Bar chart of statements. Shares in the cohort: {shown}.",
        f"{caption} Compared with {real.num_rows:,} {_origin(content)} of the training split.",
    )


def _origin(content: ReleaseContent) -> str:
    return "simulated recordings" if content.simulated_source else "real recordings"


def fidelity_picture(rows: list[dict[str, Any]]) -> Picture | None:
    """Every discriminator on synthetic ECGs beside real ones; None where none could be trained."""
    drawn = discriminator_rows(rows)
    if not drawn:
        return None
    values = "; ".join(f"{row['metric']}, {row['subject']}: {row['value']:.2f}" for row in drawn)
    caption = "At 0.5 a discriminator cannot tell; 95 % intervals."
    return Picture(figures.svg(draw_discriminators(drawn)), f"Areas under ROC curves. {values}.", caption)


def by_aspect(rows: list[dict[str, Any]]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Evaluation rows by aspect: (aspect, question, rows of all ECGs), in the order of `ASPECTS`, unknown ones last.

    An aspect that has rows of single conditions only has none here.
    """
    order = list(ASPECTS)
    ranked = sorted(rows, key=lambda row: order.index(row["aspect"]) if row["aspect"] in order else len(order))
    return [
        (aspect, ASPECTS.get(aspect, aspect), headline_rows(list(group)))
        for aspect, group in groupby(ranked, key=lambda row: row["aspect"])
    ]


def downstream_pictures(rows: list[dict[str, Any]]) -> Iterator[Picture]:
    """A picture per overall downstream metric; those of single classes stay in the table."""
    for metric in dict.fromkeys(row["metric"] for row in rows if not row["metric"].startswith("AUC ")):
        measured = [row for row in rows if row["metric"] == metric and row["value"] is not None]
        if len(measured) > 1:
            values = "; ".join(f"{row['subject']} {number(row['value'])}" for row in measured)
            data = figures.svg(figures.draw_bars(metric, measured))
            yield Picture(
                data, f"{metric} by what was trained on: {values}.", "Tested on real recordings; 95 % intervals."
            )


def alignment_history(store: Store, content: ReleaseContent) -> Sequence[Mapping[str, Any]]:
    """Losses of the alignment encoder that evaluated the cohort; empty without one."""
    named = store.facts(content.inputs.evaluation, EvaluationFacts).alignment
    encoder = store.find("alignment", named) if named else None
    return store.facts(encoder, AlignmentFacts).history if encoder else []


def training_pictures(
    facts: ModelFacts, descriptions: Mapping[str, str], of_alignment: Sequence[Mapping[str, Any]] = ()
) -> list[Picture]:
    """Loss curves and the simulator's goodness of fit, as far as model and alignment encoder recorded them."""
    pictures = []
    if curves := learning_curves([*facts.history, *of_alignment]):
        caption = (
            "Losses in training, of single batches, and on validation recordings; below, the terms they consist of."
        )
        alt = f"{caption} Last values, {last_losses(curves)}."
        pictures.append(Picture(figures.svg(figures.draw_curves(curves)), alt, caption))
    if fit := facts.simulator_fit:
        r2 = np.array([[of_lead[lead] for lead in INDEPENDENT_LEADS] for of_lead in fit.values()], dtype=float)
        classes = [descriptions.get(code, code) for code in fit]
        caption = "R² of the simulator's fit to the mean beat, per class and lead."
        alt = f"{caption} Median {np.nanmedian(r2):.2f}, lowest {np.nanmin(r2):.2f}."
        pictures.append(Picture(figures.svg(figures.draw_fit(classes, INDEPENDENT_LEADS, r2)), alt, caption))
    return pictures


def _numbers(table: pa.Table, column: str) -> np.ndarray:
    return table[column].cast(pa.float64()).to_numpy(zero_copy_only=False)
