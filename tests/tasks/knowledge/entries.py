"""Knowledge entries that nobody wrote, for tests of what is done with entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from warehouse.schema import EMBEDDING_SIZE, knowledge


def entries(statements: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """An entry per statement, every second one about women of 60 to 79 years; embeddings are seeded and of length 1."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(len(statements), 2, EMBEDDING_SIZE))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    rows = [
        {
            "entry_id": f"entry-{code}",
            "statement": code,
            "condition": facts["description"],
            "names": [facts["description"]],
            "sex": "female" if number % 2 else None,
            "age_band": "60-79" if number % 2 else None,
            "narrative": f"What {facts['description']} looks like.",
            "claims": [],
            "quartiles": [
                {"feature": "qrs_ms", "lead": None, "low": 85, "median": 90 + number, "high": 110, "patients": 30},
                {"feature": "st_level_mv", "lead": "septal", "low": -0.1, "median": 0, "high": 0.1, "patients": 30},
            ],
            "patients": 30,
            "recordings": 40,
            "rendered": False,
            "model": "nobody",
            "prompt_version": "none",
            "embedding_model": "none",
            "embedding": vectors[number, 0].astype(np.float32),
            "name_embeddings": [vectors[number, 1].astype(np.float32)],
        }
        for number, (code, facts) in enumerate(statements.items())
    ]
    counts = dict.fromkeys(("claims_proposed", "claims_kept", "sentences_proposed", "sentences_kept", "attempts"), 1)
    return pa.Table.from_pylist([{**row, **counts, "claims_refuted": 0} for row in rows], schema=knowledge())
