"""`swarm-tui help`: lists the pages, shows one plainly or through a pager, and names what it does not have."""

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tui.command_line import PROGRAM, Person
from tui.commands.documentation import docs_folder

DOCS = Path(__file__).parent.parent.parent.parent / "docs"
TOPICS = sorted(page.stem for page in DOCS.glob("*.md"))
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d(?:;\d+)*m")


def on_terminal(person: Person, *words: str, **variables: str) -> str:
    """What a terminal of 80 columns receives from the program."""
    main, side = pty.openpty()
    environ = person.environment({"TERM": "xterm-256color", "COLUMNS": "80", "PAGER": "", **variables})
    process = subprocess.Popen([PROGRAM, *words], stdin=side, stdout=side, stderr=side, env=environ, cwd=person.home)
    os.close(side)
    received = b""
    try:
        while part := os.read(main, 65536):
            received += part
    except OSError:  # Linux: the other side is closed
        pass
    os.close(main)
    assert process.wait() == 0, received
    return received.decode().replace("\r\n", "\n")


def test_a_checkout_shows_its_own_pages() -> None:
    assert docs_folder() == DOCS


def test_the_list_has_every_page_with_its_first_sentence(person: Person) -> None:
    listed = person.swarm("help", COLUMNS="80").out
    assert re.findall(r"^  (\w+) {2,}\S", listed, re.MULTILINE) == TOPICS
    assert "The words of the program" in listed
    assert max(map(len, listed.splitlines())) <= 80


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_is_plain_text_where_there_is_no_terminal(person: Person, topic: str) -> None:
    shown = person.swarm("help", topic, COLUMNS="80", PAGER="false")
    assert shown.status == 0
    title = (DOCS / f"{topic}.md").read_text().splitlines()[0].removeprefix("# ")
    assert shown.out.split("\n")[0].strip() == title
    assert "\x1b" not in shown.out
    assert not re.search(r"\.md\b\)|<!--|!\[", shown.out)


def test_a_link_to_another_page_names_the_command_that_shows_it(person: Person) -> None:
    assert "](cost.md)" in (DOCS / "glossary.md").read_text()
    assert "swarm-tui help cost" in " ".join(person.swarm("help", "glossary").out.split())


def test_a_stream_that_has_no_such_letters_gets_others(person: Person) -> None:
    shown = person.program("help", "glossary", PYTHONIOENCODING="ascii")
    assert shown.status == 0
    assert shown.out.isascii()


def test_a_terminal_gets_colours_unless_it_asked_for_none(person: Person) -> None:
    assert COLOUR.search(on_terminal(person, "help", "cost"))
    assert not COLOUR.search(on_terminal(person, "help", "cost", NO_COLOR="1"))
    assert "\x1b" not in on_terminal(person, "help", "cost", TERM="dumb", PAGER="false")


def test_a_terminal_shows_the_page_in_the_persons_pager(person: Person) -> None:
    assert on_terminal(person, "help", "glossary", PAGER="grep -c Glossary").strip() == "1"


def test_a_pager_that_is_not_there_hides_nothing(person: Person) -> None:
    assert "Glossary" in on_terminal(person, "help", "glossary", PAGER="no-such-pager")


def test_a_pager_that_is_left_early_is_no_error(person: Person) -> None:
    assert on_terminal(person, "help", "safety", PAGER="true") == ""


def test_an_unknown_topic_names_near_ones(person: Person) -> None:
    answer = person.swarm("help", "glosary")
    assert answer.status == 2
    assert answer.error == "unknown topic 'glosary'"
    assert answer.hint == "did you mean glossary?"
    assert person.swarm("help", "../README").hint == "to list all topics: swarm-tui help"


def test_help_for_a_command_shows_its_options(person: Person) -> None:
    assert person.swarm("help", "replay").out == person.swarm("replay", "--help").out


def test_the_man_page_is_printed_for_man(person: Person) -> None:
    printed = person.swarm("help", "--man")
    assert printed.out == (DOCS / "swarm-tui.1").read_text()
    assert printed.out.startswith(".TH SWARM-TUI 1")


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_man_page_is_set_without_a_warning() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", DOCS / "swarm-tui.1"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "SWARM-TUI(1)" in done.stdout
