"""Prompts, one file per version: an entry names the version that it was written with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

FINDINGS_PROMPT: Final = "findings_v2"
"""Asks for findings in lines of a fixed form: for the local model."""
DRAFT_PROMPT: Final = "draft_v1"
"""Asks for claims and sentences in JSON: for every other model."""

_ROLES: Final[dict[str, type[BaseMessage]]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
_PROMPTS = Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=False)


def messages(version: str, **values: Any) -> list[BaseMessage]:
    """The conversation of a prompt file, whose parts begin with lines like "--- user"."""
    text = _PROMPTS.get_template(f"{version}.jinja").render(**values)
    parts = re.split(r"^--- (\w+)\n", text, flags=re.MULTILINE)[1:]
    return [_ROLES[role](content.strip()) for role, content in zip(parts[::2], parts[1::2], strict=True)]
