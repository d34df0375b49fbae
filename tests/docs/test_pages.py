"""The generated parts of docs/ say what the program says."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PARTS, REWRITE, pages, parts_of, written


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_says_what_the_program_says(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == written(page), f"{page.name} is out of date; to rewrite it: {REWRITE}"


def test_each_part_is_in_a_page() -> None:
    assert sorted(part for page in pages() for part in parts_of(page)) == sorted(PARTS)


def test_links_lead_to_pages_and_headings_that_exist() -> None:
    headings = {page.name: _anchors(page) for page in DOCS.glob("*.md")}
    for page in (*DOCS.glob("*.md"), DOCS.parent / "README.md"):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            file, _, anchor = target.partition("#")
            if "://" in target:
                continue
            assert (page.parent / file).exists(), f"{page.name}: {target}"
            name = Path(file).name or page.name
            if anchor and name in headings:
                assert anchor in headings[name], f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
