"""Verdicts on fidelity: what a row says decides which sentence stands there."""

from __future__ import annotations

from typing import Any

from warehouse.release.fidelity_verdicts import fidelity_verdicts


def row(metric: str, value: float | None, reference: float | None, **changes: Any) -> dict[str, Any]:
    low, high = (None, None) if value is None else (0.95 * value, 1.05 * value)
    fields = {"subject": "synthetic", "condition": None, "low": low, "high": high, "unit": "", "flag": None}
    return {"metric": metric, "value": value, "reference": reference, **fields, **changes}


def said(*rows: dict[str, Any]) -> str:
    return " ".join(fidelity_verdicts(rows, {"CLBBB": "complete left bundle branch block"}))


def test_a_discriminator_tells_or_does_not() -> None:
    metric = "convolutional discriminator AUC"
    assert said(row(metric, 0.76, 0.49)) == (
        "The convolutional discriminator, which reads raw crops of 2.5 s, tells synthetic from real ECGs: "
        "AUC 0.76 (0.72–0.80), real against real 0.49."
    )
    assert "does not tell" in said(row(metric, 0.52, 0.49))
    assert "does not tell" in said(row(metric, 0.7, 0.69))  # real recordings are told from each other as well
    assert said(row("discriminator AUC", None, None, flag="too few rows")).endswith("not be trained: too few rows.")


def test_a_ratio_says_what_is_uncertain() -> None:
    name = "FID, floor-corrected, generated / real"
    assert "1.4 (1.3–1.5) times as far" in said(row(name, 1.4, 1.0))
    assert "(no upper end: x)" in said(row(name, 1.4, 1.0, flag="no upper end: x"))
    assert "has no ratio: at the floor" in said(row(name, None, 1.0, flag="at the floor"))


def test_the_worst_condition_is_named() -> None:
    name = "QRS distribution distance"
    of_lbbb, of_norm = ({"condition": code, "unit": "ms"} for code in ("CLBBB", "NORM"))
    everyone = row(name, 99.0, 1.0, unit="ms")
    found = said(everyone, row(name, 20.0, 4.0, **of_lbbb), row(name, 22.0, 9.0, **of_norm))
    assert found == (
        "QRS within conditions is farthest from real recordings in complete left bundle branch block: "
        "20 ms (19–21), real against real 4 ms."
    )
    assert said(everyone, row(name, None, None, **of_lbbb)) == ""


def test_copies_are_a_sign_beyond_chance_only() -> None:
    name = "nearer to training than the nearest 1 % held out"
    assert "a sign of copies" in said(row(name, 0.06, 0.01))
    assert said(row(name, 0.0102, 0.01)).endswith("no sign of copies.")
