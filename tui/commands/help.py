"""`swarm-tui help [TOPIC]`: shows the pages of docs/ in the terminal."""

import difflib
import io
import os
import re
import shutil
import sys
import textwrap
from argparse import Namespace

from rich.console import Console
from rich.markdown import Markdown
from rich.theme import Theme

from tui.bridge import ErrorKind, SwarmError
from tui.commands.documentation import read_page, topics
from tui.terminal.pager import page

WIDEST = 100
"""Columns. Longer lines are hard to read."""
STYLES = Theme({"markdown.code": "cyan", "markdown.table.header": "bold"})
"""Without backgrounds, which would be black on a light terminal."""
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_PAGE_LINK = re.compile(r"\[([^\]]*)\]\((\w+)\.md(?:#[^)]*)?\)")
_OWN_LINK = re.compile(r"\[([^\]]*)\]\(#[^)]*\)")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def help_topic(arguments: Namespace) -> int:
    """Shows a page, or the list of pages; returns the exit status. Raises SwarmError (not found) for other topics."""
    if arguments.man:
        sys.stdout.write(read_page("swarm-tui.1"))
        return 0
    if not arguments.topic:
        sys.stdout.write(_list())
        return 0
    if arguments.topic not in (known := topics()):
        near = difflib.get_close_matches(arguments.topic, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "to list all topics: swarm-tui help"
        raise SwarmError(ErrorKind.NOT_FOUND, f"unknown topic '{arguments.topic}'", hint)
    page(_rendered(read_page(f"{arguments.topic}.md")))
    return 0


def _list() -> str:
    pages = {topic: _first_sentence(read_page(f"{topic}.md")) for topic in topics()}
    indent = max(map(len, pages)) + 4
    lines = [
        textwrap.fill(says, _width(), initial_indent=f"  {topic}".ljust(indent), subsequent_indent=" " * indent)
        for topic, says in pages.items()
    ]
    how = ("To read a page: swarm-tui help TOPIC", "Options of a command: swarm-tui COMMAND --help")
    return "\n".join(("Topics:", *lines, "", *how, ""))


def _first_sentence(text: str) -> str:
    """Of the first paragraph below the title, without markup."""
    paragraph = next(part for part in text.split("\n\n") if part.strip() and part[0] not in "#<!|-`")
    plain = _LINK.sub(r"\1", " ".join(paragraph.split())).replace("`", "").replace("*", "")
    return re.split(r"(?<=[.:!?])\s(?=[A-Z])", plain)[0]


def _other_page(link: re.Match[str]) -> str:
    text, topic = link.groups()
    command = f"`swarm-tui help {topic}`"
    return command if text == f"{topic}.md" else f"{text} ({command})"


def _width() -> int:
    return max(20, min(WIDEST, shutil.get_terminal_size().columns))


def _rendered(text: str) -> bytes:
    """A page for this terminal: plain text unless stdout is one that can show styles."""
    text = _PICTURE.sub("", text)
    text = _OWN_LINK.sub(r"\1", text)
    text = _PAGE_LINK.sub(_other_page, text)
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding=sys.stdout.encoding, errors="replace")
    console = Console(
        file=stream,
        force_terminal=sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb",
        width=_width(),
        theme=STYLES,
    )
    console.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
    stream.flush()
    return b"".join(line.rstrip() + b"\n" for line in content.getvalue().splitlines())
