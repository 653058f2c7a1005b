"""The `einthoven` command: run a stage, query the warehouse, verify or withdraw a release, draw one ECG."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from flows.profiles import SettingsError, load_settings
from tasks.settings import Settings, WarehouseSettings
from tasks.settings.settings_section import LARGEST_SEED
from warehouse.errors import EinthovenError
from warehouse.sources.registry import SOURCES
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

FLOWS = {
    "ingest": "ingest_dataset",
    "knowledge": "build_knowledge_base",
    "train": "train_model",
    "generate": "generate_cohort",
    "evaluate": "evaluate_cohort",
    "audit": "audit_privacy",
    "release": "release_cohort",
    "audit_model": "audit_model",
}


def main() -> None:
    """Run the command line; every expected error is one line, and a wrong call exits with 2."""
    try:
        sys.exit(cli.main(prog_name="einthoven", standalone_mode=False))
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; the same command continues from here", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except SettingsError as error:
        _fail(str(error), 2)
    except EinthovenError as error:
        _fail(str(error), 1)
    except Exception as error:
        if os.environ.get("EINTHOVEN_DEBUG"):
            raise
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        _fail(f"unexpected {type(error).__name__}: {reason} (set EINTHOVEN_DEBUG=1 for the traceback)", 1)


def _fail(message: str, code: int) -> None:
    click.echo(f"einthoven: {' '.join(message.split())}", err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="einthoven")
def cli() -> None:
    """Synthetic 12-lead ECG cohorts that can be released.

    Each stage first runs the stages it needs; what was already made with the same settings and inputs is skipped.
    """


warehouse_option = click.option(
    "--warehouse",
    metavar="PATH",
    help="Warehouse folder (default: $WAREHOUSE_URI, else ./einthoven-warehouse).",
)


def stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all stages share."""
    for option in (
        warehouse_option,
        click.option(
            "--data",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="PATH",
            help="Dataset folder (setting source.path); may hold part of it or be new with --download.",
        ),
        click.option(
            "--download",
            is_flag=True,
            help="First load the dataset from PhysioNet, or what is missing of it, into --data (default: a folder of "
            "the warehouse).",
        ),
        click.option("--source", type=click.Choice([*SOURCES]), help="Kind of dataset (setting source.kind)."),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="PATH.TO.SETTING=VALUE",
            help="Change one setting, e.g. --set cohort.size=1000; may be repeated.",
        ),
        click.option(
            "--rehash",
            is_flag=True,
            help="Read every file of the dataset again, whatever its size and time (setting source.rehash).",
        ),
        click.option("--profile", default="demo", show_default=True, metavar="NAME", help="Profile in prefect.yaml."),
    ):
        command = option(command)
    return command


def _settings(
    profile: str,
    overrides: tuple[str, ...],
    data: Path | None,
    warehouse: str | None,
    source: str | None,
    download: bool,
) -> Settings:
    if warehouse is not None:
        overrides = (*overrides, f"warehouse.uri={warehouse}")
    if source is not None:
        overrides = (*overrides, f"source.kind={source}")
    settings = load_settings(profile, overrides, data)
    if download:
        settings = load_settings(profile, overrides, data := downloaded(settings))
    if data is not None and not data.is_dir():
        raise click.BadParameter(f"folder {data} does not exist", param_hint="--data")
    if settings.source.kind != "simulated" and settings.source.path is None:
        raise SettingsError(f"profile {profile} reads a dataset from disk: give its folder with --data PATH")
    return settings


def downloaded(settings: Settings) -> Path:
    """Load the source's dataset, show how far it is, and return its folder."""
    from warehouse.sources.download import download

    kind, rate_hz = settings.source.kind, settings.ingestion.sampling_rate_hz
    folder = Path(settings.source.path or Store(settings.warehouse.uri).root / "_downloads" / kind)
    with click.progressbar(length=1, label=f"download {kind} to {folder}", file=sys.stderr, show_pos=True) as bar:

        def report(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        download(kind, folder, rate_hz, report)
    return folder


def run_flow(name: str, settings: Settings) -> Any:
    """Run one flow in this process, with Prefect's temporary server unless PREFECT_API_URL names one."""
    from flows.console import prepare_environment, quieten_console

    prepare_environment()
    flow = getattr(importlib.import_module(f"flows.{name}"), FLOWS[name])
    quieten_console()
    try:
        return flow(settings)
    except Exception as error:
        # Ray wraps what a worker raised, and keeps it in `cause`.
        if isinstance(cause := getattr(error, "cause", None), EinthovenError):
            raise cause from None
        raise
    finally:
        # Workers may still be talking; the last line is ours.
        if (ray := sys.modules.get("ray")) and ray.is_initialized():
            ray.shutdown()


def _stage(name: str, summary: str) -> None:
    """Register the command of one stage."""

    @cli.command(name, help=summary, short_help=summary)
    @stage_options
    def command(
        profile: str,
        overrides: tuple[str, ...],
        data: Path | None,
        warehouse: str | None,
        rehash: bool,
        source: str | None,
        download: bool,
    ) -> None:
        if rehash:
            overrides = (*overrides, "source.rehash=true")
        settings = _settings(profile, overrides, data, warehouse, source, download)
        store = Store(settings.warehouse.uri)
        reference = run_flow(name, settings)
        click.echo(f"\n{reference.kind:<10} {reference.uri}")
        click.echo(f"{'catalog':<10} {store.catalog}")
        click.echo(f'{"try":<10} einthoven sql {_warehouse_flag(store)}"{suggested_query(name, reference)}"')


def suggested_query(name: str, made: Reference) -> str:
    """A query about what a stage has just made, and about nothing else in the warehouse."""
    select, source, group = _SUGGESTED[name]
    key = "release_id" if made.kind == "release" else "dataset_id"
    return f"select {select} from {source} where {key} = '{made.id}'{group and f' group by {group}'}"


_SUGGESTED = {
    "ingest": ("split, count(*) as recordings", "recordings", "split"),
    "knowledge": ("condition, claims_kept, claims_refuted, narrative", "knowledge", ""),
    "train": ("key as network, value->>'loss' as loss", "datasets, json_each(facts, '$.losses')", ""),
    "generate": (
        "statement, count(*) as ecgs, round(avg(heart_rate_bpm)) as bpm",
        "cohorts, unnest(statements) as shown(statement)",
        "statement",
    ),
    "evaluate": ("aspect, metric, subject, condition, value, low, high, reference", "evaluations", ""),
    "audit": ("attack, metric, value, low, high, threshold, passed", "audits", ""),
    "audit_model": ("attack, metric, value, low, high, reference, threshold, passed", "model_audits", ""),
    "release": (
        "statement, count(*) as ecgs, round(avg(heart_rate_bpm)) as bpm",
        "cohorts join releases on cohort_id = dataset_id, unnest(statements) as shown(statement)",
        "statement",
    ),
}
"""Stage to what is asked, of which table, and by what it is grouped."""


def _warehouse_flag(store: Store) -> str:
    default = Path(WarehouseSettings().uri).expanduser().resolve()
    return "" if store.root == default else f"--warehouse {store.root} "


_stage("ingest", "Read recordings into the warehouse.")
_stage("knowledge", "Have a language model write a knowledge base, and audit it.")
_stage("train", "Train the generator.")
_stage("generate", "Generate a synthetic cohort.")
_stage("evaluate", "Measure a cohort's quality and downstream worth.")
_stage("audit", "Audit a cohort's privacy.")
_stage("release", "Run everything and publish a release.")
_stage("audit_model", "Audit the model itself, which no release of data needs.")


@cli.command()
@warehouse_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print the answer.",
)
@click.argument("statement", metavar="SQL")
def sql(statement: str, form: str, warehouse: str | None) -> None:
    """Query the warehouse's catalog with DuckDB."""
    from flows.answers import print_answer
    from warehouse.catalog.catalog import query

    answer = query(_existing_warehouse(warehouse), statement)
    print_answer(answer.columns, answer.rows, form)


@cli.command()
@warehouse_option
@click.argument("release", metavar="[RELEASE]", required=False)
def verify(release: str | None, warehouse: str | None) -> None:
    """Check a release: a folder, NAME, or NAME/VERSION; without one, every current release of the warehouse.

    Exits with 1 if anything is wrong.
    """
    from warehouse.release.verification import resolve_release, verify_release
    from warehouse.release.withdrawal import current_versions

    if release is None:
        folders = list(current_versions(_existing_warehouse(warehouse)).values())
        if not folders:
            raise click.UsageError(f"{_uri(warehouse)} holds no current release; publish one, or name a folder")
    else:
        try:
            folders = [resolve_release(None if Path(release).is_dir() else _existing_warehouse(warehouse), release)]
        except EinthovenError as error:
            raise click.UsageError(str(error)) from None
    failed = []
    for folder in folders:
        findings = verify_release(folder)
        for finding in findings:
            mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red")
            click.echo(f"{mark} {finding.name}: {finding.detail}")
        if wrong := [finding.name for finding in findings if not finding.ok]:
            failed.append(f"{folder} does not verify: {', '.join(wrong)}")
        else:
            click.echo(f"{folder} verifies: {len(findings)} checks")
    if failed:
        raise EinthovenError("; ".join(failed))


@cli.command()
@warehouse_option
@click.option("--reason", required=True, metavar="TEXT", help="Why; published with what stays of the release.")
@click.argument("name", metavar="NAME")
@click.argument("version", metavar="VERSION")
def withdraw(name: str, version: str, reason: str, warehouse: str | None) -> None:
    """Withdraw a release version: remove its data, keep its manifest with the reason, move `current` away from it.

    Its cohort stays in the warehouse, and copies that others made are not reached. The same command again finishes what
    was interrupted.
    """
    from warehouse.catalog.catalog import rebuild_catalog
    from warehouse.release.withdrawal import current_versions
    from warehouse.release.withdrawal import withdraw as withdraw_release

    store = _existing_warehouse(warehouse)
    tombstone = withdraw_release(store, name, version, reason)
    rebuild_catalog(store)
    current = current_versions(store).get(name)
    click.echo(f"{name} {version} is withdrawn: {tombstone.reason}")
    click.echo(f"current is {current.name}" if current else f"{name} has no current version")


@cli.command()
@warehouse_option
@click.option("--text", required=True, help="What the ECG shows, in words, e.g. 'AF at 120 bpm, no ST depression'.")
@click.option("--age", type=click.FloatRange(0, 120), help="Age in years.")
@click.option("--sex", type=click.Choice(["female", "male"]), help="Sex.")
@click.option("--heart-rate", type=click.FloatRange(20, 250), help="Heart rate in beats per minute.")
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=1,
    show_default=True,
    help="The same seed gives the same ECG.",
)
@click.option("--model", "model_id", metavar="ID", help="Model to use (default: the newest in the warehouse).")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default=Path("ecg.png"),
    show_default=True,
    help="Picture to write: .png, .svg or .pdf.",
)
def ecg(
    text: str,
    age: float | None,
    sex: str | None,
    heart_rate: float | None,
    seed: int,
    model_id: str | None,
    out: Path,
    warehouse: str | None,
) -> None:
    """Generate one ECG with a trained model and draw it on standard 25 mm/s, 10 mm/mV paper.

    The text may name diagnoses, rhythms, forms, heart rate, age, sex and heart axis, and what the ECG does not show.
    What was understood is printed; a text that is not understood, contradictory or ambiguous is refused. The ECG is
    sampled like the model's newest cohort, and by default settings before there is one.
    """
    if out.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise click.UsageError(f"--out {out}: the picture must end in .png, .svg or .pdf")
    if not out.resolve().parent.is_dir():
        raise click.UsageError(f"--out {out}: its folder does not exist")
    store = _existing_warehouse(warehouse)
    from flows.console import prepare_environment

    prepare_environment()
    from tasks.generation.single_ecg import draw_single_ecg

    click.echo(draw_single_ecg(store, text, age, sex, heart_rate, seed, model_id, out))


def _uri(warehouse: str | None) -> str:
    return warehouse or WarehouseSettings().uri


def _existing_warehouse(warehouse: str | None) -> Store:
    uri = _uri(warehouse)
    if not (Path(uri).expanduser() / "_staging").is_dir():
        raise click.UsageError(f"{uri} holds no warehouse; make one with `einthoven release`, or give --warehouse PATH")
    return Store(uri)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
