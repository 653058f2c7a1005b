"""Answers of queries, as a person and as a program reads them."""

from __future__ import annotations

import json

import pytest

from flows.answers import print_answer


def test_a_table_prints_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    held = ["[bold]", "[ST elevation] in V2", "[/]", ":heart:", "[0.1, 0.2]"]
    print_answer(["count(*)[1]", "n"], [(text, number) for number, text in enumerate(held)], "table")
    shown = capsys.readouterr().out
    for text in [*held, "count(*)[1]"]:
        assert text in shown


def test_a_table_shows_the_first_samples_of_a_waveform(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(["lead_ii", "nothing"], [(list(range(1000)), None)], "table")
    shown = capsys.readouterr().out
    assert "[0, 1, 2, 3, 4, 5, … 1000 items]" in shown and "–" in shown


def test_programs_get_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(["text", "n"], [("[bold]", 1)], "json")
    assert json.loads(capsys.readouterr().out) == [{"text": "[bold]", "n": 1}]
    print_answer(["text", "n"], [("[bold]", 1)], "csv")
    assert capsys.readouterr().out.splitlines() == ["text,n", "[bold],1"]


def test_json_has_no_nan_and_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    held = [(1.5, float("nan"), [float("inf"), 2.0], {"x": float("-inf")}, 3)]
    print_answer(["n", "n", "n_2", "s", "n"], held, "json")
    answer = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert answer == [{"n": 1.5, "n_2": None, "n_2_2": [None, 2.0], "s": {"x": None}, "n_3": 3}]
