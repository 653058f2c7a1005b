"""What a report says of an ECG beside its statements, in fixed words: where it is changed, since when, and how.

A report is read into phrases of one table (`report_findings.yaml`), each certain, probable or possible, by the same
algorithm that reads its statements (`warehouse.sources.free_text`). So none of a report's own words go further, and a
phrase that too few patients share can be left out like any other trait (`tasks.conditions.patient_groups`). Training
recordings and requests are read by the same function: of a request its understood words (`tasks.conditions.request`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from warehouse.sources.free_text import CERTAIN, Findings, mentions

PROBABLE: Final = 80.0
"""Likelihood in percent from which a finding that is not certain is probable, as `free_text.yaml` has it."""


def findings_of(report: str) -> tuple[str, ...]:
    """Phrases of the findings that a report states, each by its surest mention, in the order of the table.

    "possible inferior wall, old changes" for "old inferior infarct cannot be excluded".
    """
    found: dict[str, float] = {}
    for (phrase,), likelihood in mentions(report, _table()):
        if phrase and likelihood is not None:
            found[phrase] = max(likelihood, found.get(phrase, 0.0))
    return in_order(_in_words(phrase, likelihood) for phrase, likelihood in found.items())


def in_order(findings: Iterable[str]) -> tuple[str, ...]:
    """Findings in the order of the table, so that the same ones make the same sentence."""
    return tuple(sorted(findings, key=lambda one: phrases().index(phrase_of(one))))


def phrase_of(finding: str) -> str:
    """A finding without how likely it is."""
    return finding.removeprefix("possible ").removeprefix("probable ")


def _in_words(phrase: str, likelihood: float) -> str:
    return phrase if likelihood >= CERTAIN else f"{'probable' if likelihood >= PROBABLE else 'possible'} {phrase}"


@cache
def phrases() -> tuple[str, ...]:
    """Every phrase of the table."""
    return tuple(dict.fromkeys(names[0] for names, _ in _table() if names[0]))


@cache
def _table() -> Findings:
    written = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return [
        ((phrase,), re.compile(pattern.replace("{noun}", written["noun"]))) for phrase, pattern in written["findings"]
    ]
