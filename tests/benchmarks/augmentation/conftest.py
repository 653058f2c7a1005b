"""Small batches, so that made-up ECGs are learned in a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.augmentation import network


@pytest.fixture(autouse=True, scope="module")
def small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "BATCH", 32)
        yield
