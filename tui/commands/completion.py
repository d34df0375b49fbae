"""`swarm-tui completion SHELL`: prints a script that completes the command line in bash, zsh or fish.

The script asks `swarm-tui completion SHELL --values KIND` for what changes: runs, samples, themes and topics.
"""

import os
import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import shtab

from tui.bridge import RUN_NAME, config_folder
from tui.commands.arguments import VERBS
from tui.commands.documentation import topics
from tui.commands.options import state_dir
from tui.format.text import one_line

CHOICES = {
    "LEVEL": ("auto", "strict", "full", "namespaced", "restricted", "off"),
    "VERB": tuple(dict.fromkeys(written.split()[0] for written, _ in VERBS)),
}
"""Values that are always the same, by metavar."""
ZSH_REPO = """functions[_swarm_tui_commands]=$functions[_shtab_swarm_tui_commands]
_shtab_swarm_tui_commands() { _swarm_tui_commands; _path_files -/ }"""
FISH_REPO = """complete -c swarm-tui -n '_shtab_swarm_tui_using; and test $_shtab_swarm_tui_npos -eq 0' \\
  -ka '(__fish_complete_directories)' -d 'open the app on a repository'
"""
"""The first word may be a repository instead of a command, which argparse cannot express. bash completes files by
itself where nothing else matches."""


def completion(arguments: Namespace) -> int:
    """Prints the script, or the values of one kind; returns the exit status."""
    if arguments.values:
        sys.stdout.writelines(f"{one_line(value)}\n" for value in VALUES[arguments.values](arguments))
        return 0
    parser: ArgumentParser = arguments.whole()
    for action in _actions(parser):
        if action.metavar in CHOICES:
            action.choices = CHOICES[str(action.metavar)]
        elif action.metavar in COMPLETERS:
            action.complete = COMPLETERS[str(action.metavar)]  # type: ignore[attr-defined]  # where shtab looks
    script = shtab.complete(parser, arguments.shell, preamble=ZSH_REPO if arguments.shell == "zsh" else "")
    sys.stdout.write(f"{script}\n{FISH_REPO if arguments.shell == 'fish' else ''}")
    return 0


def _actions(parser: ArgumentParser) -> Iterator[Action]:
    """All arguments and options, those of the commands included."""
    for action in parser._actions:
        yield action
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                yield from _actions(command)


def _runs(arguments: Namespace) -> list[str]:
    """Newest first. Only the folders' names are read, which is quick however many there are."""
    names = (folder.name for folder in state_dir(arguments).glob("*/*"))
    return sorted((name for name in names if RUN_NAME.fullmatch(name)), reverse=True)


def _samples(_: Namespace) -> list[str]:
    return sorted(described.parent.name for described in Path(str(files("sample_projects"))).glob("*/sample.toml"))


def _themes(_: Namespace) -> list[str]:
    bundled, own = Path(str(files("themes"))), config_folder(os.environ) / "themes"
    return sorted(file.stem for folder in (bundled, own) for file in folder.glob("*.toml"))


def _topics(_: Namespace) -> list[str]:
    return topics()


VALUES: dict[str, Callable[[Namespace], list[str]]] = {
    "runs": _runs,
    "samples": _samples,
    "themes": _themes,
    "topics": _topics,
}


def _asked(kind: str) -> dict[str, Any]:
    """Completes with what `--values` prints when the key is pressed."""
    name, asked = f"_swarm_tui_{kind}", "$(swarm-tui completion {shell} --values {kind} 2>/dev/null)"
    bash, zsh, fish = (asked.format(shell=shell, kind=kind) for shell in ("bash", "zsh", "fish"))
    return {
        "bash": name,
        "zsh": name,
        "fish": fish.removeprefix("$"),
        "preamble": {
            "bash": f'{name}() {{ compgen -W "{bash}" -- "$1"; }}',
            "zsh": f'{name}() {{ compadd -- ${{(f)"{zsh}"}} }}',
        },
    }


COMPLETERS: dict[str, Any] = {
    "REPO": shtab.DIRECTORY,
    "DIR": shtab.DIRECTORY,
    "FILE": shtab.FILE,
    "RUN": _asked("runs"),
    "SAMPLE": _asked("samples"),
    "THEME": _asked("themes"),
    "TOPIC": _asked("topics"),
}
"""How values are completed, by metavar. All others are free text."""
