"""The man page swarm-tui(1), from the argument parser and the tables of docs/commands.md."""

import re
from collections.abc import Iterator
from importlib.metadata import version

from tests.docs.commands import COMMON, called, explained
from tui.cli import APP, COMMANDS, SUMMARY, CommandLine, parser_of


def manpage(commands_page: str) -> str:
    """The page in roff. `commands_page` is the text of docs/commands.md."""
    return "\n".join(_lines(commands_page)) + "\n"


def _lines(commands_page: str) -> Iterator[str]:
    yield f'.TH SWARM-TUI 1 "" "swarm-tui {version("swarm-tui")}" "User Commands"'
    yield from (".nh", ".ad l")
    yield ".SH NAME"
    yield rf"swarm\-tui \- {_roff(SUMMARY[0].lower() + SUMMARY[1:].rstrip('.'))}"
    yield ".SH SYNOPSIS"
    for command in (APP, *COMMANDS):
        yield from _usage(command)
    yield ".SH DESCRIPTION"
    yield from _description(APP)
    yield from _arguments(APP, common=False)
    yield ".SH COMMANDS"
    for command in COMMANDS:
        yield f".SS {_roff(command.name)} {_roff(command.takes)}"
        yield from _description(command)
        yield from _arguments(command, common=False)
    yield ".SH COMMON OPTIONS"
    names = ", ".join(command.name for command in COMMANDS if _takes_common(command))
    yield _roff(f"The app and these commands take them: {names}.")
    yield from _arguments(APP, common=True)
    for heading in ("Exit status", "Environment variables"):
        yield f".SH {heading.removesuffix(' variables').upper()}"
        for name, meaning in _table(commands_page, heading):
            yield from _entry(name, meaning)
    yield ".SH FILES"
    yield from _entry("swarm.toml", "the settings of a repository")
    yield from _entry("~/.config/swarm-tui/config.toml", "your own settings, for all repositories")
    yield from _entry("~/.config/swarm-tui/themes/NAME.toml", "your own themes")
    yield from _entry("~/.local/state/swarm-tui", "all runs, with their journals")
    yield ".SH SEE ALSO"
    yield _roff("swarm-tui help shows the full documentation.")


def _usage(command: CommandLine) -> Iterator[str]:
    yield f".B {_roff(f'swarm-tui {command.name}'.strip())}"
    yield " ".join((_roff(command.takes), r"[\fIOPTION\fR ...]")).strip()
    yield ".br"


def _description(command: CommandLine) -> Iterator[str]:
    for paragraph in str(parser_of(command).description).split("\n\n"):
        yield ".PP"
        yield _roff(" ".join(paragraph.split()))


def _takes_common(command: CommandLine) -> bool:
    return any(group.title == COMMON for group in parser_of(command)._action_groups)


def _arguments(command: CommandLine, *, common: bool) -> Iterator[str]:
    parser = parser_of(command)
    for group in parser._action_groups:
        if (group.title == COMMON) == common:
            for action in explained(group):
                yield from _entry(called(action), parser._get_formatter()._expand_help(action))
    if parser.epilog and not common:
        yield from (".PP", ".nf", *(_roff(line) for line in parser.epilog.splitlines()), ".fi")


def _table(page: str, heading: str) -> Iterator[tuple[str, str]]:
    """The rows of the table below a heading."""
    section = page.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    yield from ((_plain(name), _plain(meaning)) for name, meaning in rows[2:])


def _plain(markdown: str) -> str:
    markdown = re.sub(r"\[(\w+)\.md\]\(\w+\.md\)", r"swarm-tui help \1", markdown)
    return markdown.replace("`", "")


def _entry(name: str, meaning: str) -> Iterator[str]:
    yield from (".TP", rf"\fB{_roff(name)}\fR", _roff(meaning))


def _roff(text: str) -> str:
    """Escaped, so that hyphens can be copied and no line looks like a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga").replace("…", "...")
    return rf"\&{text}" if text.startswith((".", "'")) else text
