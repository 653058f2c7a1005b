"""How Ray is used."""

from __future__ import annotations

from tasks.settings.settings_section import Section, operational


class ComputeSettings(Section):
    """How Ray is used. RAY_ADDRESS, if set, names a running cluster; otherwise a local Ray starts."""

    cpus: int | None = operational(None, ge=1, description="CPUs of the local Ray; null for all.")
    object_store_mb: int = operational(400, ge=80, description="Object store of the local Ray, in MB.")
