"""Documents name what exists: links and their anchors, files, settings, commands."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.settings_reference import sections
from tests.conftest import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
FOLDERS = ("benchmarks", "flows", "tasks", "models", "warehouse", "tests", "docs", "examples")
PLACEHOLDER = re.compile(r"[<>*…]|NAME")


def quoted(page: Path) -> set[str]:
    """Whatever stands in backticks inside a line."""
    return set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """Relative links of a page that lead nowhere."""
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        found = page.parent / target if target else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            yield f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_document_names_exists(page: Path) -> None:
    names = {name for name in quoted(page) if not PLACEHOLDER.search(name)}
    files = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    in_repository = {name for name in names if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*", name)}
    settings = {setting.path for section in sections() for setting in section.settings}
    known = settings | {section.path for section in sections()}
    roots = {path.partition(".")[0] for path in settings if "." in path}
    dotted = {name for name in names if re.fullmatch(r"[a-z]\w*(?:\.[a-z_]\w*)+", name)}
    modules = {module for name in names for module in re.findall(r"python -m ([\w.]+)", name)}
    assert not list(broken_links(page))
    assert not [name for name in in_repository if not (ROOT / name).exists()]
    assert not [name for name in names if re.fullmatch(r"\w+\.py", name) and name not in files]
    assert not [
        name for name in dotted - files if name.partition(".")[0] in roots and name not in known and "/" not in name
    ]
    assert not [module for module in modules if importlib.util.find_spec(module) is None]


def test_a_document_that_names_what_is_gone_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n\n[here](#one-two) [gone](#three) [file](missing.md) [site](https://example.org)\n")
    assert list(broken_links(page)) == ["#three", "missing.md#"]
