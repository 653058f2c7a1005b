"""Digests of what every stage makes, beside its code version: a result cannot change under the id of an older one.

    python -m tests.output_digests            compare with the stored digests
    python -m tests.output_digests --store    store them

An id stands for a stage's code version, settings and inputs, so as long as these stay, its output must. Each stage is
run small and seeded (`tests.stage_outputs`) and its output described (`tests.fingerprints`). If the description is not
the stored one although the code version and all that the run is given are, the code version has to be raised; storing
is refused until it is.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from tasks.stage import Stage
from tests.fingerprints import (
    Fingerprint,
    Tolerances,
    condensed,
    described,
    differences,
    fingerprint,
    hashed,
    of_array,
)
from tests.stage_outputs import OUTPUTS, Output, StageOutputs

ROOT = Path(__file__).resolve().parent.parent
STORED = Path(__file__).with_suffix(".json")
COMMAND = "make digests"
GIVEN: Tolerances = (("", 1e-3),)
SHOWN = 6
"""Differences that a message lists."""

Entry = dict[str, Any]
"""Of one stage: `code_version`, `given` (fingerprint of settings and inputs) and `made` (fingerprint of the output)."""


class Finding(Enum):
    """How a stage's output stands to the stored digest."""

    SAME = "same"
    NEW = "new"
    RAISED = "raised"
    LOWERED = "lowered"
    GIVEN_OTHERWISE = "given otherwise"
    CHANGED = "changed"


@dataclass(frozen=True)
class Verdict:
    """A finding and what to do about it, in one line; nothing where all is as stored."""

    finding: Finding
    advice: str = ""


class Digests:
    """The entries of all stages as they are now, each made when it is first asked for."""

    def __init__(self, outputs: StageOutputs) -> None:
        self.outputs = outputs
        self._entries: dict[str, tuple[Output, Entry]] = {}

    def of(self, name: str) -> tuple[Output, Entry]:
        """A stage's output and its entry."""
        if name not in self._entries:
            output = OUTPUTS[name](self.outputs)
            self._entries[name] = output, entry_of(output)
        return self._entries[name]

    def verdict(self, name: str, stored: dict[str, Entry]) -> Verdict:
        """What a stage's entry says beside the stored ones."""
        output, now = self.of(name)
        made_by_others = [one for one in output.after if self.verdict(one, stored).finding is not Finding.SAME]
        return judge(output, stored.get(name), now, made_by_others)


def entry_of(output: Output) -> Entry:
    """What is stored of an output."""
    given: Fingerprint = {"settings": hashed([section.for_digest() for section in output.settings])}
    for name, folder in output.inputs.items():
        given |= {f"{name}, {part}": leaf for part, leaf in condensed(fingerprint(folder)).items()}
    made = fingerprint(output.folder)
    if output.copied:
        made = {place: leaf for place, leaf in made.items() if not re.search(output.copied, place)}
    for name, value in output.beside.items():
        made |= {name: of_array(value)} if isinstance(value, np.ndarray) else described(name, value)
    return {"code_version": output.stage.code_version, "given": given, "made": made}


def judge(output: Output, stored: Entry | None, now: Entry, changed_before: list[str]) -> Verdict:
    """Compare an entry with the stored one.

    Args:
        changed_before: stages that made this one's inputs and are not as stored themselves.
    """
    name, file = output.stage.name, defined_in(output.stage)
    if stored is None:
        return Verdict(Finding.NEW, f"{name} has no stored digest; run `{COMMAND}`")
    made = list(differences(stored["made"], now["made"], output.tolerances))
    given = [*changed_before, *differences(stored["given"], now["given"], GIVEN)]
    before, after = stored["code_version"], now["code_version"]
    if after < before:
        return Verdict(
            Finding.LOWERED,
            f"the code version of {name} ({file}) went back from {before} to {after}, and {after} names older results; "
            f"make it {before + 1}",
        )
    if after > before:
        how = f"its output changed ({_listed(made)})" if made else "its output did not change, which is fine"
        return Verdict(
            Finding.RAISED,
            f"the code version of {name} was raised from {before} to {after} and {how}; run `{COMMAND}` to store it",
        )
    if given:
        return Verdict(
            Finding.GIVEN_OTHERWISE,
            f"{name} is given something else than when its digest was stored ({_listed(given)}), so its id would be "
            f"another, too; run `{COMMAND}` to store its digest anew",
        )
    if made:
        return Verdict(
            Finding.CHANGED,
            f"raise the code version of {name} ({file}) and run `{COMMAND}` to store the new digest: "
            f"its output changed; settings, inputs and code version {after} did not ({_listed(made)})",
        )
    return Verdict(Finding.SAME)


def defined_in(stage: Stage) -> str:
    """The file that defines a stage, relative to the repository."""
    files = sorted(ROOT.glob("tasks/**/*.py"))
    return next(str(path.relative_to(ROOT)) for path in files if f'Stage("{stage.name}"' in path.read_text("utf-8"))


def _listed(differing: list[str]) -> str:
    more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return "; ".join(differing[:SHOWN]) + more


def load() -> dict[str, Entry]:
    """The stored entries; none without a file."""
    found: dict[str, Entry] = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    return found


def save(entries: dict[str, Entry]) -> None:
    """Write entries, one line for each column, tensor or file, so that a diff shows what changed."""
    STORED.write_text(_text(entries) + "\n", encoding="utf-8")


def _text(value: Any, indent: str = "") -> str:
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    lines = [f"{indent} {_text(key)}: {_text(held, indent + ' ')}" for key, held in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns 1 where something is to be done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--store", action="store_true", help="store the digests of what stages make now")
    parser.add_argument(
        "--accept",
        nargs="+",
        default=[],
        choices=[*OUTPUTS, "all"],
        metavar="STAGE",
        help="with --store: also store a changed output whose code version was not raised, as after new library "
        "versions; 'all' for every stage",
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of: {', '.join(OUTPUTS)}; all if none is named")
    chosen = parser.parse_args(arguments)
    if unknown := {*chosen.stages} - {*OUTPUTS}:
        parser.error(f"unknown stage: {', '.join(sorted(unknown))}; there are {', '.join(OUTPUTS)}")
    logging.getLogger().setLevel(logging.WARNING)
    stored, open_findings = load(), 0
    kept = dict(stored)
    with tempfile.TemporaryDirectory(prefix="output-digests-") as folder:
        digests = Digests(StageOutputs(Path(folder)))
        for name in chosen.stages or OUTPUTS:
            started = time.monotonic()
            verdict = digests.verdict(name, stored)
            refused = verdict.finding in (Finding.CHANGED, Finding.LOWERED) and not {name, "all"} & {*chosen.accept}
            store = chosen.store and not refused and verdict.finding is not Finding.SAME
            open_findings += verdict.finding is not Finding.SAME and not store
            if store:
                kept[name] = digests.of(name)[1]
            said = f"{verdict.finding.value}{', stored' if store else ''}"
            print(f"{name}: {said} ({time.monotonic() - started:.0f} s)", flush=True)
            if not store and verdict.advice:
                print(f"  {verdict.advice}", flush=True)
    if chosen.store:
        save({name: kept[name] for name in OUTPUTS if name in kept})
        print(f"{STORED.name} written", flush=True)
    return 1 if open_findings else 0


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    sys.exit(main())
