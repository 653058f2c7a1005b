"""How do generated ECGs of a condition look beside real ones?

`python -m benchmarks.conditions --cohort ID [--profile P] [--data PATH]` draws `docs/conditions.png`: for eight
conditions the median beat of real held-out recordings and of the cohort's ECGs, with the range that holds 80 % of them.
Real recordings appear there as aggregates of many patients only, since the picture is published. `--strips FILE` also
draws single ECGs beside each other on ECG paper; patients' ECGs are among them, so that picture is for one's own eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks.record import arguments
from flows.profiles import load_settings
from models.ecg.median_beats import AFTER_R_S, BEFORE_R_S, median_beats
from models.ecg.r_peaks import in_samples
from models.leads import STANDARD_LEADS, to_twelve_leads
from tasks.drawing.ecg_paper import draw_comparison
from tasks.drawing.report_figures import REAL, STYLE, SYNTHETIC
from tasks.ecg_sets import EcgSet, read_cohort, read_recordings
from warehouse.errors import EinthovenError
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.store import Store

CONDITIONS: Final = ("NORM", "AFIB", "SBRAD", "STACH", "CLBBB", "CRBBB", "IMI", "LVH")
"""SCP-ECG codes; a condition with fewer recordings or ECGs than `FEWEST` is replaced by the next of `SPARE`."""
SPARE: Final = ("ASMI", "NDT", "1AVB", "LAFB", "ISC_", "IRBBB", "PVC", "ABQRS", "NST_", "LVOLT", "IVCD", "VCLVH")
FEWEST: Final = 10
LEADS: Final = ("II", "V1", "V5")
RANGE: Final = (10, 90)
PICTURE: Final = Path(__file__).parents[1] / "docs" / "conditions.png"


def main(words: Sequence[str] | None = None) -> None:
    """Draw the pictures."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--cohort", required=True, help="id of a cohort in the warehouse")
    parser.add_argument("--out", type=Path, default=PICTURE, help="PNG to write (default: docs/conditions.png)")
    parser.add_argument("--strips", type=Path, help="PNG of single ECGs, real ones among them: not for publication")
    given = parser.parse_args(words)
    store = Store(load_settings(given.profile, given.set, given.data).warehouse.uri)
    cohort = store.find("cohort", given.cohort)
    if cohort is None:
        raise EinthovenError(f"cohort {given.cohort} is not in {store.root}")
    (recordings,) = [one for one in store.manifest(cohort).lineage.inputs if one.kind == "recordings"]
    facts = store.facts(recordings, RecordingsFacts)
    real = read_recordings(store, recordings, "validation")
    synthetic, rate_hz = read_cohort(store, cohort), float(facts.sampling_rate_hz)
    chosen = shown_conditions(real, synthetic)
    names = {code: str(facts.statements[code]["description"]) for code in chosen}
    pairs = {names[code]: (_with(real, code), _with(synthetic, code)) for code in chosen}
    pictures = {given.out: draw_beats(pairs, rate_hz)}
    if given.strips:
        # Not the first ECG of each: one that shows several conditions would be drawn several times.
        singles = [
            (name, *(ecgs.signal[number % len(ecgs)] for ecgs in both))
            for number, (name, both) in enumerate(pairs.items())
        ]
        pictures[given.strips] = draw_comparison(singles, rate_hz, LEADS)
    for path, figure in pictures.items():
        figure.savefig(path, dpi=110, metadata={"Software": None})
        Console(stderr=True).print(f"written to {path}")


def shown_conditions(real: EcgSet, synthetic: EcgSet) -> list[str]:
    """Eight statements that enough patients and enough synthetic ECGs have."""

    def enough(code: str) -> bool:
        of_real = np.array([code in held for held in real.statements])
        return len(set(real.patients[of_real])) >= FEWEST and len(_with(synthetic, code)) >= FEWEST

    return [code for code in (*CONDITIONS, *SPARE) if enough(code)][: len(CONDITIONS)]


def _with(ecgs: EcgSet, code: str) -> EcgSet:
    return ecgs.take(np.array([code in held for held in ecgs.statements], dtype=bool))


def draw_beats(conditions: dict[str, tuple[EcgSet, EcgSet]], rate_hz: float) -> Figure:
    """Median beats of real and synthetic ECGs, one condition per row, one lead per column.

    Args:
        conditions: name to (real, synthetic).
        rate_hz: sampling rate of both.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 1.75 * len(conditions) + 0.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(conditions), len(LEADS), sharex=True, sharey="row", squeeze=False)
        for row, (name, sets) in zip(axes, conditions.items(), strict=True):
            for ecgs, colour, label in zip(sets, (REAL, SYNTHETIC), ("real", "synthetic"), strict=True):
                beats = _twelve_lead_beats(ecgs, rate_hz)
                time_s = np.linspace(-BEFORE_R_S, AFTER_R_S, beats.shape[-1])
                low, middle, high = np.percentile(beats, (RANGE[0], 50, RANGE[1]), axis=0)
                for place, lead in zip(row, LEADS, strict=True):
                    index = STANDARD_LEADS.index(lead)
                    place.fill_between(time_s, low[index], high[index], color=colour, alpha=0.18, linewidth=0)
                    place.plot(time_s, middle[index], color=colour, linewidth=1.4, label=f"{label}, n = {len(ecgs)}")
            row[0].set_title(name)
            row[0].set_ylabel("mV")
            row[-1].legend(fontsize=7, loc="upper right")
        for place, lead in zip(axes[0], LEADS, strict=True):
            place.annotate(lead, (0.02, 0.86), xycoords="axes fraction", fontweight="bold")
        for place in axes[-1]:
            place.set_xlabel("s from the R peak")
    return figure


def _twelve_lead_beats(ecgs: EcgSet, rate_hz: float) -> np.ndarray:
    """Median beat of each ECG that has two beats: (n, 12, samples) mV."""
    found = median_beats(ecgs.signal, in_samples(ecgs.r_peaks_s, rate_hz), rate_hz)
    return np.stack([to_twelve_leads(beat.astype(np.float64)) for beat in found.beat])


if __name__ == "__main__":
    main()
