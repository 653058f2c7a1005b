"""Fingerprints: what a folder of the warehouse holds, so briefly that it fits into a text file, and safe to compare.

Discrete content (text, integers, booleans, codes, names and types of columns and tensors) is hashed. A hash of numbers
would flip wherever another processor rounds the last bit the other way, so the numbers of a column or a tensor are
described: how many, how many missing, mean, standard deviation, and two projections on fixed random weights, which
see any number that changes and any two that change places. Two descriptions are the same if these four differ by no
more than a stated share of the standard deviation.

Left out is how a run went: times, speeds, dates, sizes in bytes, checksums, library versions. Hexadecimal identifiers
count by their order of appearance: which rows belong together is content, the key that they were made with is not.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from safetensors.numpy import load_file

from warehouse.storage.store import MANIFEST

Leaf = str | list[float]
"""A hash; or how many numbers, how many of them missing, mean, standard deviation and two projections."""
Fingerprint = dict[str, Leaf]
"""Place in a folder ("table/column", "weights.safetensors/tensor", "config.json/key" …) to what is there."""

Tolerances = tuple[tuple[str, float | None], ...]
"""Pattern to the difference of mean, deviation and projections that may be rounding, as a share of the stored
deviation; the first pattern that a place matches counts. None where rounding errors alone turn the numbers or shift
them by more, so that only their root mean square is compared."""

DIGITS: Final = 5
"""Digits of the standard deviation to which mean, deviation and projections are kept."""
SIZE_TOLERANCE: Final = 0.25
"""Of a root mean square."""
HOW_IT_WENT: Final = re.compile(
    r"(^|_)(seconds|per_s|per_second|at|bytes|contentSize|sha256|libraries|code_version|einthoven)$"
)
"""Keys of JSON objects that are no content."""
IDENTIFIER: Final = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{16,64}(?![0-9a-zA-Z])")
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d)?)?")
VERSION: Final = re.compile(r"\b\d+\.\d+\.\d+\b")
DECIMAL: Final = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")
PICTURE: Final = re.compile(r"data:image/(png|svg\+xml);base64,([A-Za-z0-9+/=]+)")
METRIC_NUMBERS: Final = ("value", "low", "high", "reference")


def fingerprint(folder: Path) -> Fingerprint:
    """The fingerprint of a committed dataset or a release."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = path.relative_to(folder)
        # Parts make one table, and the records of a dataset in files count together.
        shared = {".parquet": place.parts[0], ".dat": "*.dat", ".hea": "*.hea"}
        groups.setdefault(shared.get(path.suffix, place.as_posix()), []).append(path)
    names = [path.relative_to(folder).as_posix() for paths in groups.values() for path in paths]
    found: Fingerprint = {"files": hashed(names)}
    for name, paths in groups.items():
        found |= {f"{name}/{place}" if place else name: leaf for place, leaf in _of_files(paths).items()}
    return found


def _of_files(paths: list[Path]) -> Fingerprint:
    match paths[0].suffix:
        case ".parquet":
            return of_table(pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths]))
        case ".safetensors":
            tensors = dict(sorted(load_file(paths[0]).items()))
            shapes = [[name, *values.shape, str(values.dtype)] for name, values in tensors.items()]
            return {"": hashed(shapes), **{name: of_array(values) for name, values in tensors.items()}}
        case ".json":
            return of_json(json.loads(paths[0].read_text(encoding="utf-8")), paths[0].name == MANIFEST)
        case ".dat":
            counts = [np.fromfile(path, dtype="<i2") for path in paths]
            return {"": of_numbers(np.concatenate(counts)), "samples": hashed([len(one) for one in counts])}
        case ".png":
            return {"": of_picture(paths[0].read_bytes())}
        case _:
            text = "".join(path.read_bytes().decode("utf-8", "replace") for path in paths)
            # A header of a record repeats a checksum and samples of the signal.
            return of_text(re.sub(r"\d+", "", text) if paths[0].suffix == ".hea" else text)


def of_table(table: pa.Table) -> Fingerprint:
    """A table by columns; one that holds metrics, by metric, since what they measure has nothing in common."""
    found: Fingerprint = {"": hashed([f"{field.name}: {field.type}" for field in table.schema])}
    if "metric" in table.column_names:
        rows = table.to_pylist()
        found["rows"] = hashed([{k: v for k, v in row.items() if k not in METRIC_NUMBERS} for row in rows])
        for metric in dict.fromkeys(row["metric"] for row in rows):
            of_metric = [[row[name] for name in METRIC_NUMBERS] for row in rows if row["metric"] == metric]
            found[metric] = of_numbers(np.array(of_metric, dtype=np.float64))
        return found
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        waves = pa.types.is_fixed_size_list(column.type)
        if waves or pa.types.is_floating(column.type):
            found[name] = of_numbers((column.flatten() if waves else column).to_numpy(zero_copy_only=False))
        else:
            found |= described(name, column.to_pylist())
    return found


def of_json(value: dict[str, Any] | list[Any], is_manifest: bool = False) -> Fingerprint:
    """A JSON object by its keys and those below; of a dataset's manifest, rows and facts; of a ranking, its length."""
    if isinstance(value, list):
        # Rounding may swap neighbours of a ranking.
        return {"": hashed(len(value))}
    if is_manifest and "facts" in value:
        value = {"rows": value["rows"], "facts": value["facts"]}
    return _of_object("", value, 2)


def _of_object(name: str, value: dict[str, Any], depth: int) -> Fingerprint:
    """What an object holds itself, and what each object and list in it holds."""
    value = {key: held for key, held in value.items() if not HOW_IT_WENT.search(key)}
    plain = {key: held for key, held in value.items() if not isinstance(held, dict | list)}
    found = described(name, plain) if plain else {}
    for key, held in value.items():
        below = f"{name}.{key}".removeprefix(".")
        if isinstance(held, dict) and depth:
            found |= _of_object(below, held, depth - 1)
        elif isinstance(held, list) and held and all(isinstance(one, dict) for one in held):
            found |= _of_objects(below, held)
        elif isinstance(held, dict | list):
            found |= described(below, held)
    return found


def _of_objects(name: str, rows: list[dict[str, Any]]) -> Fingerprint:
    """A list of objects by key, and by stage of training where they tell one."""
    found: Fingerprint = {}
    for stage in dict.fromkeys(str(row.get("stage", "")) for row in rows):
        chosen = [row for row in rows if str(row.get("stage", "")) == stage]
        for key in dict.fromkeys(key for row in chosen for key in row if not HOW_IT_WENT.search(key)):
            found |= described(".".join(filter(None, (name, stage, key))), [row.get(key) for row in chosen])
    return found


def described(name: str, value: Any) -> Fingerprint:
    """Any JSON value: what is discrete in it hashed, its numbers with a fractional part described."""
    numbers: list[float] = []

    def rest(one: Any) -> Any:
        if isinstance(one, dict):
            return {key: rest(held) for key, held in one.items() if not HOW_IT_WENT.search(key)}
        if isinstance(one, list):
            return [rest(held) for held in one]
        if isinstance(one, float):
            numbers.append(one)
            return "#"
        return one

    discrete = rest(value)
    if not numbers:
        return {name: hashed(discrete)}
    return {name: hashed(discrete), f"{name} #": of_numbers(np.array(numbers))}


def of_text(text: str) -> Fingerprint:
    """A text file: its words, its decimal numbers, and each of its pictures."""
    pictures = PICTURE.findall(text)
    words = VERSION.sub("<version>", PICTURE.sub("<picture>", text))
    found: Fingerprint = {"": hashed(DECIMAL.sub("#", words))}
    if numbers := [float(one) for one in DECIMAL.findall(words)]:
        # In running text large and small numbers stand side by side, so their orders of magnitude are compared.
        found["#"] = of_numbers(np.arcsinh(1000 * np.array(numbers)))
    for number, (kind, data) in enumerate(pictures, start=1):
        content = base64.b64decode(data)
        if kind == "png":
            found[f"picture {number}"] = of_picture(content)
        else:
            found |= {f"picture {number} {place}".strip(): leaf for place, leaf in of_text(content.decode()).items()}
    return found


def of_picture(png: bytes) -> Leaf:
    """A picture by the mean and deviation of its brightness: a curve may move by a pixel."""
    return of_numbers(np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=np.float64))[:4]


def of_array(values: np.ndarray) -> Leaf:
    """A tensor: integers hashed, real numbers described."""
    if values.dtype.kind in "iub":
        return hashed(values.tolist())
    return of_numbers(values)


def of_numbers(values: np.ndarray) -> list[float]:
    """How many numbers, how many not finite, mean, standard deviation and two projections of the finite ones."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    finite = np.isfinite(flat)
    known = flat[finite]
    if not len(known):
        return [len(flat), len(flat), 0.0, 0.0, 0.0, 0.0]
    mean, std = float(known.mean()), float(known.std())
    off = np.where(finite, flat - mean, 0.0) / math.sqrt(len(flat))
    projections = [float(off @ _weights(len(flat), which)) for which in (1, 2)]
    digits = DIGITS - 1 - math.floor(math.log10(_scale(mean, std)))
    return [len(flat), len(flat) - len(known), *(round(one, digits) + 0.0 for one in (mean, std, *projections))]


def _scale(mean: float, std: float) -> float:
    """What differences count against: the spread, or of what hardly varies, a tenth of its size."""
    return max(std, abs(mean) / 10) or 1.0


def _weights(count: int, which: int) -> np.ndarray:
    """(count,) of variance 1; NumPy guarantees that the raw numbers of its bit generators stay what they are."""
    uniform = np.random.PCG64(which).random_raw(count) / 2.0**64
    return (2 * uniform - 1) * math.sqrt(3)


def hashed(value: Any) -> str:
    """Eight hexadecimal digits of a JSON value, identifiers and dates aside."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("\\n", "\n")
    order: dict[str, str] = {}
    text = IDENTIFIER.sub(lambda found: order.setdefault(found[0], f"<{len(order)}>"), DATE.sub("<date>", text))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def condensed(found: Fingerprint) -> Fingerprint:
    """A whole fingerprint in two lines: the hash of all that is exact, and what is described, combined."""
    exact, relative = [], []
    for place, leaf in found.items():
        exact.append([place, leaf if isinstance(leaf, str) else leaf[:2]])
        if not isinstance(leaf, str):
            scale = _scale(leaf[2], leaf[3])
            # Far from zero, a mean counts by its size, so that no leaf outweighs the others.
            relative += [leaf[2] / (scale + abs(leaf[2])), math.log(scale), *(one / scale for one in leaf[4:])]
    return {"exact": hashed(exact), "described": of_numbers(np.array(relative))}


def differences(stored: Fingerprint, now: Fingerprint, tolerances: Tolerances) -> Iterator[str]:
    """What differs between two fingerprints, a line each."""
    for place in dict.fromkeys([*stored, *now]):
        before, after = stored.get(place), now.get(place)
        if before is None or after is None:
            yield f"{place} is {'new' if before is None else 'gone'}"
        elif isinstance(before, str) or isinstance(after, str):
            if before != after:
                yield f"{place} has other content"
        elif before[:2] != after[:2]:
            yield f"{place}: {_counted(before)}, now {_counted(after)}"
        else:
            tolerance = next(share for pattern, share in tolerances if re.search(pattern, place))
            if tolerance is None:
                before, after = ([math.hypot(*leaf[2:4])] for leaf in (before, after))
                scale, tolerance = before[0] or 1.0, SIZE_TOLERANCE
            else:
                scale = _scale(before[2], before[3])
            off = max(abs(one - two) for one, two in zip(before[-4:], after[-4:], strict=True)) / scale
            if off > tolerance + 10.0 ** (1 - DIGITS):
                yield f"{place} is off by {off:.2g}, where {tolerance:g} may be rounding"


def _counted(leaf: Iterable[float]) -> str:
    count, missing = list(leaf)[:2]
    return f"{count:.0f} numbers, {missing:.0f} of them missing"
