"""What can go wrong with the knowledge base, said so that a person knows what to do."""

from __future__ import annotations

from warehouse.errors import EinthovenError


class KnowledgeError(EinthovenError):
    """The knowledge base cannot be built or used: a model is missing, or a setting forbids it."""
