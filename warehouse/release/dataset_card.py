"""The dataset card: README.md of a release, for people, with the front matter that dataset hubs read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from warehouse.release.content import ReleaseContent
from warehouse.release.fidelity_verdicts import fidelity_verdicts
from warehouse.release.numbers_in_words import interval, number
from warehouse.release.steward import steward_summary
from warehouse.release.worst_conditions import headline_rows, worst_conditions

LIMITS = (
    "Not a medical device, and not for diagnosing or treating anyone. No row is a recording of a person.",
    "`condition`, `statements`, `superclasses`, `age_years`, `sex`, `target_heart_rate_bpm` and what else is about "
    "the condition are what was asked for; no cardiologist confirmed what was delivered. Superclasses are complete; "
    "`given_up` names what else the training recordings of a condition may show. The measured columns come from an "
    "automatic delineator; null means that it found nothing to measure.",
    "The model learned from one dataset and repeats its population, devices and gaps. Rare conditions are missing, by "
    "design.",
    "Fine detail and noise of real recordings are reproduced only in part; the quality table says how far.",
    "The privacy audit bounds how well its attacks do on this cohort. It is evidence, not a formal guarantee such as "
    "differential privacy.",
    "Rows are independent: there are no patients in this dataset, hence no follow-up recordings.",
)
WORST_SHOWN = 10
"""Criteria that card and report name as furthest from real ECGs."""
TEMPLATES = Path(__file__).parent / "templates"


def summary(content: ReleaseContent) -> str:
    """What the dataset is, in one paragraph."""
    seconds = content.samples / content.sampling_rate_hz
    origin = (
        "recordings made by Einthoven's simulator (not from patients)"
        if content.simulated_source
        else f"recordings of the dataset {content.source}"
    )
    return (
        f"{content.rows:,} synthetic 12-lead ECGs of {seconds:g} s at {content.sampling_rate_hz} Hz, each generated "
        "for a stated condition (diagnosis, age, sex, heart rate) by a "
        f"{'flow' if content.flow else 'diffusion'} model that learned from {origin}. "
        "No row is a recording of a person."
    )


def generation(content: ReleaseContent) -> list[str]:
    """How the dataset was made, step by step."""
    read = "Simulated recordings" if content.simulated_source else f"Recordings of the dataset {content.source}"
    return [
        f"{read} were read, checked and split by patient; only the training split was learned from.",
        f"A {'flow-matching' if content.flow else 'latent diffusion'} model was trained on them, conditioned on "
        "diagnosis text, statements, age, sex and heart rate.",
        "Each row was generated for a stated condition, from its own random seed. Conditions asked for are "
        "combinations of age band, sex and statements that several training patients share.",
        "The cohort was evaluated against recordings that the model never saw, and audited for privacy. It was "
        "published because the audit passed.",
    ]


def conditions(content: ReleaseContent) -> list[tuple[str, int]]:
    """Statements in words and how many ECGs were asked to show each, most frequent first."""
    counted = Counter(name for names in content.cohort["condition"].to_pylist() for name in names.split("; "))
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def delivery(content: ReleaseContent) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """How far the conditions asked for are delivered: distances over all criteria, and the criteria furthest from real.

    A criterion is what textbooks or the knowledge base say of a condition's measurements; of those with enough ECGs,
    real and synthetic, the `WORST_SHOWN` with the largest difference of shares come, largest first.
    """
    rows = [row for row in content.evaluation if row["aspect"] == "delivery"]
    overall = [row for row in rows if row["condition"] is None]
    compared = [row for row in rows if row["condition"] and row["reference"] is not None and row["flag"] is None]
    compared = [row for row in compared if "NeuroKit2" not in row["subject"]]  # the same criteria once more
    far = sorted(compared, key=lambda row: -abs(row["value"] - row["reference"]))[:WORST_SHOWN]
    names = content.statement_descriptions
    return overall, [row | {"condition": names.get(row["condition"], row["condition"])} for row in far]


def dataset_card(content: ReleaseContent) -> str:
    """Write the dataset card as Markdown."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "cell": lambda text: text.replace("|", r"\|").replace("\n", " "),
    }
    template = environment.get_template("dataset_card.md.jinja")
    return template.render(
        about=content.description,
        content=content,
        summary=summary(content),
        generation=generation(content),
        conditions=conditions(content),
        fidelity=fidelity_verdicts(content.evaluation, content.statement_descriptions),
        headline=headline_rows(content.evaluation),
        worst=worst_conditions(content.evaluation),
        limits=LIMITS,
        delivery=delivery(content),
        steward=steward_summary(content),
    )
