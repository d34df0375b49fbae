"""The examples in pages written by hand: the program accepts each command line, piece of settings and query."""

import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.config.load import load_settings
from engine.journal.schema import STEPS
from tests.docs.pages import DOCS
from tui.cli import APP, COMMANDS, parse
from tui.commands.options import options_of

PAGES = (DOCS.parent / "README.md", *(page for page in sorted(DOCS.glob("*.md")) if page.name != "commands.md"))
STARTS = re.compile(r"(?:^|\| *|&& *)swarm-tui(?= |$)(.*)")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language in all pages, without their indentation."""
    found = [
        match
        for page in PAGES
        for match in re.finditer(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.M | re.S)
    ]
    return [re.sub(rf"^{match[1]}", "", match[2], flags=re.M) for match in found]


def command_lines() -> list[str]:
    """What follows the program's name wherever an example starts it."""
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    return [match[1].strip() for line in lines if (match := STARTS.search(line))]


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_in_the_documentation_is_accepted(line: str) -> None:
    words = shlex.split(line.partition(" | ")[0], comments=True)
    command = next((each for each in COMMANDS if words and each.name == words[0]), APP)
    parsed = parse(command, words if command is APP else words[1:])
    options_of(parsed)


@pytest.mark.parametrize("text", blocks("toml"))
def test_settings_in_the_documentation_are_accepted(tmp_path: Path, text: str) -> None:
    folder = tmp_path / ".config" / "swarm-tui"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(text, encoding="utf-8")
    assert load_settings(None, {"HOME": str(tmp_path)}).files


@pytest.mark.parametrize("query", [query.strip() for block in blocks("sql") for query in block.split(";")[:-1]])
def test_a_query_in_the_documentation_fits_the_journal(query: str) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        for step in STEPS:
            db.executescript(step)
        db.execute(query)
