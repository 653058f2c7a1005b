"""Asking a language model so that nothing is lost: every answer is kept on disk, every failure is survived."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, message_to_dict

from tasks.knowledge.local_model import LocalChatModel
from tasks.settings import KnowledgeSettings
from tasks.stage import run_logger
from warehouse.errors import EinthovenError
from warehouse.reference import digest
from warehouse.store import write_text, writing

GIVE_UP_AFTER = 3
"""Questions in a row that failed, retries included, before the model counts as gone."""


class Respondent:
    """A language model that remembers its answers.

    As soon as an answer is given it is kept in a file, named by the digest of the messages (and with them the evidence
    and the prompt), the model, its settings and the choices it had. A build that was killed, or for which one condition
    changed, asks only what it has no answer to.

    Args:
        model: any LangChain chat model.
        identity: names the model; part of every digest.
        settings: temperature, seed, retries.
        folder: where answers are kept.
        wait: waits some seconds between retries.
    """

    def __init__(
        self,
        model: BaseChatModel,
        identity: str,
        settings: KnowledgeSettings,
        folder: Path,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.model, self.identity, self.settings, self.folder, self.wait = model, identity, settings, folder, wait
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.asked = self.cached = self.failed = 0
        self._failed_in_a_row = 0

    def answer(self, messages: list[BaseMessage], choices: Sequence[Sequence[str]], lines: int) -> str | None:
        """The answer to a conversation; None when the model could not be reached, broke or had nothing to say.

        Args:
            messages: the conversation.
            choices: lines that the local model may choose from, in groups of alternatives. Other models write freely.
            lines: lines wanted.
        """
        shaping = (self.identity, self.settings.temperature, self.settings.seed, lines)
        conversation = [message_to_dict(one)["data"]["content"] for one in messages]
        kept = self.folder / f"{digest(shaping, conversation, [list(group) for group in choices])}.json"
        if (found := _read(kept)) is not None:
            self.cached += 1
            return found
        if self._failed_in_a_row >= GIVE_UP_AFTER:
            return None
        text = self._ask(
            messages, {"choices": choices, "lines": lines} if isinstance(self.model, LocalChatModel) else {}
        )
        if text is None:
            self.failed += 1
            self._failed_in_a_row += 1
            if self._failed_in_a_row == GIVE_UP_AFTER:
                run_logger().warning("%s failed %d times in a row and is not asked again", self.identity, GIVE_UP_AFTER)
            return None
        self._failed_in_a_row = 0
        self.asked += 1
        write_text(kept, json.dumps({"model": self.identity, "answer": text}))
        return text

    def _ask(self, messages: list[BaseMessage], arguments: dict[str, Any]) -> str | None:
        for retry in range(self.settings.max_retries + 1):
            try:
                if (text := str(self.model.invoke(messages, **arguments).text)).strip():
                    return text
                run_logger().warning("%s: empty answer", self.identity)
            except EinthovenError:
                raise
            except Exception as error:  # noqa: BLE001  timeouts and refusals are every provider's own types
                run_logger().warning("%s: %s: %s", self.identity, type(error).__name__, error)
            if retry < self.settings.max_retries:
                self.wait(self.settings.retry_wait_s * 2**retry)
        return None


def _read(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["answer"])
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
