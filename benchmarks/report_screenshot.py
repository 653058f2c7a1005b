"""A screenshot of a release's report, as a browser shows it: `docs/report.png`.

    einthoven release --profile demo
    python -m benchmarks.report_screenshot einthoven-warehouse/releases/demo/current

Refuses a release whose source was not simulated: what a model learned from patients does not belong in the repository.
"""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import click
from PIL import Image
from playwright.sync_api import sync_playwright

from warehouse.errors import EinthovenError
from warehouse.release.releases import read_release_manifest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH, HEIGHT = 1100, 1500
COLOURS = 48
LARGEST = 300_000
"""Bytes of a picture that the repository may hold."""
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "report.png"


def chromium() -> str:
    """The browser: $CHROMIUM, else the first that is installed.

    Raises:
        EinthovenError: there is none.
    """
    if named := os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None):
        return named
    raise EinthovenError(
        "no Chromium found: install one (Debian and Ubuntu: apt-get install chromium), or name it in CHROMIUM"
    )


def screenshot(release: Path, picture: Path) -> None:
    """Draw what a browser shows of a report first.

    Args:
        release: folder of a release with a simulated source.
        picture: PNG to write.

    Raises:
        EinthovenError: the source was not simulated, or the picture is too large.
    """
    if not read_release_manifest(release).simulated_source:
        raise EinthovenError(f"{release}: its model learned from recordings of people; take a simulated release")
    with sync_playwright() as engines:
        browser = engines.chromium.launch(executable_path=chromium(), headless=True, args=list(FLAGS))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto((release / "report.html").resolve().as_uri())
        shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    small = io.BytesIO()
    shown.quantize(COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    if small.tell() > LARGEST:
        raise EinthovenError(f"the screenshot has {small.tell():,} bytes, at most {LARGEST:,} belong in the repository")
    picture.write_bytes(small.getvalue())


@click.command()
@click.argument("release", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=PICTURE, help="PNG to write.")
def main(release: Path, out: Path) -> None:
    """Take a screenshot of the report in the folder RELEASE."""
    screenshot(release, out)
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
