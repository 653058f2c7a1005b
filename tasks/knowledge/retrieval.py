"""Which knowledge entries fit a request: similar text, overlapping statements, matching sex and age.

    score = w_e · cosine(text, entry) + w_s · Jaccard(statements, entry) + w_d · demographics(request, entry)

The paper retrieves by Jaccard over code sets alone (SE-Diff, arXiv 2511.09895, experience retrieval); the cosine lets a
request in free words find entries too. Demographics: the mean over sex and age band of 1 (match), 0.5 (the entry is
about everyone, or the request does not say) and 0 (mismatch).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tasks.settings import RetrievalWeights
from warehouse.schema import EMBEDDING_SIZE

BLOCK = 8192
"""Requests scored at once; bounds memory at a few MB per hundred entries."""

Embed = Callable[[list[str]], np.ndarray]
"""Texts to their (n, 384) embeddings of length 1."""


class Request(NamedTuple):
    """What knowledge is wanted for. Equal requests are scored once."""

    text: str
    statements: frozenset[str]
    sex: str | None
    age_band: str | None


@dataclass(frozen=True)
class KnowledgeIndex:
    """The entries of a knowledge table, ready to be searched.

    Attributes:
        entry_ids: id of each of the E entries.
        embeddings: (E, 384), length 1 each.
        statements: statements that each entry is about.
        sexes: sex that each entry is about, None for both.
        age_bands: age band that each entry is about, None for all.
    """

    entry_ids: tuple[str, ...]
    embeddings: np.ndarray
    statements: tuple[frozenset[str], ...]
    sexes: tuple[str | None, ...]
    age_bands: tuple[str | None, ...]

    @classmethod
    def from_table(cls, table: pa.Table | None) -> KnowledgeIndex:
        """Index a `knowledge` table; without a table, or with an empty one, nothing is ever found."""
        rows = (
            [] if table is None else table.select(["entry_id", "statement", "sex", "age_band", "embedding"]).to_pylist()
        )
        vectors = np.array([row["embedding"] for row in rows], dtype=np.float32).reshape(len(rows), EMBEDDING_SIZE)
        return cls(
            entry_ids=tuple(row["entry_id"] for row in rows),
            embeddings=vectors,
            statements=tuple(frozenset([row["statement"]]) for row in rows),
            sexes=tuple(row["sex"] for row in rows),
            age_bands=tuple(row["age_band"] for row in rows),
        )

    def retrieve(self, requests: Sequence[Request], embed: Embed, weights: RetrievalWeights, top_k: int) -> np.ndarray:
        """The best entries of each request, best first; ties go to the earlier entry.

        Args:
            requests: R requests; equal ones cost nothing.
            embed: embeds the texts of the distinct requests.

        Returns:
            (R, min(top_k, E)) row numbers of entries.
        """
        width = min(top_k, len(self.entry_ids))
        if not requests or not width:
            return np.zeros((len(requests), width), dtype=np.int64)
        number: dict[Request, int] = {}
        which = np.array([number.setdefault(request, len(number)) for request in requests])
        distinct = list(number)
        best = np.empty((len(distinct), width), dtype=np.int64)
        for start in range(0, len(distinct), BLOCK):
            block = distinct[start : start + BLOCK]
            scores = self.scores(block, embed, weights)
            best[start : start + BLOCK] = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        return best[which]

    def scores(self, requests: Sequence[Request], embed: Embed, weights: RetrievalWeights) -> np.ndarray:
        """(R, E) scores of every entry for every request."""
        texts = sorted({request.text for request in requests})
        row = {text: index for index, text in enumerate(texts)}
        cosine = (embed(texts) @ self.embeddings.T)[[row[request.text] for request in requests]]
        demographics = (
            match([request.sex for request in requests], self.sexes)
            + match([request.age_band for request in requests], self.age_bands)
        ) / 2
        overlap = jaccard([request.statements for request in requests], self.statements)
        return weights.embedding * cosine + weights.statements * overlap + weights.demographics * demographics


def jaccard(left: Sequence[frozenset[str]], right: Sequence[frozenset[str]]) -> np.ndarray:
    """(len(left), len(right)) Jaccard similarities |A ∩ B| / |A ∪ B|; 0 where both sets are empty."""
    codes = {code: index for index, code in enumerate(sorted(frozenset().union(*left, *right)))}
    a, b = membership(left, codes), membership(right, codes)
    shared = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def membership(sets: Sequence[frozenset[str]], codes: dict[str, int]) -> np.ndarray:
    """(len(sets), len(codes)) matrix of 0 and 1."""
    matrix = np.zeros((len(sets), len(codes)), dtype=np.float32)
    for row, members in enumerate(sets):
        matrix[row, [codes[code] for code in members]] = 1
    return matrix


def match(wanted: Sequence[str | None], offered: Sequence[str | None]) -> np.ndarray:
    """(len(wanted), len(offered)) matrix: 1 for equal, 0 for different, 0.5 where either does not say."""
    left, right = np.array(wanted, dtype=object)[:, None], np.array(offered, dtype=object)[None, :]
    unsaid = (left == None) | (right == None)  # noqa: E711  elementwise
    return np.where(unsaid, 0.5, (left == right).astype(np.float32)).astype(np.float32)
