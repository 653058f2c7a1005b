"""Recordings that Einthoven's simulator made, in PTB-XL's layout, so that PTB-XL's reader reads them."""

from __future__ import annotations

from warehouse.sources.ptbxl import SIMULATED_MARK, PtbxlSource


class SimulatedSource(PtbxlSource):
    """A simulated dataset: a folder in PTB-XL's layout that a file `SIMULATED.md` marks."""

    name = "simulated"
    simulated = True

    def files(self) -> list[str]:
        """The mark, the tables and every file of a record."""
        return [SIMULATED_MARK, *super().files()]
