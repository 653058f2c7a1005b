"""What requests and reports call an ECG: names of statements, and wordings that are no statement
(`vocabulary.yaml`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from warehouse.statements import statements

PACING: Final = frozenset(
    "SR SBRAD STACH SARRH AFIB AFLT SVTAC PSVT PACE 2AVB 3AVB BRADY VTACH AVJR ARH IR".split()  # noqa: SIM905
)
"""Statements that decide on the heart rate; those below them do, too."""


@dataclass(frozen=True)
class Concept:
    """What a wording means.

    Attributes:
        name: the usual wording.
        asks: statements that a request for it asks for; none for a wording that is too general, or names no statement.
        excludes: statements that must be absent where it is negated.
        denies: statements that must be absent where it is asked for ("narrow QRS").
        hint: what to say instead of a wording that cannot be asked for.
        held: whether statements hold it at all.
        axis, stage: the heart axis and the stage of an infarction that it implies, as PTB-XL codes them.
        rate: heart rates in bpm that are asked for with it, e.g. ">100" or "60-100".
        excluded_rate: heart rates that are asked for where it is negated.
        with_rhythm: heart rates that it means, instead of `asks`, beside a rhythm of no sinus node.
        within: heart rates that it allows.
        otherwise: it says that an ECG is normal but for what else is asked for.
        finding: the phrase of `tasks.conditions.report_findings` that says it, since no statement does.
    """

    name: str
    asks: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    denies: tuple[str, ...] = ()
    hint: str = ""
    held: bool = True
    axis: str = ""
    stage: str = ""
    rate: str = ""
    excluded_rate: str = ""
    with_rhythm: str = ""
    within: str = ""
    otherwise: bool = False
    finding: str = ""

    @property
    def names_stage(self) -> bool:
        """Whether it is a stage of infarctions that are named elsewhere."""
        return bool(self.stage) and not (self.asks or self.excludes)

    @property
    def paces(self) -> bool:
        """Whether it says how fast or by what the heart is paced."""
        return bool(self.rate) or not PACING.isdisjoint(statements().with_broader(self.asks))


@dataclass(frozen=True)
class Vocabulary:
    """Every wording with its concept; of wordings that come twice, the later one counts.

    Attributes:
        wordings: of PTB-XL's statements, which every request may name, and of `vocabulary.yaml`.
        of_sources: statement that only other sources make to its wordings, which name it where recordings hold it.
        names: PTB-XL's statement to its names.
    """

    wordings: tuple[tuple[str, Concept], ...]
    of_sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """Names and spellings of the warehouse's statements, and the wordings of `vocabulary.yaml`."""
    import yaml

    written = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
    parts = {
        name: "{" + "|".join(word for one in many for word in expanded(one, {})) + "}"
        for name, many in written["parts"].items()
    }
    wordings: list[tuple[str, Concept]] = []

    def add(concept: Concept, many: list[str]) -> None:
        wordings.extend((wording, concept) for one in many for wording in expanded(one, parts))

    known = {code: one for code, one in statements().by_code.items() if one.names}
    for code, one in known.items():
        add(Concept(one.names[0], asks=(code,), excludes=(code,)), [code, *one.names, *one.spellings])
    for said in written["groups"]:
        fields: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in said.items()}
        names = list(fields.pop("names"))
        add(Concept(next(expanded(names[0], parts)), **fields), names)
    for said in written["unavailable"]:
        add(
            Concept(next(expanded(said["names"][0], parts)), hint=said.get("hint", ""), held=False),
            said["names"],
        )
    of_sources = {
        code: tuple(wording for many in (one.description, *one.spellings) for wording in expanded(many, parts))
        for code, one in statements().by_code.items()
        if code not in known
    }
    return Vocabulary(tuple(wordings), of_sources, {code: one.names for code, one in known.items()})


def names_of(code: str, description: str) -> list[str]:
    """Every name of a statement, its description first; a statement the vocabulary does not know has only that."""
    return list(dict.fromkeys([description, *vocabulary().names.get(code, ())]))


def expanded(wording: Any, parts: Mapping[str, str]) -> Iterator[str]:
    """All wordings that one with alternatives stands for: "{low|flat} T{| wave}" for four."""
    written = re.sub(r"<(\w+)>", lambda found: parts[found[1]], str(wording))
    for one in _expanded(written):
        yield " ".join(one.split())


def _expanded(written: str) -> list[str]:
    whole, depth, start = [""], 0, 0
    for at, letter in enumerate(written):
        if letter == "{":
            if depth == 0:
                whole, start = [one + written[start:at] for one in whole], at + 1
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                inner = [one for choice in _choices(written[start:at]) for one in _expanded(choice)]
                whole, start = [one + more for one in whole for more in inner], at + 1
    return [one + written[start:] for one in whole]


def _choices(written: str) -> list[str]:
    choices, depth = [""], 0
    for letter in written:
        depth += (letter == "{") - (letter == "}")
        if letter == "|" and depth == 0:
            choices.append("")
        else:
            choices[-1] += letter
    return choices
