"""The record of the ablation while it grows: runs that it holds are not made again, on whatever machine.

The record is all that has to travel between machines. It is written after every run, so that a kill loses the run that
was being made and no other; a run of other code or of other settings has another key and is dropped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError, model_validator
from rich.console import Console

from benchmarks.ablation_arms import ALWAYS, ARMS, QUICK, SAMPLED, Planned, Profile, Seeds, plan
from benchmarks.ablation_table import (
    AUTOENCODER_FLOOR,
    REAL,
    SOURCES,
    Run,
    drawn_table,
    summaries,
    targets,
    with_references,
)
from benchmarks.record import publish, record_path
from tasks.settings import Settings

NAME = "ablation"


class _Details(BaseModel):
    runs: list[Run] = Field(default_factory=list)

    @model_validator(mode="after")
    def _runs_have_keys(self) -> _Details:
        if any(not run.key for run in self.runs if run.arm not in (REAL, AUTOENCODER_FLOOR)):
            raise ValueError("its runs have no keys, so older code wrote it")
        return self


class _Earlier(BaseModel):
    """What is taken from a record that an earlier call wrote; anything else in it is derived from the runs."""

    seconds: float = 0.0
    details: _Details = Field(default_factory=_Details)

    @property
    def runs(self) -> dict[str, Run]:
        """Key to run."""
        return {run.key: run for run in self.details.runs if run.key}


@dataclass(frozen=True)
class AblationRecord:
    """The record that one call of the benchmark goes on with.

    Attributes:
        profile: the settings that all arms share.
        arms, seeds: whose every combination is a run.
        results: folder of the record.
        started: when the call began, on the monotonic clock.
    """

    profile: Profile
    arms: list[str]
    seeds: Seeds
    results: Path
    started: float = field(default_factory=time.monotonic)

    @cached_property
    def settings(self) -> Settings:
        """The shared settings, as they were when the call began."""
        return self.profile.settings()

    @property
    def planned(self) -> list[Planned]:
        """Every run, in the order in which they are made."""
        return plan(self.arms, self.seeds)

    @property
    def path(self) -> Path:
        """The file."""
        return record_path(NAME, self.profile.quick, self.results)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self.started

    def taken_over(self, keys: Mapping[Planned, str]) -> dict[Planned, Run]:
        """The planned runs that the record holds; what it holds is said in one line.

        Args:
            keys: of the planned runs.
        """
        held = self._earlier.runs
        found = {one: held[key] for one, key in keys.items() if key in held}
        if held:
            others = f"; {len(held) - len(found)} of other code, settings or seeds are not"
            words = f"{len(found)} of {len(keys)} runs are taken over from {self.path}"
            print(words + (others if len(held) > len(found) else ""), file=sys.stderr)
        return found

    def missing(self, runs: Mapping[Planned, Run]) -> list[str]:
        """The planned runs that are not there yet."""
        return [str(one) for one in self.planned if one not in runs]

    def write(self, runs: Mapping[Planned, Run], show: bool = False) -> None:
        """Write the record of the runs that are there, complete or not.

        Args:
            runs: those taken over and those made.
            show: print the tables too.
        """
        table = with_references(runs[one] for one in self.planned if one in runs)
        found = summaries(table)
        if show:
            Console(width=None if sys.stdout.isatty() else 60 + 20 * len(found)).print(drawn_table(found, NAME))
        went_on = any(run.key in self._earlier.runs for run in runs.values())
        publish(
            NAME,
            targets(table),
            quick=self.profile.quick,
            # Of all calls that made what the record holds.
            seconds=self.elapsed_s + (self._earlier.seconds if went_on else 0.0),
            settings={"profile": self.profile.name, **self.settings.for_digest()},
            details={
                "arms": {arm: ARMS.get(arm, {}) for arm in self.arms},
                "in_every_arm": {**ALWAYS, **SAMPLED, **(QUICK if self.profile.quick else {})},
                "seeds": {"training": self.seeds.training, "cohort": self.seeds.cohort},
                "missing": self.missing(runs),
                "intervals": SOURCES,
                "table": {
                    arm: {name: one.model_dump() for name, one in of_arm.items()} for arm, of_arm in found.items()
                },
                "runs": [run.model_dump() for run in table],
            },
            results=self.results,
            show=show,
        )

    @cached_property
    def _earlier(self) -> _Earlier:
        try:
            return _Earlier.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return _Earlier()
        except (OSError, ValidationError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            print(f"nothing is taken over from {self.path}: {reason}", file=sys.stderr)
            return _Earlier()
