"""Datasets of PhysioNet, file by file: what is there already and whole is not loaded again.

PhysioNet lists the SHA-256 of every file of a dataset; a file counts as loaded only when it has that digest. A
connection that drops, stalls or delivers something else is tried again (pooch), and the same call later continues.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests

from warehouse.errors import SourceError
from warehouse.sources.inside import inside
from warehouse.sources.record import BadRecord

DIGESTS = "SHA256SUMS.txt"
RETRIES = 4
CONNECTIONS = 8
TIMEOUT_S = (10.0, 30.0)
"""To connect, and between bytes: a server that stalls longer is asked again."""
_LINE = re.compile(r"([0-9a-f]{64})\s+\*?(?:\./)?(\S.*)")


@dataclass(frozen=True)
class Download:
    """Where a dataset lies, and which of its files are wanted at a sampling rate."""

    url: str
    wanted: str = ".*"
    """Regular expression of wanted paths; {records} stands for the folder of the rate."""

    def pattern(self, rate_hz: int) -> re.Pattern[str]:
        """The expression for a sampling rate."""
        return re.compile(self.wanted.replace("{records}", f"records{500 if rate_hz > 100 else 100}"))


DOWNLOADS = {
    "ptbxl": Download("https://physionet.org/files/ptb-xl/1.0.3/", r"[^/]+|{records}/.*"),
    "cinc": Download("https://physionet.org/files/challenge-2021/1.0.3/", r"training/.*\.(?:hea|mat)"),
    "ludb": Download("https://physionet.org/files/ludb/1.0.1/"),
    "ptbdb": Download("https://physionet.org/files/ptbdb/1.0.0/", r"patient\d+/.*"),
    "mimic_iv_ecg": Download("https://physionet.org/files/mimic-iv-ecg/1.0/"),
}
"""Kind of source to its newest version. MIMIC-IV's hospital tables need a signed agreement and are not among them."""


def download(
    kind: str, folder: Path, rate_hz: int, report: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Load a dataset into a folder, or what is missing of it.

    Args:
        kind: a key of `DOWNLOADS`.
        folder: is made where it is not there.
        rate_hz: sampling rate that is wanted, for a dataset that holds several.
        report: is told how many files of how many are there, now and after each.

    Returns:
        Number of files.

    Raises:
        SourceError: a file cannot be had, or is not what its digest says; what was loaded stays.
    """
    if kind not in DOWNLOADS:
        raise SourceError(
            f"no place to download {kind} from is known; known are {', '.join(DOWNLOADS)}; give --data PATH"
        )
    source = DOWNLOADS[kind]
    pooch.get_logger().setLevel(logging.WARNING)
    registry = _digests(source, folder, rate_hz)
    files = pooch.create(folder, source.url, registry=registry, retry_if_failed=RETRIES)
    for name in registry:
        # Made here, because pooch's threads would race for them.
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    report(0, len(registry))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        loads = {pool.submit(files.fetch, name, downloader=_over_http()): name for name in registry}
        try:
            for done, load in enumerate(as_completed(loads), start=1):
                _result(load.result, f"{source.url}{loads[load]}")
                report(done, len(registry))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(registry)


def _digests(source: Download, folder: Path, rate_hz: int) -> dict[str, str]:
    """Path to SHA-256 of every wanted file."""
    url = f"{source.url}{DIGESTS}"
    folder.mkdir(parents=True, exist_ok=True)
    # Its own digest is not known, so that it is loaded every time; it decides what is whole.
    (folder / DIGESTS).unlink(missing_ok=True)
    list_of_digests = pooch.create(folder, source.url, registry={DIGESTS: None}, retry_if_failed=RETRIES)
    _result(lambda: list_of_digests.fetch(DIGESTS, downloader=_over_http()), url)
    found: dict[str, str] = {}
    pattern = source.pattern(rate_hz)
    for number, line in enumerate((folder / DIGESTS).read_text("utf-8", "replace").splitlines(), start=1):
        listed = _LINE.fullmatch(line.strip())
        if not listed:
            raise SourceError(f"{url}: line {number} is not a digest and a file; the server sent something else")
        if pattern.fullmatch(listed[2]):
            try:
                found[inside(listed[2])] = f"sha256:{listed[1]}"
            except BadRecord as error:
                raise SourceError(f"{url}: {error.detail}") from None
    if not found:
        raise SourceError(f"{url} lists no wanted file")
    return found


def _over_http() -> pooch.HTTPDownloader:
    return pooch.HTTPDownloader(timeout=TIMEOUT_S, chunk_size=1 << 16)


def _result(load: Callable[[], object], url: str) -> None:
    try:
        load()
    except requests.RequestException as error:
        detail = " ".join(str(error).split())[:200]
        raise SourceError(f"{url} cannot be downloaded: {detail}; the same command continues") from None
    except ValueError:
        raise SourceError(
            f"{url} has another SHA-256 than {DIGESTS} says, {RETRIES + 1} times; try again later"
        ) from None
    except OSError as error:
        raise SourceError(f"{url} cannot be stored: {error.strerror or error}") from None
