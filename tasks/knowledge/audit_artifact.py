"""The knowledge base's audit as Prefect artifacts: what was claimed, what was kept, entry by entry."""

from __future__ import annotations

import pyarrow as pa
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from warehouse.storage.facts import KnowledgeFacts


def publish_audit(table: pa.Table, found: KnowledgeFacts) -> None:
    """Make the artifacts `knowledge-audit` and `knowledge-entries`. Call inside a run.

    Args:
        table: the `knowledge` table.
        found: facts of its manifest.
    """
    create_markdown_artifact(
        key="knowledge-audit",
        description=f"{found.entries} entries by {found.model}",
        markdown=(
            f"# Knowledge base: {found.entries} entries\n\n"
            f"Of {found.proposed} claims that {found.model} proposed, the recordings supported {found.kept} "
            f"and refuted {found.refuted}. {found.rendered} entries fell back to the evidence alone. "
            f"{found.asked} questions were asked, {found.cached} answers reused, {found.failed} failed; "
            f"{found.seconds:g} s.\n"
        ),
    )
    create_table_artifact(
        key="knowledge-entries",
        description="Every entry with the outcome of its audit",
        table=[
            {
                "condition": row["condition"],
                "patients": row["patients"],
                "claims proposed": row["claims_proposed"],
                "kept": row["claims_kept"],
                "refuted": row["claims_refuted"],
                "attempts": row["attempts"],
                "from evidence alone": row["rendered"],
                "narrative": row["narrative"],
            }
            for row in table.drop_columns(["embedding", "name_embeddings", "names", "claims"]).to_pylist()
        ],
    )
