"""Where data is kept."""

from __future__ import annotations

import os

from tasks.settings.settings_section import Section, operational


class WarehouseSettings(Section):
    """Where data is kept."""

    uri: str = operational(
        default_factory=lambda: os.environ.get("WAREHOUSE_URI", "einthoven-warehouse"),
        description="Warehouse folder; the environment variable WAREHOUSE_URI sets the default.",
    )
