"""Downloads from a server on this machine that drops, stalls, corrupts and forbids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warehouse.small_dataset import SmallDataset, ordinary_ecg
from tests.warehouse.sources.dataset_server import STALL_S, Server, write_digests
from warehouse.errors import SourceError
from warehouse.sources import download as module
from warehouse.sources.download import DIGESTS, Download, download
from warehouse.sources.registry import open_source


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    dataset = SmallDataset(tmp_path / "served", records=3)
    dataset.write_record("00001_hr", ordinary_ecg(1, rate_hz=500), rate_hz=500, part="records500")
    write_digests(dataset.folder)
    served = Server(dataset.folder)
    monkeypatch.setitem(module.DOWNLOADS, "ptbxl", Download(served.url, module.DOWNLOADS["ptbxl"].wanted))
    monkeypatch.setattr(module, "TIMEOUT_S", (5.0, 20.0))
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    yield served
    served.http.shutdown()
    # Without waiting for a handler that still stalls.
    served.http.socket.close()


def test_a_dataset_is_loaded_whole_at_the_rate_that_is_wanted(server: Server, tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    folder = tmp_path / "new" / "ptbxl"
    assert download("ptbxl", folder, 100, lambda *progress: reported.append(progress)) == 8
    assert reported == [(done, 8) for done in range(9)]
    assert not (folder / "records500").exists()
    assert open_source("ptbxl", folder).records() == open_source("ptbxl", server.folder).records()
    assert download("ptbxl", folder, 500) == 4
    assert (folder / "records500/00000/00001_hr.dat").exists()


@pytest.mark.parametrize("trouble", ["drop", "stall", "corrupt", "forbid"])
def test_trouble_is_tried_again(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    name = "records100/00000/00002_lr.dat"
    server.trouble[name] = [trouble] * 2
    if trouble == "stall":
        monkeypatch.setattr(module, "TIMEOUT_S", (5.0, STALL_S / 3))
        server.trouble[name] = ["stall", "drop"]
    download("ptbxl", tmp_path / "ptbxl", 100)
    assert server.asked[name] == 3
    assert (tmp_path / "ptbxl" / name).read_bytes() == (server.folder / name).read_bytes()


@pytest.mark.parametrize(
    ("trouble", "message"),
    [("drop", "cannot be downloaded"), ("corrupt", "has another SHA-256"), ("forbid", "503 Server Error")],
)
def test_lasting_trouble_is_one_line_and_the_next_call_continues(
    server: Server, tmp_path: Path, trouble: str, message: str
) -> None:
    name = "records100/00000/00002_lr.dat"
    server.trouble[name] = [trouble] * (module.RETRIES + 1)
    with pytest.raises(SourceError, match=f"{server.url}{name}.*{message}") as caught:
        download("ptbxl", tmp_path / "ptbxl", 100)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ptbxl" / name).exists()
    download("ptbxl", tmp_path / "ptbxl", 100)
    assert server.asked[name] == module.RETRIES + 2
    assert server.asked["ptbxl_database.csv"] == 1


def test_a_file_that_changed_on_disk_is_loaded_again_and_others_are_not(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "ptbxl"
    download("ptbxl", folder, 100)
    server.asked.clear()
    (folder / "records100/00000/00001_lr.dat").write_bytes(b"cut")
    download("ptbxl", folder, 100)
    assert server.asked == {DIGESTS: 1, "records100/00000/00001_lr.dat": 1}
    assert len(open_source("ptbxl", folder).read(open_source("ptbxl", folder).records()[0], 100)) == 8


@pytest.mark.parametrize(
    ("digests", "message"),
    [
        ("<html>please log in</html>\n", "line 1 is not a digest"),
        (f"{'0' * 64} ../outside\n{'0' * 64} [x]\n", "leaves the dataset's folder"),
        ("", "lists no wanted file"),
    ],
)
def test_a_list_of_digests_that_is_none(server: Server, tmp_path: Path, digests: str, message: str) -> None:
    (server.folder / DIGESTS).write_text(digests)
    module.DOWNLOADS["ptbxl"] = Download(server.url)
    with pytest.raises(SourceError, match=message):
        download("ptbxl", tmp_path / "ptbxl", 100)


def test_a_server_that_is_not_there(server: Server, tmp_path: Path) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(SourceError, match=f"{server.url}{DIGESTS} cannot be downloaded: .*the same command continues"):
        download("ptbxl", tmp_path / "ptbxl", 100)


def test_a_kind_without_a_place(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no place to download sph from is known"):
        download("sph", tmp_path, 100)
