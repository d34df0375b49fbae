"""The generated parts of docs/ say what the program says."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PARTS, REWRITE, pages, parts_of, written
from tui.commands.documentation import topics

LINKED = sorted({*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")})
"""The pages whose links are checked."""


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_says_what_the_program_says(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == written(page), f"{page.name} is out of date; to rewrite it: {REWRITE}"


def test_each_part_is_in_a_page() -> None:
    assert sorted(part for page in pages() for part in parts_of(page)) == sorted(PARTS)


def test_links_lead_to_pages_and_headings_that_exist() -> None:
    for page in LINKED:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            leads_to = (page.parent / file).resolve() if file else page
            assert leads_to.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in _anchors(leads_to), f"{page.name}: {target}"


def test_pages_for_developers_are_no_help_topics() -> None:
    assert not {page.stem for page in DOCS.glob("*/*.md")} & set(topics())


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
