"""Text embeddings that a warehouse keeps: a text is embedded once, whoever asks for it, and an interrupted run goes on.

They lie in `_cache/embeddings/<model>/`, files of digests and vectors; the texts themselves are not there.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from langchain_core.embeddings import Embeddings

from tasks.knowledge.embeddings import EMBEDDING_MODEL, local_embeddings
from tasks.knowledge.errors import KnowledgeError
from tasks.stage import run_logger
from warehouse.schema import EMBEDDING_SIZE
from warehouse.storage.reference import digest
from warehouse.storage.whole_files import write_parquet

TEXTS_AT_ONCE: Final = 512
"""Texts after which embeddings are saved."""
KEPT: Final = pa.schema([("text_sha256", pa.binary(32)), ("embedding", pa.list_(pa.float32(), EMBEDDING_SIZE))])


class KeptEmbeddings(Embeddings):
    """The local embedding model with what a warehouse has of its answers.

    Args:
        root: of the warehouse.

    Raises:
        KnowledgeError: a file of the cache is damaged.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "_cache" / "embeddings" / EMBEDDING_MODEL
        self._known: dict[bytes, np.ndarray] = {}
        for path in sorted(self._folder.glob("*.parquet")):
            try:
                kept = pq.read_table(path, schema=KEPT)
            except (pa.ArrowInvalid, OSError) as error:
                raise KnowledgeError(f"{path} is damaged ({error}); delete it, and it is made again") from None
            vectors = kept["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, EMBEDDING_SIZE)
            self._known.update(zip(kept["text_sha256"].to_pylist(), vectors, strict=True))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embeddings of texts, length 1 each; those that nobody has asked for are kept."""
        keys = [sha256(text.encode()).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        # Long and short texts in separate pieces: those of one length are embedded together.
        ordered = sorted(new, key=lambda key: (len(new[key]), new[key]))
        for at in range(0, len(ordered), TEXTS_AT_ONCE):
            piece = ordered[at : at + TEXTS_AT_ONCE]
            vectors = np.array(local_embeddings().embed_documents([new[key] for key in piece]), np.float32)
            self._known.update(zip(piece, vectors, strict=True))
            table = pa.table([piece, vectors.tolist()], schema=KEPT)
            write_parquet(table, self._folder / f"{digest(*(key.hex() for key in piece))}.parquet")
            run_logger().info("%d of %d texts embedded", at + len(piece), len(ordered))
        return [self._known[key].tolist() for key in keys]

    def embed_query(self, text: str) -> list[float]:
        """Embedding of a text."""
        return self.embed_documents([text])[0]
