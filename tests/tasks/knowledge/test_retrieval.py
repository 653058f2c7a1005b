from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tasks.knowledge.demographics import age_band
from tasks.knowledge.embeddings import local_embeddings
from tasks.knowledge.retrieval import INDEXED, KnowledgeIndex, Request, jaccard
from tasks.settings import RetrievalWeights
from tests.tasks.knowledge.patients import FACTS
from warehouse.schema import knowledge

ALL = RetrievalWeights()


def table(groups: list[tuple[str, str | None, str | None]]) -> pa.Table:
    """A knowledge table with one entry per (statement, sex, age band), embedded by the real model."""
    texts = [f"{FACTS[code]['description']}: its recordings differ from others." for code, _, _ in groups]
    rows = [
        {
            "entry_id": f"{code}-{sex}-{band}",
            "statement": code,
            "sex": sex,
            "age_band": band,
            "embedding": vector,
            "name_embeddings": [],
        }
        for (code, sex, band), vector in zip(groups, local_embeddings().embed_documents(texts), strict=True)
    ]
    fields = [knowledge().field(name) for name in INDEXED]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def embed(texts: list[str]) -> np.ndarray:
    return np.array(local_embeddings().embed_documents(texts), dtype=np.float32)


@pytest.fixture(scope="module")
def index() -> KnowledgeIndex:
    return KnowledgeIndex.from_table(table([(code, None, None) for code in FACTS]))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("irregular rhythm from the atria, atrial fib", "AFIB"),
        ("left bundle branch is blocked", "CLBBB"),
        ("old heart attack of the inferior wall", "IMI"),
        ("slow sinus rhythm, bradycardic", "SBRAD"),
        ("T waves are inverted", "INVT"),
    ],
)
def test_free_words_find_the_entry_by_meaning(index: KnowledgeIndex, text: str, code: str) -> None:
    request = Request(text, frozenset(), None, None)
    (best,) = index.retrieve([request], embed, ALL, top_k=1)
    assert index.entry_ids[best[0]] == f"{code}-None-None"


def test_statements_decide_where_the_text_says_nothing(index: KnowledgeIndex) -> None:
    request = Request("as stated", frozenset({"AFIB", "IMI"}), None, None)
    (best,) = index.retrieve([request], embed, ALL, top_k=2)
    assert {index.entry_ids[entry] for entry in best} == {"AFIB-None-None", "IMI-None-None"}


def test_among_entries_of_a_condition_sex_and_age_decide() -> None:
    groups = [("AFIB", sex, band) for sex in ("female", "male") for band in ("40-59", "60-79")]
    index = KnowledgeIndex.from_table(table([*groups, ("AFIB", None, None)]))
    text, codes = "atrial fibrillation", frozenset({"AFIB"})
    asked = [
        ("female", age_band(71.0)),
        ("male", age_band(45.0)),
        ("male", age_band(85.0)),
        (None, None),
        ("male", None),
    ]
    best = index.retrieve([Request(text, codes, sex, band) for sex, band in asked], embed, ALL, top_k=1)
    found = [index.entry_ids[row[0]] for row in best]
    assert found == ["AFIB-female-60-79", "AFIB-male-40-59", *["AFIB-None-None"] * 3]


def test_a_condition_with_many_entries_leaves_room_for_the_others() -> None:
    groups = [("AFIB", sex, band) for sex in ("female", "male") for band in ("40-59", "60-79")]
    index = KnowledgeIndex.from_table(table([*groups, ("IMI", None, None), ("NORM", None, None)]))
    request = Request("atrial fibrillation with inferior infarction", frozenset({"AFIB", "IMI"}), "male", "60-79")
    (best,) = index.retrieve([request], embed, ALL, top_k=3)
    assert [index.entry_ids[entry] for entry in best][:2] in (
        ["AFIB-male-60-79", "IMI-None-None"],
        ["IMI-None-None", "AFIB-male-60-79"],
    )
    assert len({index.statements[entry] for entry in best}) == 3


def test_the_score_is_the_stated_sum(index: KnowledgeIndex) -> None:
    weights = RetrievalWeights(embedding=2.0, statements=3.0, demographics=5.0)
    request = Request("sinus rhythm", frozenset({"SR", "NORM"}), "male", "60-79")
    cosine = embed(["sinus rhythm"])[0] @ index.embeddings.T
    overlap = np.array([0.5 if code in ("SR", "NORM") else 0.0 for code in FACTS])
    np.testing.assert_allclose(
        index.scores([request], embed, weights)[0], 2 * cosine + 3 * overlap + 5 * 0.25, atol=1e-5
    )


def test_many_requests_get_what_each_would_get_alone(index: KnowledgeIndex) -> None:
    rng = np.random.default_rng(1)
    codes = list(FACTS)
    distinct = [
        Request(
            FACTS[codes[number % 8]]["description"],
            frozenset(rng.choice(codes, 2)),
            ("male", None)[number % 2],
            "40-59",
        )
        for number in range(60)
    ]
    many = [distinct[number] for number in rng.integers(0, 60, 20_000)]
    embedded: list[str] = []

    def counting(texts: list[str]) -> np.ndarray:
        embedded.extend(texts)
        return embed(texts)

    together = index.retrieve(many, counting, ALL, top_k=3)
    assert len(embedded) == len(set(embedded)) == 8
    for row in (0, 7_777, 19_999):
        np.testing.assert_array_equal(together[row], index.retrieve([many[row]], embed, ALL, top_k=3)[0])


def test_an_empty_knowledge_base_returns_nothing() -> None:
    request = Request("atrial fibrillation", frozenset({"AFIB"}), None, None)
    for empty in (None, knowledge().empty_table()):
        assert KnowledgeIndex.from_table(empty).retrieve([request] * 2, embed, ALL, top_k=3).shape == (2, 0)


def test_jaccard_is_shared_over_all() -> None:
    nothing: frozenset[str] = frozenset()
    a, b = [frozenset("xy"), nothing], [frozenset("y"), frozenset("xyz"), nothing]
    np.testing.assert_allclose(jaccard(a, b), np.array([[1 / 2, 2 / 3, 0.0], [0.0, 0.0, 0.0]]), rtol=1e-6)


@pytest.mark.parametrize(
    ("age", "band"), [(0, "0-19"), (19.9, "0-19"), (20, "20-39"), (80, "80+"), (120, "80+"), (None, None)]
)
def test_age_bands_have_no_gaps(age: float | None, band: str | None) -> None:
    assert age_band(age) == band
