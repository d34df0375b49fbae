"""The command line: finds the command, parses its arguments and loads only the module that carries it out."""

import difflib
import os
import re
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from tui import commands
from tui.bridge import utf8_text
from tui.commands import arguments
from tui.terminal.encoding import escape_unprintable, require_utf8

UNUSABLE = 2
"""The exit status for arguments that cannot be used."""
SUMMARY = "Drive a whole codebase with a swarm of language-model agents, from one terminal."


class UsageError(Exception):
    """Arguments that cannot be used, and a hint about what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CommandLine(NamedTuple):
    """A command. `does` is its line in the list of commands, `load` imports the function that carries it out."""

    name: str
    takes: str
    does: str
    load: Callable[[], Callable[[Namespace], int]]
    arguments: Callable[[ArgumentParser], None]


class Parser(ArgumentParser):
    """Raises its errors as exceptions, so that all errors of the program look alike."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see: {self.prog} --help")


APP = CommandLine("", "[REPO]", "open the app on a repository", lambda: commands.open.open_repo, arguments.app)
COMMANDS = (
    CommandLine(
        "demo", "[SAMPLE]", "run a sample project: no API key, no network", lambda: commands.demo.demo, arguments.demo
    ),
    CommandLine("run", "[REPO] --intent FILE", "start a run without the app", lambda: commands.run.run, arguments.run),
    CommandLine(
        "resume", "[RUN]", "continue a run that was stopped or killed", lambda: commands.run.resume, arguments.resume
    ),
    CommandLine("runs", "", "list all runs", lambda: commands.runs.runs, arguments.runs),
    CommandLine(
        "attach", "RUN", "open the app on a run of another process", lambda: commands.open.attach, arguments.attach
    ),
    CommandLine("replay", "RUN", "play a run back in the app", lambda: commands.replay.replay, arguments.replay),
    CommandLine(
        "send",
        "RUN VERB [ARGUMENT ...]",
        "pause, steer, cancel or change a live run",
        lambda: commands.send.send,
        arguments.send,
    ),
    CommandLine(
        "report", "RUN", "throughput, cost, conflicts and failures", lambda: commands.report.report, arguments.report
    ),
    CommandLine("export", "RUN", "write a run's journal as JSON", lambda: commands.runs.export, arguments.export),
    CommandLine("ask", "RUN QUESTION", "ask a model about a run", lambda: commands.ask.ask, arguments.ask),
    CommandLine(
        "archive",
        "RUN",
        "move old event bodies out of the journal",
        lambda: commands.archive.archive_run,
        arguments.archive,
    ),
    CommandLine(
        "doctor", "[REPO]", "check this machine and a repository", lambda: commands.doctor.doctor, arguments.doctor
    ),
    CommandLine(
        "lint-intent",
        "FILE",
        "check an intent for gaps",
        lambda: commands.lint_intent.lint_intent,
        arguments.lint_intent,
    ),
    CommandLine("init", "[REPO]", "write swarm.toml and INTENT.md", lambda: commands.init.init, arguments.init),
    CommandLine(
        "completion",
        "SHELL",
        "print a completion script for a shell",
        lambda: commands.completion.completion,
        arguments.completion,
    ),
    CommandLine("help", "[TOPIC]", "read the documentation", lambda: commands.help.help_topic, arguments.help_topic),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    require_utf8()
    _open_streams()
    escape_unprintable()
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["help"] and words[1:] and any(command.name == words[1] for command in COMMANDS):
        words = [words[1], "--help"]
    if words and words[0] in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if words and words[0] == "--version":
        return commands.version.show_version()
    command = next((command for command in COMMANDS if words and command.name == words[0]), APP)
    try:
        parsed = parse(command, words if command is APP else words[1:])
    except UsageError as problem:
        sys.stderr.write(f"error: {_printable(problem.message)}\nhint: {_printable(problem.hint)}\n")
        return UNUSABLE
    return commands.perform.perform(command.load, parsed)


def parser_of(command: CommandLine) -> Parser:
    """The parser of one command."""
    parser = Parser(
        prog=f"swarm-tui {command.name}".strip(), formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.usage = " ".join(word for word in ("%(prog)s", command.takes, "[OPTION ...]") if word)
    command.arguments(parser)
    return parser


def whole_parser() -> Parser:
    """One parser for all commands, as generators of completions expect it."""
    parser = Parser(prog="swarm-tui", description=SUMMARY, allow_abbrev=False)
    arguments.common(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        each = commands.add_parser(command.name, help=command.does, allow_abbrev=False)
        command.arguments(each)
        each.description = command.does  # generators show it beside the name
    return parser


def parse(command: CommandLine, words: list[str]) -> Namespace:
    """The arguments of a command. Raises UsageError."""
    parser = parser_of(command)
    parser.set_defaults(whole=whole_parser)
    parsed, unknown = parser.parse_known_args(words)
    if unknown:
        known = set(re.findall(r"--[a-z-]+", parser.format_help()))
        near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
        raise UsageError(
            f"unknown argument: {unknown[0]}", f"did you mean {near[0]}?" if near else f"see: {parser.prog} --help"
        )
    if command is APP and (near := difflib.get_close_matches(parsed.repo, [other.name for other in COMMANDS], n=1)):
        parsed.near = near[0]
    return parsed


def _printable(text: str) -> str:
    """The text on one line, with the code points of hidden characters. `tui.format.text` would take long to load."""
    words = " ".join(utf8_text(text).split())
    return words if words.isprintable() else "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in words)


def _open_streams() -> None:
    """Point closed standard streams at /dev/null; otherwise the next file to be opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _help() -> str:
    lines = [SUMMARY, ""]
    for command in (APP, *COMMANDS):
        call = " ".join(word for word in ("swarm-tui", command.name, command.takes) if word)
        lines.append(f"  {call:<40}{command.does}")
    return "\n".join(
        (*lines, "", "Options of a command: swarm-tui COMMAND --help", "Documentation: swarm-tui help", "")
    )
