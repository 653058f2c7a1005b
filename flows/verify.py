"""Are the releases that people are given still what was published?"""

from __future__ import annotations

from prefect import flow

from tasks.release.verified import verify_current_releases
from tasks.settings import Settings


@flow(name="verify-releases")
def verify_releases(settings: Settings) -> int:
    """Check every current release of the warehouse; the run fails if one of them is not what was published.

    Returns:
        How many releases were checked.
    """
    return verify_current_releases(settings.warehouse.uri)
