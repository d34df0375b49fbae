"""`swarm-tui demo`: runs a bundled sample project in a scratch repository with the rehearsal model."""

import asyncio
import os
import shutil
import sys
import textwrap
from argparse import Namespace
from collections.abc import Callable
from urllib.parse import urlencode

from tui import commands
from tui.bridge import (
    ErrorKind,
    SampleProject,
    Settings,
    SourceRepo,
    SwarmError,
    choose_models,
    list_samples,
    path_text,
    require_git,
    sample_folder,
)
from tui.commands.options import settings_of
from tui.commands.prepare import prepared, require_terminal
from tui.commands.scratch import BRANCH, scratch_repo

GENERATED = "load"
"""The sample that is generated, to measure load."""
DEFAULT = "markdown"


def demo(arguments: Namespace) -> int:
    """Runs a sample in the app or without it; returns the exit status."""
    if arguments.list:
        return _list()
    sample = _sample(_name(arguments))
    if not arguments.headless:
        require_terminal("to run without the app: swarm-tui demo --headless")
    _set_options(arguments, sample)
    _require_all(arguments, sample)
    folder = scratch_repo(arguments, sample)
    sys.stderr.write(f"sample {sample.name} ({sample.title}) in {path_text(folder)}\n")
    try:
        source, settings = prepared(arguments, folder)
        intent = (sample.folder / "INTENT.md").read_text(encoding="utf-8")
        return _begin(arguments)(arguments, source, settings, intent)
    except BaseException:
        if not hasattr(arguments, "log"):  # the run never began, so nothing refers to its repository
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _require_all(arguments: Namespace, sample: SampleProject) -> None:
    """Raises SwarmError for anything that would make the run fail to start, before its repository is created."""
    if arguments.branch not in (None, "", BRANCH):
        raise SwarmError(
            ErrorKind.USAGE,
            f"the sample has no branch named {arguments.branch}",
            f"its only branch is {BRANCH}",
        )
    choose_models(settings_of(arguments, sample.folder / "project").settings, os.environ)
    asyncio.run(require_git())


def _begin(arguments: Namespace) -> Callable[[Namespace, SourceRepo, Settings, str], int]:
    """How the run is shown. Loads only what that needs."""
    return commands.run.start if arguments.headless else commands.open.show_new


def _list() -> int:
    width, indent = min(100, shutil.get_terminal_size().columns), " " * 12
    for sample in list_samples():
        described = textwrap.fill(sample.description, width, initial_indent=indent, subsequent_indent=indent)
        sys.stdout.write(f"{sample.name:<12}{sample.title}\n{described}\n")
    return 0


def _name(arguments: Namespace) -> str:
    given = [name for name in ("agents", "tasks", "conflicts") if getattr(arguments, name) is not None]
    if given and arguments.sample not in ("", GENERATED):
        raise SwarmError(
            ErrorKind.USAGE,
            f"--{given[0]} applies only to the sample {GENERATED}",
            f"write: swarm-tui demo {GENERATED} --{given[0]} …",
        )
    if given:
        return GENERATED
    return str(arguments.sample) or DEFAULT


def _sample(name: str) -> SampleProject:
    sample_folder(name)  # raises, with the nearest name as a hint
    return next(sample for sample in list_samples() if sample.name == name)


def _set_options(arguments: Namespace, sample: SampleProject) -> None:
    """Adds the options that the sample needs; those that the person gave take precedence."""
    query: dict[str, str] = {}
    for option, least in (("speed", 0.0), ("tasks", 1), ("agents", 1), ("conflicts", 0.0)):
        value = getattr(arguments, option)
        if value is not None and not least <= value < 1e6:
            raise SwarmError(ErrorKind.USAGE, f"--{option} {value} is out of range", f"use {least:g} or more")
        if value is not None:
            query[option] = f"{value:g}"
    if arguments.conflicts is not None and arguments.conflicts > 1:
        raise SwarmError(
            ErrorKind.USAGE, f"--conflicts {arguments.conflicts} is out of range", "use a number from 0 to 1"
        )
    model = f"rehearsal:{sample.name}{f'?{urlencode(query)}' if query else ''}"
    arguments.model = [model, *arguments.model]
    if arguments.agents is not None and arguments.workers is None:
        arguments.workers = str(arguments.agents)
    if arguments.check is None:
        arguments.check = sample.check
