"""What the training workers read: waveforms from the Parquet of the recordings, and everything prepared once for them.

The driver prepares, per split, which recordings are usable and where they beat (for the autoencoder), their conditions
and simulator classes (for the denoiser), and saves it as safetensors; each worker reads that and the waveforms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.architecture import BeatDecoderArchitecture
from models.conditioning import ConditionTensors
from models.ecg.beats import beat_samples, whole_beats
from models.ecg.quality_vocabulary import UNUSABLE_FLAGS
from models.ecg.r_peaks import locate_r_peaks
from models.leads import LEAD_COLUMNS
from tasks.conditions.condition import StatementFacts, by_importance
from warehouse.errors import EinthovenError
from warehouse.storage.waveforms import from_lead_columns

SPLITS: Final = ("train", "validation")
EVERY_RECORDING: Final = "all"
"""The simulator class of recordings whose statements are too rare for their own."""


class TrainingError(EinthovenError):
    """Training cannot start or did not end well."""


@dataclass(frozen=True)
class BeatSplit:
    """The usable recordings of a split and where they beat.

    Attributes:
        rows: (N,) row numbers in the recordings table, ascending.
        r_peaks: (N, P) samples of the R peaks whose beat lies inside the recording, padded with −1; at least one each.
        r_times: (N, Q) seconds of all R peaks from the first sample, between samples where need be, padded with NaN.
    """

    rows: Tensor
    r_peaks: Tensor
    r_times: Tensor

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class ConditionSplit:
    """What the recordings of a split are examples of.

    Attributes:
        omega: (N,) angular heart rate in radians per second.
        wave_class: (N,) index into the simulator classes.
        condition: of N rows.
        group_condition: of N rows, what a cohort would ask for in their place (`tasks.conditions.cohort_design`).
    """

    omega: Tensor
    wave_class: Tensor
    condition: ConditionTensors
    group_condition: ConditionTensors

    def shown(self, rows: Tensor, group_share: float, experience: bool) -> ConditionTensors:
        """Conditions of some rows as a training step sees them: at random, at this share, their group's in their place.

        Args:
            experience: False hides retrieved knowledge.
        """
        condition = self.condition[rows]
        if group_share > 0:
            condition = condition.where(torch.rand(len(rows)) < group_share, self.group_condition[rows])
        return condition if experience else condition.without_knowledge()


def read_metadata(folder: Path) -> pa.Table:
    """All columns of the recordings but the leads, with the row number in the table added."""
    parts = sorted((folder / "recordings").glob("part-*.parquet"))
    if not parts:
        raise TrainingError(f"{folder} holds no recordings table; run ingestion again")
    names = [name for name in pq.read_schema(parts[0]).names if name not in LEAD_COLUMNS]
    table = pa.concat_tables([pq.read_table(part, columns=names) for part in parts])
    return table.append_column("row", pa.array(range(table.num_rows), pa.int64()))


def read_waveforms(folder: Path, rows: np.ndarray) -> Tensor:
    """Waveforms of some rows of the recordings; `rows` must ascend: int16 (n, 8, samples) in µV."""
    found, first = [], 0
    for part in sorted((folder / "recordings").glob("part-*.parquet")):
        here = rows[(rows >= first) & (rows < first + (count := pq.read_metadata(part).num_rows))] - first
        if len(here):
            table = pq.read_table(part, columns=list(LEAD_COLUMNS)).take(pa.array(here))
            found.append(np.rint(from_lead_columns(table) * 1000).astype(np.int16))
        first += count
    return torch.from_numpy(np.concatenate(found))


def usable_rows(metadata: pa.Table) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Row numbers per split, and how many recordings were left out per quality flag.

    Raises:
        TrainingError: nothing is left to train or validate on.
    """
    excluded: Counter[str] = Counter()
    kept: dict[str, list[int]] = {split: [] for split in SPLITS}
    for row, split, flags in zip(
        *(metadata[name].to_pylist() for name in ("row", "split", "quality_flags")), strict=True
    ):
        if split not in kept:
            continue
        unusable = {prefix for prefix in UNUSABLE_FLAGS for flag in flags or [] if flag.startswith(prefix)}
        excluded.update(unusable)
        if not unusable:
            kept[split].append(row)
    for split, rows in kept.items():
        if not rows:
            raise TrainingError(
                f"no usable {split} recordings; check ingestion's folds and the quality flags {dict(excluded)}"
            )
    return {split: np.array(rows, dtype=np.int64) for split, rows in kept.items()}, dict(excluded)


def millivolts(signal: Tensor, rows: Tensor) -> Tensor:
    """Some rows of a signal (N, 8, samples) int16 in µV, which takes half the memory, as float32 in mV."""
    return signal[rows].float() / 1000


def located_r_peaks(signal: Tensor, rate_hz: int, at_once: int = 256) -> list[np.ndarray]:
    """All R peaks of each recording in samples, between samples where need be.

    Args:
        signal: (N, 8, samples) int16 in µV.
    """
    located: list[np.ndarray] = []
    for chunk in signal.split(at_once):
        located += locate_r_peaks(chunk.numpy().astype(np.float32) / 1000, rate_hz)
    return located


def padded_r_peaks(located: list[np.ndarray], samples: int, rate_hz: int, window: BeatDecoderArchitecture) -> Tensor:
    """(N, P) sample of each R peak whose whole beat lies inside the recording, padded with −1."""
    before, after = beat_samples(window, rate_hz)
    peaks = [whole_beats(np.rint(found), samples, before, after) for found in located]
    padded = torch.full((len(peaks), max(1, max(map(len, peaks)))), -1, dtype=torch.int64)
    for row, found in enumerate(peaks):
        padded[row, : len(found)] = torch.from_numpy(found)
    return padded


def wave_classes(metadata: pa.Table, facts: StatementFacts, min_recordings: int = 20) -> tuple[list[str], np.ndarray]:
    """The simulator class of every recording.

    A recording belongs to its main statement if at least `min_recordings` training recordings do; of the rest, to its
    first superclass under the same rule; of the rest, to `EVERY_RECORDING`.

    Args:
        metadata: the rows of the training and validation splits.

    Returns:
        Class names, `EVERY_RECORDING` first, and the (N,) index of each row's class.
    """
    in_training = [split == "train" for split in metadata["split"].to_pylist()]
    codes, superclasses = class_candidates(metadata, facts)
    chosen: list[str] = [EVERY_RECORDING] * metadata.num_rows
    for candidates in (codes, superclasses):
        undecided = [row for row, name in enumerate(chosen) if name == EVERY_RECORDING]
        counts = Counter(name for row in undecided if in_training[row] for name in candidates[row])
        for row in undecided:
            if candidates[row] and counts[candidates[row][0]] >= min_recordings:
                chosen[row] = candidates[row][0]
    names = [EVERY_RECORDING, *sorted(set(chosen) - {EVERY_RECORDING})]
    return names, np.array([names.index(name) for name in chosen], dtype=np.int64)


def known_wave_classes(ecgs: pa.Table, names: Sequence[str], facts: StatementFacts) -> np.ndarray:
    """The simulator class of ECGs that no class was made from, held-out or synthetic: (n,) indices into `names`.

    Of the classes that training made, an ECG belongs to its main statement's; failing that to its first superclass's;
    failing that to `EVERY_RECORDING`.

    Args:
        ecgs: rows of `recordings`, or of `cohorts`, whose statements and superclasses are those asked for.
        names: as `wave_classes` returns them.
    """
    number = {name: index for index, name in enumerate(names)}
    found = [
        next((number[name] for name in (*code, *superclass) if name in number), 0)
        for code, superclass in zip(*class_candidates(ecgs, facts), strict=True)
    ]
    return np.array(found, dtype=np.int64)


def class_candidates(ecgs: pa.Table, facts: StatementFacts) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Main statement and first superclass of each row of `recordings` or `cohorts`, empty where there is none."""
    codes = [
        by_importance([one if isinstance(one, str) else one["code"] for one in statements or []], facts)[:1]
        for statements in ecgs["statements"].to_pylist()
    ]
    return codes, [tuple(names or [])[:1] for names in ecgs["superclasses"].to_pylist()]


def beats_file(folder: Path, split: str) -> Path:
    """Where a `BeatSplit` is kept."""
    return folder / f"beats_{split}.safetensors"


def conditions_file(folder: Path, split: str) -> Path:
    """Where a `ConditionSplit` is kept while a generator is trained."""
    return folder / "_training" / f"conditions_{split}.safetensors"


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Save tensors as safetensors; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    partial.replace(path)


def save_beats(folder: Path, split: str, beats: BeatSplit) -> None:
    """Save where the recordings of a split beat."""
    save_tensors({"rows": beats.rows, "r_peaks": beats.r_peaks, "r_times": beats.r_times}, beats_file(folder, split))


def load_beats(folder: Path, split: str) -> BeatSplit:
    """Read where the recordings of a split beat."""
    return BeatSplit(**load_file(beats_file(folder, split)))


def save_conditions(folder: Path, split: str, conditions: ConditionSplit) -> None:
    """Save what the recordings of a split are examples of."""
    tensors = {"omega": conditions.omega, "wave_class": conditions.wave_class}
    for prefix in ("condition", "group_condition"):
        tensors |= {f"{prefix}.{name}": one for name, one in getattr(conditions, prefix).tensors().items()}
    save_tensors(tensors, conditions_file(folder, split))


def load_conditions(folder: Path, split: str) -> ConditionSplit:
    """Read what the recordings of a split are examples of."""
    saved = load_file(conditions_file(folder, split))

    def conditions(prefix: str) -> ConditionTensors:
        return ConditionTensors(
            **{name.removeprefix(prefix): tensor for name, tensor in saved.items() if name.startswith(prefix)}
        )

    return ConditionSplit(
        omega=saved["omega"],
        wave_class=saved["wave_class"],
        condition=conditions("condition."),
        group_condition=conditions("group_condition."),
    )


def beat_windows(r_peaks: Tensor, before: int) -> Tensor:
    """(N, 2) row and first sample of every beat of a batch, from its padded (B, P) R peaks."""
    row, column = torch.nonzero(r_peaks >= 0, as_tuple=True)
    return torch.stack([row, r_peaks[row, column] - before], dim=1)


def random_crops(signal: Tensor, r_peaks: Tensor, length: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    """A random piece of each recording, so that few recordings teach more.

    Args:
        signal: (B, 8, samples).
        r_peaks: (B, P) padded with −1, at least one per row.
        length: samples per piece, at least `before + after`.
        before, after: samples of a beat before its R peak, and from it on.

    Returns:
        Pieces (B, 8, length), and (B, P) the R peaks whose beat lies inside the piece, at least one, padded with −1.
    """
    last = signal.shape[-1] - length
    start = torch.randint(0, last + 1, (len(signal), 1), device=signal.device)

    def inside() -> Tensor:
        return (r_peaks >= start + before) & (r_peaks + after <= start + length)

    start = torch.where(inside().any(dim=1, keepdim=True), start, (r_peaks[:, :1] - before).clamp(max=last))
    beyond = signal.shape[-1]
    shifted = torch.where(inside(), r_peaks - start, beyond).sort(dim=1).values
    places = start + torch.arange(length, device=signal.device)
    pieces = signal.gather(2, places[:, None].expand(-1, signal.shape[1], -1))
    return pieces, torch.where(shifted < beyond, shifted, -1)
