"""The reference of commands in docs/commands.md, from the argument parser."""

import textwrap
from argparse import SUPPRESS, Action, ArgumentParser, _ArgumentGroup
from collections.abc import Iterator

from tests.docs.markdown import cell, table
from tui.cli import APP, COMMANDS, CommandLine, parser_of

COMMON = "common options"
WIDTH = 118


def command_reference() -> str:
    """A section for each command, and one for the options that many share."""
    sections = [section for command in (APP, *COMMANDS) for section in _section(command)]
    return "\n\n".join((*sections, "## Common options", _common()))


def _section(command: CommandLine) -> Iterator[str]:
    parser = parser_of(command)
    assert parser.description
    yield f"## {parser.prog}"
    yield from (textwrap.fill(" ".join(part.split()), WIDTH) for part in parser.description.split("\n\n"))
    yield f"```sh\n{parser.format_usage().removeprefix('usage: ').strip()}\n```"
    rows = [row for group in parser._action_groups if group.title != COMMON for row in _rows(parser, group)]
    if rows:
        yield table(("argument", "meaning"), rows)
    if parser.epilog:
        yield f"```\n{parser.epilog}\n```"
    if any(group.title == COMMON for group in parser._action_groups):
        yield "It also takes the [common options](#common-options)."


def _common() -> str:
    parser = parser_of(APP)
    [group] = (group for group in parser._action_groups if group.title == COMMON)
    return table(("option", "meaning"), _rows(parser, group))


def _rows(parser: ArgumentParser, group: _ArgumentGroup) -> Iterator[tuple[str, ...]]:
    for action in explained(group):
        yield f"`{called(action)}`", cell(parser._get_formatter()._expand_help(action))


def explained(group: _ArgumentGroup) -> list[Action]:
    """The arguments of a group, without `--help` and hidden ones."""
    return [
        action
        for action in group._group_actions
        if action.help not in (None, SUPPRESS) and "--help" not in action.option_strings
    ]


def called(action: Action) -> str:
    """An argument as it is written: `RUN`, `--until MOMENT`."""
    takes = "" if action.nargs == 0 else str(action.metavar or f"{{{','.join(map(str, action.choices or ()))}}}")
    return " ".join((*action.option_strings, takes)).strip()
