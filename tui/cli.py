"""The command line: which commands and options there are. What one does is a module of its own, loaded when used."""

import difflib
import os
import pkgutil
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

UNUSABLE = 2
"""The exit status for arguments that cannot be used."""


class Usage(Exception):  # noqa: N818 - names what went wrong, like the line it becomes
    """Arguments that cannot be used, and what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CommandLine(NamedTuple):
    """A command: `does` is its line in the help, `target` the function that takes its arguments."""

    name: str
    takes: str
    does: str
    target: str
    arguments: Callable[[ArgumentParser], None]


class Parser(ArgumentParser):
    """Reports what is wrong as an exception, so that all errors look alike."""

    def error(self, message: str) -> NoReturn:
        raise Usage(message, f"see: {self.prog} --help")


def _common(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("common options")
    group.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="ROLE=PROVIDER:NAME",
        help="the model of a role, or PROVIDER:NAME for all; repeatable",
    )
    group.add_argument("--workers", metavar="N", help="workers at once")
    group.add_argument("--budget-usd", metavar="X", help="stop when this much money is spent")
    group.add_argument("--budget-tokens", metavar="N", help="stop when this many tokens are used")
    group.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="[PART.]LIMIT=VALUE",
        help="limit usd, tokens, wall or steps of the run, a role or a subtree (worker.usd=20); repeatable",
    )
    group.add_argument("--for", dest="wall", metavar="SPAN", help="stop after this time, such as 2h")
    group.add_argument("--check", metavar="COMMAND", help="the command that must pass for a commit to be green")
    group.add_argument("--branch", metavar="NAME", help="the branch to start from (default: the checked-out one)")
    group.add_argument("--sandbox", metavar="LEVEL", help="auto; strict: refuse below namespaced; off: not contained")
    group.add_argument("--theme", metavar="NAME", help="the screen's theme")
    _state_dir(group.add_argument)


def _state_dir(add_argument: Callable[..., object]) -> None:
    add_argument("--state-dir", metavar="DIR", help="where runs are kept (default: $XDG_STATE_HOME/swarm-tui)")


def _open(parser: ArgumentParser) -> None:
    parser.add_argument("repo", nargs="?", default=".", metavar="REPO", help="a git repository (default: .)")
    _common(parser)


def _demo(parser: ArgumentParser) -> None:
    parser.add_argument("sample", nargs="?", default="", metavar="SAMPLE", help="a bundled sample project")
    parser.add_argument("--list", action="store_true", help="name the samples and exit")
    parser.add_argument("--headless", action="store_true", help="print instead of opening the app")
    parser.add_argument("--json", action="store_true", help="with --headless: every event as a line of JSON on stdout")
    parser.add_argument(
        "--speed", type=float, default=None, metavar="N", help="scale the rehearsal's latencies; 0: as fast as possible"
    )
    parser.add_argument("--agents", type=int, default=None, metavar="N", help="generated sample: workers at once")
    parser.add_argument("--tasks", type=int, default=None, metavar="N", help="generated sample: tasks in all")
    parser.add_argument(
        "--conflicts",
        type=float,
        default=None,
        metavar="RATE",
        help="generated sample: share of tasks that conflict, 0 to 1",
    )
    _common(parser)


def _run(parser: ArgumentParser) -> None:
    parser.add_argument("repo", nargs="?", default=".", metavar="REPO", help="a git repository (default: .)")
    parser.add_argument("--intent", required=True, metavar="FILE", help="what is wanted, as a text file; - reads stdin")
    parser.add_argument("--json", action="store_true", help="every event as a line of JSON on stdout, the summary last")
    _common(parser)


def _resume(parser: ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="?", default="", metavar="RUN", help="default: the newest unfinished run of this repo, else of all"
    )
    parser.add_argument("--json", action="store_true", help="every event as a line of JSON on stdout, the summary last")
    _common(parser)


def _attach(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run, as `swarm-tui runs` names it")
    parser.add_argument("--theme", metavar="NAME", help="the screen's theme")
    _state_dir(parser.add_argument)


def _replay(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run, as `swarm-tui runs` names it; live ones too")
    parser.add_argument(
        "--until",
        default="",
        metavar="MOMENT",
        help="where to begin, or, headless, stop: an event's number, a time (UTC), 1h30m (since the start), 50%%",
    )
    parser.add_argument("--headless", action="store_true", help="print the state at that moment as JSON")
    parser.add_argument("--theme", metavar="NAME", help="the screen's theme")
    _state_dir(parser.add_argument)


def _report(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run, as `swarm-tui runs` names it; live ones too")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    _state_dir(parser.add_argument)


def _archive(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run that no process works on")
    parser.add_argument("--until", default="", metavar="MOMENT", help="of events up to then, as replay takes it")
    _state_dir(parser.add_argument)


def _ask(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run, as `swarm-tui runs` names it; live ones too")
    parser.add_argument("question", metavar="QUESTION", help="in plain words")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="PROVIDER:NAME",
        help="who answers (default: the planner's)",
    )
    _state_dir(parser.add_argument)


def _runs(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object per run")
    _state_dir(parser.add_argument)


def _send(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a live run, as `swarm-tui runs` names it")
    parser.add_argument(
        "verb",
        metavar="VERB",
        help="pause, resume, steer, cancel, intent, workers, priority, model, rescope, resolve, stop",
    )
    parser.add_argument("rest", nargs="*", metavar="PATH|TEXT|NUMBER", help="an agent's path, then what the verb needs")
    parser.add_argument("--freeze", action="store_true", help="pause: what its commands run stands still at once")
    parser.add_argument("--scope", default="", metavar="GLOBS", help="rescope: where its changes should stay")
    _state_dir(parser.add_argument)


def _export(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run, as `swarm-tui runs` names it")
    parser.add_argument("--out", default="-", metavar="FILE", help="where to write (default: stdout)")
    parser.add_argument(
        "--format",
        choices=("jsonl", "otel"),
        default="jsonl",
        help="otel: OpenTelemetry spans, as lines of OTLP",
    )
    _state_dir(parser.add_argument)


def _doctor(parser: ArgumentParser) -> None:
    parser.add_argument("repo", nargs="?", default=".", metavar="REPO", help="whose settings to look at (default: .)")
    _common(parser)


def _init(parser: ArgumentParser) -> None:
    parser.add_argument("repo", nargs="?", default=".", metavar="REPO", help="a git repository (default: .)")


def _lint_intent(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="an intent as a text file; - reads stdin")
    parser.add_argument("--rules", action="store_true", help="by rules alone, even where there is a model")
    _common(parser)


APP = CommandLine("", "[REPO]", "open the app on a repository", "tui.commands.open:open_repo", _open)
COMMANDS = (
    CommandLine("demo", "[SAMPLE]", "run a sample project: no key, no network", "tui.commands.demo:demo", _demo),
    CommandLine("run", "REPO --intent FILE", "run without the app, print a summary", "tui.commands.run:run", _run),
    CommandLine("resume", "[RUN]", "go on with a run that stopped or was killed", "tui.commands.run:resume", _resume),
    CommandLine("runs", "", "list runs", "tui.commands.runs:runs", _runs),
    CommandLine("attach", "RUN", "open the app on a run of another process", "tui.commands.open:attach", _attach),
    CommandLine("replay", "RUN", "the app, fed from a run's record", "tui.commands.replay:replay", _replay),
    CommandLine("send", "RUN VERB …", "pause, steer, cancel, … from elsewhere", "tui.commands.send:send", _send),
    CommandLine("report", "RUN", "throughput, cost, conflicts, failures", "tui.commands.report:report", _report),
    CommandLine("export", "RUN", "a run's record as lines of JSON", "tui.commands.runs:export", _export),
    CommandLine("ask", "RUN QUESTION", "a model explains a run", "tui.commands.ask:ask", _ask),
    CommandLine("archive", "RUN", "move large old bodies into a file", "tui.commands.archive:archive_run", _archive),
    CommandLine("doctor", "[REPO]", "what this machine gives and lacks", "tui.commands.doctor:doctor", _doctor),
    CommandLine("lint-intent", "FILE", "what it leaves open", "tui.commands.lint_intent:lint_intent", _lint_intent),
    CommandLine("init", "[REPO]", "write a commented swarm.toml and INTENT.md", "tui.commands.init:init", _init),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    _open_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0
    if words and words[0] == "--version":
        version: Callable[[str], str] = pkgutil.resolve_name("importlib.metadata:version")
        sys.stdout.write(f"swarm-tui {version('swarm-tui')}\n")
        return 0
    command = next((command for command in COMMANDS if words and command.name == words[0]), APP)
    try:
        parsed = _parse(command, words if command is APP else words[1:])
    except Usage as usage:
        sys.stderr.write(f"error: {' '.join(usage.message.split())}\nhint: {usage.hint}\n")
        return UNUSABLE
    perform: Callable[[str, Namespace], int] = pkgutil.resolve_name("tui.commands.perform:perform")
    return perform(command.target, parsed)


def _open_streams() -> None:
    """Lead those of the three streams that were closed nowhere; the next file to be opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _parse(command: CommandLine, words: list[str]) -> Namespace:
    parser = Parser(prog=f"swarm-tui {command.name}".strip(), description=command.does, allow_abbrev=False)
    command.arguments(parser)
    parsed, unknown = parser.parse_known_args(words)
    if unknown:
        known = set(re.findall(r"--[a-z-]+", parser.format_help()))
        near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
        raise Usage(
            f"unknown argument: {unknown[0]}", f"did you mean {near[0]}?" if near else f"see: {parser.prog} --help"
        )
    if command is APP and (near := difflib.get_close_matches(parsed.repo, [other.name for other in COMMANDS], n=1)):
        parsed.near = near[0]
    return parsed


def _help() -> str:
    lines = ["Drive a whole codebase with a swarm of language-model agents, from one terminal.", ""]
    for command in (APP, *COMMANDS):
        call = " ".join(word for word in ("swarm-tui", command.name, command.takes) if word)
        lines.append(f"  {call:<34}{command.does}")
    return "\n".join((*lines, "", "Options of a command: swarm-tui COMMAND --help", ""))
