"""A stand-in for the local language model."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from tasks.knowledge.local_model import LocalChatModel


class ScriptedLines(LocalChatModel):
    """Stands in for the local model: of the lines it may choose from it takes the first, of every group in turn."""

    asked: list[Any] = Field(default_factory=list)

    def _generate(self, messages: list[BaseMessage], *_: Any, **given: Any) -> ChatResult:
        choices, lines = given["choices"], given["lines"]
        self.asked.append({"messages": [str(one.content) for one in messages], "choices": [list(c) for c in choices]})
        return ChatResult(generations=[ChatGeneration(message=AIMessage("\n".join(c[0] for c in choices[:lines])))])
