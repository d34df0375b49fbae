"""What the pages for developers name exists: paths, the names said to be in them, and the list of decisions."""

import re
from pathlib import Path

import pytest

from engine.models.rehearsal.playbook import load_playbook
from tests.docs.pages import DOCS

TOP = DOCS.parent
DECISIONS = DOCS / "decisions"
PAGES = [
    TOP / "ARCHITECTURE.md",
    TOP / "CONTRIBUTING.md",
    *sorted((DOCS / "internals").glob("*.md")),
    *sorted(DECISIONS.glob("*.md")),
]
FOLDERS = sorted(place.name for place in TOP.iterdir() if place.is_dir() and not place.name.startswith("."))
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
NAME_IN_PATH = re.compile(r"`(\w+)(?:\(\))?` in\s`([\w./]+\.\w+)`")
PLACEHOLDER = re.compile(r"\b(NAME|RUN|ID)\b")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [path for path in PATH.findall(text) if not PLACEHOLDER.search(path) and not (TOP / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_that_a_page_places_in_a_file_is_there(page: Path) -> None:
    for name, path in NAME_IN_PATH.findall(page.read_text(encoding="utf-8")):
        assert re.search(rf"\b{name}\b", (TOP / path).read_text(encoding="utf-8")), f"{name} in {path}"


def test_the_playbook_that_the_rehearsals_page_shows_is_complete(tmp_path: Path) -> None:
    page = (DOCS / "internals" / "rehearsal.md").read_text(encoding="utf-8")
    (tmp_path / "playbook.toml").write_text(page.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    assert [task.title for task in load_playbook(tmp_path).task] == ["greeting"]


def test_every_decision_is_numbered_in_order_and_listed_with_its_title() -> None:
    pages = sorted(DECISIONS.glob("[0-9]*.md"))
    listed = re.findall(r"^- \[(.*)\]\((.*)\)$", (DECISIONS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    titles = [page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for page in pages]
    assert listed == list(zip(titles, (page.name for page in pages), strict=True))
    for number, (page, title) in enumerate(zip(pages, titles, strict=True), 1):
        assert page.name.startswith(f"{number:03}-")
        assert title.startswith(f"{number:03}: ")


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("[0-9]*.md")), ids=lambda page: page.name)
def test_a_decision_fits_on_a_page_and_has_its_four_parts(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    parts = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert parts == ["Context", "Decision", "Consequences", "Figures"]
    assert len(lines) <= 60


def test_the_map_fits_on_two_pages() -> None:
    assert len((TOP / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 110
