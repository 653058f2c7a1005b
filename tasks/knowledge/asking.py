"""Asking a language model so that nothing is lost: every answer is kept on disk, every failure is survived."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, message_to_dict
from langchain_core.rate_limiters import InMemoryRateLimiter

from tasks.knowledge.drafts import Draft
from tasks.knowledge.local_model import LocalChatModel
from tasks.settings import KnowledgeSettings
from tasks.stage import run_logger
from warehouse.errors import EinthovenError
from warehouse.storage.reference import digest
from warehouse.storage.whole_files import write_text, writing

MAX_RETRIES = 3
"""Times a failed call of the model is tried again."""
RETRY_WAIT_S = 2.0
"""Wait before the first retry; doubles each time."""
GIVE_UP_AFTER = 3
"""Questions in a row that failed, retries included, before the model counts as gone."""


class Respondent:
    """A language model that remembers its answers; several threads may ask it.

    As soon as an answer is given it is kept in a file, named by the digest of the messages (and with them the evidence
    and the prompt), the model, its settings and the choices it had. A build that was killed, or for which one condition
    changed, asks only what it has no answer to.

    Args:
        model: any LangChain chat model.
        identity: names the model; part of every digest.
        settings: temperature, seed, timeout.
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
        pace = settings.requests_per_minute
        self._limiter = None if pace is None else InMemoryRateLimiter(requests_per_second=pace / 60)
        self.asked = self.cached = self.failed = 0
        self._failed_in_a_row = 0
        self._counting = threading.Lock()

    @property
    def local(self) -> bool:
        """Whether it is the local model, which answers in lines drawn from choices."""
        return isinstance(self.model, LocalChatModel)

    def answer(
        self,
        messages: list[BaseMessage],
        choices: Sequence[Sequence[str]],
        lines: int,
        read: Callable[[str], Draft],
    ) -> Draft | None:
        """The answer to a conversation; None when the model could not be reached, broke or had nothing to say.

        Args:
            messages: the conversation.
            choices: lines that the local model may choose from, in groups of alternatives. Other models write freely.
            lines: lines wanted.
            read: understands an answer, or raises ValueError, upon which the model is asked again.
        """
        shaping = (self.identity, self.settings.temperature, self.settings.seed, lines)
        conversation = [message_to_dict(one)["data"]["content"] for one in messages]
        kept = self.folder / f"{digest(shaping, conversation, [list(group) for group in choices])}.json"
        if (found := _kept_answer(kept, read)) is not None:
            with self._counting:
                self.cached += 1
            return found
        if self._failed_in_a_row >= GIVE_UP_AFTER:
            return None
        answered = self._ask(messages, {"choices": choices, "lines": lines} if self.local else {}, read)
        with self._counting:
            if answered is None:
                self.failed += 1
                self._failed_in_a_row += 1
                if self._failed_in_a_row == GIVE_UP_AFTER:
                    run_logger().warning(
                        "%s failed %d times in a row and is not asked again", self.identity, GIVE_UP_AFTER
                    )
                return None
            self._failed_in_a_row = 0
            self.asked += 1
        text, draft = answered
        write_text(kept, json.dumps({"model": self.identity, "answer": text}))
        return draft

    def _ask(
        self, messages: list[BaseMessage], arguments: dict[str, Any], read: Callable[[str], Draft]
    ) -> tuple[str, Draft] | None:
        for retry in range(MAX_RETRIES + 1):
            try:
                text = self._invoke(messages, arguments)
                if text.strip():
                    return text, read(text)
                run_logger().warning("%s: empty answer", self.identity)
            except EinthovenError:
                raise
            except Exception as error:  # noqa: BLE001  timeouts and refusals are every provider's own types
                run_logger().warning("%s: %s: %s", self.identity, type(error).__name__, error)
            if retry < MAX_RETRIES:
                self.wait(RETRY_WAIT_S * 2**retry)
        return None

    def _invoke(self, messages: list[BaseMessage], arguments: dict[str, Any]) -> str:
        """Call the model; one that is not local has `timeout_s` to answer, whatever its own settings are."""
        if self.local:
            return str(self.model.invoke(messages, **arguments).text)
        if self._limiter is not None:
            self._limiter.acquire()
        answers: Queue[str | Exception] = Queue()

        def call() -> None:
            try:
                answers.put(str(self.model.invoke(messages, **arguments).text))
            except Exception as error:  # noqa: BLE001  handed to the caller
                answers.put(error)

        # A daemon: a call that never returns must not keep the process alive.
        threading.Thread(target=call, name="language-model", daemon=True).start()
        try:
            answer = answers.get(timeout=self.settings.timeout_s)
        except Empty:
            raise TimeoutError(f"no answer within {self.settings.timeout_s:g} s (knowledge.timeout_s)") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _kept_answer(path: Path, read: Callable[[str], Draft]) -> Draft | None:
    try:
        return read(str(json.loads(path.read_text(encoding="utf-8"))["answer"]))
    except (FileNotFoundError, ValueError, KeyError):
        return None
