"""The picture of discriminators."""

from __future__ import annotations

from tasks.drawing.fidelity_figures import discriminator_rows, draw_discriminators


def test_every_discriminator_has_a_line_and_every_subject_a_colour() -> None:
    subjects = ("synthetic", "reconstruction", "real training recordings")
    rows = [
        {"metric": metric, "subject": subject, "value": value, "low": value - 0.02, "high": value + 0.02}
        for metric in ("discriminator AUC", "convolutional discriminator AUC")
        for subject, value in zip(subjects, (0.8, 0.9, 0.5), strict=True)
    ]
    missing = {"metric": "median-beat discriminator AUC", "subject": "synthetic", "value": None}
    drawn = discriminator_rows([*rows, missing, {"metric": "FID", "subject": "synthetic", "value": 1.0}])
    assert drawn == rows
    (axes,) = draw_discriminators(drawn).axes
    shown = ["convolutional discriminator", "discriminator"]
    assert [label.get_text() for label in axes.get_yticklabels()] == shown
    assert len([line for line in axes.lines if line.get_marker() == "o"]) == 6
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == list(subjects)
