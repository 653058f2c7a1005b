"""Text embeddings: alike alone and among others, and kept by a warehouse."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.knowledge import kept_embeddings
from tasks.knowledge.embeddings import AT_ONCE, local_embeddings, side_by_side
from tasks.knowledge.errors import KnowledgeError
from tasks.knowledge.kept_embeddings import KeptEmbeddings

TEXTS = ["sinus rhythm", "atrial fibrillation", "normal ECG, sinus rhythm, left axis deviation", "sinus rhythm"]


def test_groups_are_of_one_size_and_one_length_and_hold_every_row() -> None:
    lengths = [3, 5, 3, 3, 9, *[5] * 12]
    groups = list(side_by_side(lengths))
    assert {len(group) for group in groups} == {AT_ONCE}
    assert all(len({lengths[row] for row in group}) == 1 for group in groups)
    assert {row for group in groups for row in group} == set(range(len(lengths)))


def test_a_text_embeds_alike_alone_and_among_others() -> None:
    together = local_embeddings().embed_documents(TEXTS * 3)
    assert together[:4] == together[4:8] == [local_embeddings().embed_documents([text])[0] for text in TEXTS]


def test_an_interrupted_run_goes_on_after_the_last_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = local_embeddings().embed_documents(TEXTS)
    asked: list[list[str]] = []

    class Interrupted:
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            asked.append(texts)
            if len(asked) == 2:
                raise KeyboardInterrupt
            return local_embeddings().embed_documents(texts)

    monkeypatch.setattr(kept_embeddings, "TEXTS_AT_ONCE", 1)
    monkeypatch.setattr(kept_embeddings, "local_embeddings", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        KeptEmbeddings(tmp_path).embed_documents(TEXTS)
    assert KeptEmbeddings(tmp_path).embed_documents(TEXTS) == whole
    assert len(asked) == 4 and asked[0] not in asked[1:]


def test_what_is_kept_is_not_embedded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = KeptEmbeddings(tmp_path).embed_documents(TEXTS)
    assert first == local_embeddings().embed_documents(TEXTS)
    monkeypatch.setattr(kept_embeddings, "local_embeddings", lambda: pytest.fail("embedded again"))
    assert KeptEmbeddings(tmp_path).embed_documents(TEXTS[::-1]) == first[::-1]
    (kept,) = (tmp_path / "_cache").rglob("*.parquet")
    assert not any(text.encode() in kept.read_bytes() for text in TEXTS)
    kept.write_bytes(b"damaged")
    with pytest.raises(KnowledgeError, match="is damaged"):
        KeptEmbeddings(tmp_path)
