"""Which statements a free text speaks of."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from tasks.knowledge.vocabulary import names_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from langchain_core.embeddings import Embeddings

SAME_MEANING: Final = 0.68
"""Cosine of MiniLM embeddings from which a phrase is taken for a statement's name."""


class StatementReader:
    """Reads statements out of words. Negations ("no ST elevation") are not understood.

    Args:
        embeddings: embeds phrases that are not spelled like any name.
        statement_facts: the statements that there are, with their descriptions.
    """

    def __init__(self, embeddings: Embeddings, statement_facts: Mapping[str, Mapping[str, Any]]) -> None:
        self.embeddings = embeddings
        self._names = [
            (name, code)
            for code, facts in statement_facts.items()
            for name in names_of(code, str(facts.get("description") or code))
        ]
        self._spelled = {plain(name): code for name, code in self._names} | {
            plain(code): code for code in statement_facts
        }

    def read(self, text: str) -> list[str]:
        """Codes of the statements that a text names, first by their letters, then by their meaning."""
        found: list[str] = []
        rest = plain(text)
        # Longest first, so that "incomplete right bundle branch block" is not taken for a shorter name inside it.
        for words in sorted(filter(None, self._spelled), key=len, reverse=True):
            rest, matches = re.subn(rf"(?<!\S){re.escape(words)}(?!\S)", "|", rest)
            if matches:
                found.append(self._spelled[words])
        phrases = [phrase.strip() for phrase in re.split(r"\||\b(?:and|with|plus)\b", rest) if phrase.strip()]
        if phrases and self._names:
            cosine = np.array(self.embeddings.embed_documents(phrases)) @ self._vectors.T
            best = cosine.argmax(axis=1)
            found += [self._names[at][1] for row, at in zip(cosine, best, strict=True) if row[at] >= SAME_MEANING]
        return list(dict.fromkeys(found))

    @cached_property
    def _vectors(self) -> np.ndarray:
        """(names, 384) embeddings, made when a text first needs them."""
        return np.array(self.embeddings.embed_documents([name for name, _ in self._names]))


def plain(text: str) -> str:
    """Lower-case words with single spaces; punctuation that ends a phrase becomes a bar."""
    return " ".join(re.sub(r"[^a-z0-9/()|_-]", " ", re.sub(r"[,;.:\n]", " | ", text.lower())).split())
