"""The command line: complete help, and one clear line with exit code 2 for a wrong call."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.cli import FLOWS, cli, main
from tasks.settings import Settings
from tests.tiny_pipeline import TinyPipeline, publish_tiny
from tests.warehouse.small_dataset import SmallDataset
from tests.warehouse.sources.dataset_server import Server, write_digests
from warehouse.sources.download import DOWNLOADS, Download
from warehouse.sources.registry import open_source
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["einthoven", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_help_names_every_command_and_every_option_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(capsys, monkeypatch, "--help")
    assert code == 0
    for name, command in cli.commands.items():
        assert name in out
        code, text, _ = run(capsys, monkeypatch, name, "--help")
        assert code == 0
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} {parameter.name} has no help"
                assert parameter.opts[0] in text
    assert set(FLOWS) <= set(cli.commands)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-such-flag"], "--no-such-flag"),
        (["releese"], "releese"),
        (["release", "--no-such-flag"], "--no-such-flag"),
        (["release", "--profile", "nope"], "unknown profile 'nope'"),
        (["release", "--set", "cohort.sise=1"], "did you mean size"),
        (["release", "--set", "cohort.size=x"], "cohort.size"),
        (["release", "--profile", "ptbxl-mini"], "--data PATH"),
        (["release", "--profile", "ptbxl-mini", "--data", "no/such/folder"], "no/such/folder"),
        (["ingest", "--source", "nope"], "'nope' is not one of"),
        (["ingest", "--source", "cinc"], "--data PATH"),
        (["sql", "--warehouse", "no/such/folder", "select 1"], "no/such/folder"),
        (["sql"], "SQL"),
        (["verify", "--warehouse", "no/such/folder", "demo"], "no/such/folder"),
        (["verify", "--warehouse", "no/such/folder"], "no/such/folder"),
        (["withdraw", "demo", "v1"], "--reason"),
        (["withdraw", "--warehouse", "no/such/folder", "--reason", "x", "demo", "v1"], "no/such/folder"),
        (["ecg", "--text", "x", "--age", "-1"], "--age"),
        (["ecg", "--text", "x", "--sex", "other"], "--sex"),
        (["ecg", "--text", "x", "--out", "no/such/folder/ecg.png"], "no/such/folder"),
        (["ecg", "--text", "x", "--out", "ecg.docx"], ".png"),
    ],
)
def test_a_wrong_call_gets_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WAREHOUSE_URI", raising=False)
    code, _, err = run(capsys, monkeypatch, *arguments)
    assert code == 2
    assert message in err
    assert re.fullmatch(r"einthoven: [^\n]+\n", err), err
    assert not list(tmp_path.iterdir()), "a wrong call must leave nothing behind"


@pytest.mark.parametrize(("flags", "rehash"), [((), False), (("--rehash",), True)])
def test_rehash_is_a_setting_of_the_source(
    flags: tuple[str, ...],
    rehash: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    ran: list[Settings] = []

    def run_flow(name: str, settings: Settings) -> Reference:
        ran.append(settings)
        return Reference(kind="recordings", id="a1", uri=str(tmp_path), rows=0, sha256="0")

    monkeypatch.setattr("flows.cli.run_flow", run_flow)
    code, _, err = run(capsys, monkeypatch, "ingest", "--warehouse", str(tmp_path / "warehouse"), *flags)
    assert (code, err) == (0, "")
    assert [one.source.rehash for one in ran] == [rehash]


def test_a_version_is_withdrawn_and_every_current_release_verified(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "warehouse"))
    inputs = TinyPipeline(store).commit()
    for name, identifier in (("tiny", "a-1"), ("tiny", "a-2"), ("other", "b-1")):
        publish_tiny(store, inputs, name=name, identifier=identifier)
    where = ("--warehouse", str(store.root))
    code, out, _ = run(capsys, monkeypatch, "withdraw", *where, "--reason", "found a copy", "tiny", "v2")
    assert (code, out) == (0, "tiny v2 is withdrawn: found a copy\ncurrent is v1\n")
    code, out, _ = run(capsys, monkeypatch, "verify", *where)
    assert code == 0
    assert [line for line in out.splitlines() if "verifies" in line] == [
        f"{store.root / 'releases' / name / 'v1'} verifies: 13 checks" for name in ("other", "tiny")
    ]
    code, out, _ = run(capsys, monkeypatch, "verify", *where, "tiny/v2")
    assert code == 0 and "found a copy" in out
    (store.root / "releases" / "other" / "v1" / "README.md").chmod(0o644)
    (store.root / "releases" / "other" / "v1" / "README.md").write_text("changed")
    code, out, err = run(capsys, monkeypatch, "verify", *where)
    assert code == 1 and "releases/other/v1 does not verify: checksums, files" in err
    assert f"{store.root / 'releases' / 'tiny' / 'v1'} verifies" in out, "one that is damaged must not hide the others"
    code, _, err = run(capsys, monkeypatch, "withdraw", *where, "--reason", "x", "tiny", "v9")
    assert code == 1 and "there is no release tiny v9; versions of tiny: v1, v2" in err


def test_a_dataset_is_downloaded_where_it_is_then_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = SmallDataset(tmp_path / "served", records=2)
    write_digests(dataset.folder)
    server = Server(dataset.folder)
    monkeypatch.setitem(DOWNLOADS, "ptbxl", Download(server.url))
    read: list[str | None] = []
    made = Reference(kind="recordings", id="a1", uri=str(tmp_path), rows=0, sha256="0")
    monkeypatch.setattr("flows.cli.run_flow", lambda name, settings: read.append(settings.source.path) or made)
    warehouse = tmp_path / "warehouse"
    arguments = ["ingest", "--source", "ptbxl", "--download", "--warehouse", str(warehouse)]
    assert run(capsys, monkeypatch, *arguments)[0] == 0
    assert run(capsys, monkeypatch, *arguments, "--data", str(tmp_path / "new"))[0] == 0
    server.http.shutdown()
    server.http.server_close()
    assert read == [str(warehouse / "_downloads" / "ptbxl"), str(tmp_path / "new")]
    for folder in read:
        assert len(open_source("ptbxl", str(folder)).records()) == 2
    code, _, error = run(capsys, monkeypatch, "ingest", "--source", "sph", "--download", "--warehouse", str(warehouse))
    assert (code, "no place to download sph from" in error) == (1, True)


def test_a_seed_that_no_row_can_have_is_a_wrong_call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (2**64, 2**63, -1):
        code, _, err = run(capsys, monkeypatch, "ecg", "--text", "sinus rhythm", f"--seed={seed}")
        assert code == 2
        assert "--seed" in err and err.count("\n") == 1
