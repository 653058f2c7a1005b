"""Which knowledge entries fit a request: similar text and admission, overlapping statements, matching sex and age.

    score = w_e · closeness(text, entry) + w_s · Jaccard(statements, entry) + w_a · τ(admission, entry)
            + w_d · demographics(request, entry)

The paper retrieves by τ alone (SE-Diff, arXiv 2511.09895, experience retrieval), the weighted sum of the Jaccard
similarities of diagnoses, medications and procedures; here the three weigh a third each, and an entry has the codes
that many of its patients have. Recordings of a source without admissions have none, as requests in words; the cosine
lets those find entries too. Closeness: the largest cosine of the text with the entry's narrative and with
the names of its condition (`tasks.knowledge.vocabulary`). Demographics: the product over sex and age band of 1 (equal),
0.5 (the entry is about everyone), 0.2 (the entry is about some, the request does not say) and 0 (different), so that an
entry about some goes before the one about everyone only if it fits in both.

Each condition speaks once, by its best entry: the one about the request's sex and age band where there is one.
Otherwise the many entries of a frequent statement would leave no room for the others that a request names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from models.measured_features import MEASURED
from tasks.knowledge.errors import KnowledgeError
from tasks.knowledge.profiles import ADMISSION_VIEWS
from tasks.settings import RetrievalWeights
from warehouse.schema import EMBEDDING_SIZE

BLOCK = 8192
"""Requests scored at once; bounds memory at a few MB per hundred entries."""

INDEXED = ["entry_id", "statement", "sex", "age_band", "coded_views", "quartiles", "embedding", "name_embeddings"]
"""Columns of `knowledge` that retrieval reads."""

Embed = Callable[[list[str]], np.ndarray]
"""Texts to their (n, 384) embeddings of length 1."""


Admission = tuple[tuple[str, frozenset[str]], ...]
"""Views of an admission (`ADMISSION_VIEWS`) with their codes."""


class Request(NamedTuple):
    """What knowledge is wanted for. Equal requests are scored once."""

    text: str
    statements: frozenset[str]
    sex: str | None
    age_band: str | None
    admission: Admission = ()


@dataclass(frozen=True)
class KnowledgeIndex:
    """The entries of a knowledge table, ready to be searched.

    Attributes:
        entry_ids: id of each of the E entries.
        embeddings: (E, 384) of the narratives, length 1 each.
        names: (N, 384) of the conditions' names, length 1 each.
        name_rows: of each entry, the rows of `names` that are its condition's.
        statements: statements that each entry is about.
        sexes: sex that each entry is about, None for both.
        age_bands: age band that each entry is about, None for all.
        admissions: codes that many of each entry's patients have.
        quartiles: (E, `MEASURED`, 3) quartiles of what patients like each entry's measure; 0 where not known.
        measured: (E, `MEASURED`) bool, whether they are known.
    """

    entry_ids: tuple[str, ...]
    embeddings: np.ndarray
    names: np.ndarray
    name_rows: tuple[range, ...]
    statements: tuple[frozenset[str], ...]
    sexes: tuple[str | None, ...]
    age_bands: tuple[str | None, ...]
    admissions: tuple[Admission, ...]
    quartiles: np.ndarray
    measured: np.ndarray

    @classmethod
    def from_table(cls, table: pa.Table | None) -> KnowledgeIndex:
        """Index a `knowledge` table; without a table, or with an empty one, nothing is ever found.

        Raises:
            KnowledgeError: the table lacks a column, since an earlier version built it.
        """
        if table is not None and (missing := set(INDEXED) - set(table.column_names)):
            raise KnowledgeError(f"the knowledge base has no {', '.join(sorted(missing))}; build it again")
        rows = [] if table is None else table.select(INDEXED).to_pylist()
        # Entries of one condition share its names.
        names = {row["statement"]: row["name_embeddings"] or [] for row in rows}
        ends = np.cumsum([len(vectors) for vectors in names.values()]).tolist()
        places = {code: range(end - len(names[code]), end) for code, end in zip(names, ends, strict=True)}
        vectors = np.array([row["embedding"] for row in rows], dtype=np.float32).reshape(len(rows), EMBEDDING_SIZE)
        quartiles = np.zeros((len(rows), len(MEASURED), 3), np.float32)
        measured = np.zeros((len(rows), len(MEASURED)), bool)
        place = {(feature.name, feature.lead): index for index, feature in enumerate(MEASURED)}
        for entry, row in enumerate(rows):
            for one in row["quartiles"] or []:
                at = entry, place[one["feature"], one["lead"]]
                quartiles[at], measured[at] = (one["low"], one["median"], one["high"]), True
        return cls(
            quartiles=quartiles,
            measured=measured,
            entry_ids=tuple(row["entry_id"] for row in rows),
            embeddings=vectors,
            names=np.array([name for one in names.values() for name in one], np.float32).reshape(-1, EMBEDDING_SIZE),
            name_rows=tuple(places[row["statement"]] for row in rows),
            statements=tuple(frozenset([row["statement"]]) for row in rows),
            sexes=tuple(row["sex"] for row in rows),
            age_bands=tuple(row["age_band"] for row in rows),
            admissions=tuple(
                tuple((one["view"], frozenset(one["codes"])) for one in row["coded_views"] or []) for row in rows
            ),
        )

    def retrieve(self, requests: Sequence[Request], embed: Embed, weights: RetrievalWeights, top_k: int) -> np.ndarray:
        """The best entries of each request, best first; ties go to the earlier one.

        Args:
            requests: R requests; equal ones cost nothing.
            embed: embeds the texts of the distinct requests.

        Returns:
            (R, min(top_k, conditions)) row numbers of entries, no two about the same condition.
        """
        rows_of: dict[frozenset[str], list[int]] = {}
        for row, statements in enumerate(self.statements):
            rows_of.setdefault(statements, []).append(row)
        conditions = [np.array(rows) for rows in rows_of.values()]
        width = min(top_k, len(conditions))
        if not requests or not width:
            return np.zeros((len(requests), width), dtype=np.int64)
        number: dict[Request, int] = {}
        which = np.array([number.setdefault(request, len(number)) for request in requests])
        distinct = list(number)
        best = np.empty((len(distinct), width), dtype=np.int64)
        for start in range(0, len(distinct), BLOCK):
            block = distinct[start : start + BLOCK]
            scores = self.scores(block, embed, weights)
            entry = np.stack([rows[scores[:, rows].argmax(axis=1)] for rows in conditions], axis=1)
            rank = np.argsort(-np.take_along_axis(scores, entry, axis=1), axis=1, kind="stable")[:, :width]
            best[start : start + BLOCK] = np.take_along_axis(entry, rank, axis=1)
        return best[which]

    def scores(self, requests: Sequence[Request], embed: Embed, weights: RetrievalWeights) -> np.ndarray:
        """(R, E) scores of every entry for every request."""
        texts = sorted({request.text for request in requests})
        row = {text: index for index, text in enumerate(texts)}
        closeness = self._closeness(embed(texts))[[row[request.text] for request in requests]]
        demographics = match([request.sex for request in requests], self.sexes) * match(
            [request.age_band for request in requests], self.age_bands
        )
        overlap = jaccard([request.statements for request in requests], self.statements)
        alike = admission_similarity([request.admission for request in requests], self.admissions)
        return (
            weights.embedding * closeness
            + weights.statements * overlap
            + weights.admissions * alike
            + weights.demographics * demographics
        )

    def _closeness(self, texts: np.ndarray) -> np.ndarray:
        """(T, E) largest cosine of each text with an entry's narrative and its condition's names."""
        closeness, named = texts @ self.embeddings.T, texts @ self.names.T
        for entry, rows in enumerate(self.name_rows):
            if rows:
                named_best = named[:, rows.start : rows.stop].max(axis=1)
                closeness[:, entry] = np.maximum(closeness[:, entry], named_best)
        return closeness


def jaccard(left: Sequence[frozenset[str]], right: Sequence[frozenset[str]]) -> np.ndarray:
    """(len(left), len(right)) Jaccard similarities |A ∩ B| / |A ∪ B|; 0 where both sets are empty."""
    # Codes that only the left sets have make no intersection: theirs count, they need no column.
    codes = {code: index for index, code in enumerate(sorted(frozenset().union(*right)))}
    shared = membership(left, codes) @ membership(right, codes).T
    union = np.array([len(one) for one in left])[:, None] + np.array([len(one) for one in right])[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def membership(sets: Sequence[frozenset[str]], codes: dict[str, int]) -> np.ndarray:
    """(len(sets), len(codes)) matrix of 0 and 1; members that are no codes are left out."""
    matrix = np.zeros((len(sets), len(codes)), dtype=np.float32)
    for row, members in enumerate(sets):
        matrix[row, [codes[code] for code in members if code in codes]] = 1
    return matrix


def admission_similarity(left: Sequence[Admission], right: Sequence[Admission]) -> np.ndarray:
    """(len(left), len(right)) mean over the three views of the Jaccard similarities of admissions."""
    total = np.zeros((len(left), len(right)), dtype=np.float32)
    for view in ADMISSION_VIEWS:
        # Most sources have no admissions at all.
        if any(view == name for one in right for name, _ in one):
            mine, theirs = ([dict(one).get(view, frozenset[str]()) for one in side] for side in (left, right))
            total += jaccard(mine, theirs) / len(ADMISSION_VIEWS)
    return total


def match(wanted: Sequence[str | None], offered: Sequence[str | None]) -> np.ndarray:
    """(len(wanted), len(offered)) matrix: 1 equal, 0.5 offered to everyone, 0.2 nothing wanted, 0 different."""
    left, right = np.array(wanted, dtype=object)[:, None], np.array(offered, dtype=object)[None, :]
    general, unsaid = right == None, left == None  # noqa: E711  elementwise
    return np.select([general, unsaid], [0.5, 0.2], (left == right).astype(np.float32)).astype(np.float32)
