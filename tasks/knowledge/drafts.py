"""What a language model answers, and how it is read.

The local model answers in lines of one fixed form (`tasks.knowledge.claims`). Other models answer with a JSON object:
claims, and sentences that say which claims they tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.utils.json import parse_json_markdown
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.knowledge.claims import STATEMENT_PREFIX, Claim, parse_claim


class Sentence(BaseModel):
    """A sentence of a proposed narrative.

    Attributes:
        text: the sentence.
        claims: places, from 0, of the claims that it tells.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, max_length=600)
    claims: list[int] = Field(min_length=1)


class Answer(BaseModel):
    """The JSON object that a model is asked for."""

    model_config = ConfigDict(extra="forbid")

    claims: list[dict[str, Any]]
    sentences: list[Sentence] = Field(default_factory=list)


@dataclass(frozen=True)
class Draft:
    """What was understood of an answer.

    Attributes:
        claims: readable claims, without repeats, in the model's order.
        unreadable: why claims could not be read, to be quoted back.
        sentences: text and claims of each proposed sentence whose claims could all be read.
    """

    claims: tuple[Claim, ...]
    unreadable: tuple[str, ...] = ()
    sentences: tuple[tuple[str, tuple[Claim, ...]], ...] = field(default=())


def read_lines(answer: str, names: Mapping[str, str]) -> Draft:
    """Read an answer in lines; what is not a claim in the fixed form is passed over."""
    found = [parse_claim(line, names) for line in answer.splitlines()]
    return Draft(claims=tuple(dict.fromkeys(claim for claim in found if claim is not None)))


def read_json(answer: str, names: Mapping[str, str]) -> Draft:
    """Read an answer in JSON, with or without a code fence.

    Raises:
        ValueError: it is not a JSON object of the form asked for, so the model should be asked again.
    """
    try:
        parsed = Answer.model_validate(parse_json_markdown(answer))
    except (OutputParserException, ValidationError, TypeError, AttributeError) as error:
        raise ValueError(f"the answer is not the JSON object asked for ({_first_line(error)})") from error
    claims: list[Claim | None] = []
    unreadable: list[str] = []
    for proposed in parsed.claims:
        try:
            claim = Claim.model_validate(proposed)
            if claim.feature.startswith(STATEMENT_PREFIX) and claim.feature.removeprefix(STATEMENT_PREFIX) not in names:
                raise ValueError(f"{claim.feature} is not a statement of this dataset")
            claims.append(claim)
        except ValueError as error:
            claims.append(None)
            unreadable.append(f"claim {len(claims) - 1}: {_reason(error)}")
    sentences = []
    for sentence in parsed.sentences:
        stated = [claims[place] if 0 <= place < len(claims) else None for place in sentence.claims]
        known = tuple(claim for claim in stated if claim is not None)
        if len(known) == len(stated):
            sentences.append((sentence.text, known))
    return Draft(
        claims=tuple(dict.fromkeys(claim for claim in claims if claim is not None)),
        unreadable=tuple(unreadable),
        sentences=tuple(sentences),
    )


def _reason(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    return str(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
