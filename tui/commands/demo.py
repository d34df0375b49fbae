"""`swarm-tui demo`: a bundled sample project in a scratch repo, run with the rehearsal model."""

import asyncio
import os
import pkgutil
import shutil
import sys
import textwrap
from argparse import Namespace
from collections.abc import Callable
from urllib.parse import urlencode

from tui.bridge import (
    ErrorKind,
    SampleProject,
    Settings,
    SourceRepo,
    SwarmError,
    choose_models,
    list_samples,
    require_git,
    sample_folder,
)
from tui.commands.options import settings_of
from tui.commands.prepare import prepared, require_terminal
from tui.commands.scratch import BRANCH, scratch_repo

GENERATED = "load"
"""The sample that is generated to measure."""
DEFAULT = "markdown"


def demo(arguments: Namespace) -> int:
    """Run a sample in the app or without; returns the exit status."""
    if arguments.list:
        return _list()
    sample = _sample(_name(arguments))
    if not arguments.headless:
        require_terminal("print instead: swarm-tui demo --headless")
    _settle(arguments, sample)
    _require_all(arguments, sample)
    folder = scratch_repo(arguments, sample)
    sys.stderr.write(f"sample: {sample.name}, {sample.title}, in {folder}\n")
    try:
        source, settings = prepared(arguments, folder)
        intent = (sample.folder / "INTENT.md").read_text(encoding="utf-8")
        return _begin(arguments)(arguments, source, settings, intent)
    except BaseException:
        if not hasattr(arguments, "log"):  # the run never began: nobody needs its repo
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _require_all(arguments: Namespace, sample: SampleProject) -> None:
    """Raises SwarmError for anything that a run of the sample would be refused for, before there is a repo of it."""
    if arguments.branch not in (None, "", BRANCH):
        raise SwarmError(ErrorKind.USAGE, f"the sample has no branch named {arguments.branch}", f"it has {BRANCH}")
    choose_models(settings_of(arguments, sample.folder / "project").settings, os.environ)
    asyncio.run(require_git())


def _begin(arguments: Namespace) -> Callable[[Namespace, SourceRepo, Settings, str], int]:
    """How the run is shown. Only what that needs is loaded."""
    begin: Callable[[Namespace, SourceRepo, Settings, str], int] = pkgutil.resolve_name(
        "tui.commands.run:start" if arguments.headless else "tui.commands.open:show_new"
    )
    return begin


def _list() -> int:
    width, indent = min(100, shutil.get_terminal_size().columns), " " * 12
    for sample in list_samples():
        described = textwrap.fill(sample.description, width, initial_indent=indent, subsequent_indent=indent)
        sys.stdout.write(f"{sample.name:<12}{sample.title}\n{described}\n")
    return 0


def _name(arguments: Namespace) -> str:
    shaped = [name for name in ("agents", "tasks", "conflicts") if getattr(arguments, name) is not None]
    if shaped and arguments.sample not in ("", GENERATED):
        raise SwarmError(
            ErrorKind.USAGE, f"--{shaped[0]} shapes the generated sample only", f"write: swarm-tui demo {GENERATED} …"
        )
    if shaped:
        return GENERATED
    return str(arguments.sample) or DEFAULT


def _sample(name: str) -> SampleProject:
    sample_folder(name)  # raises with the nearest name
    return next(sample for sample in list_samples() if sample.name == name)


def _settle(arguments: Namespace, sample: SampleProject) -> None:
    """What the sample needs as options, before those that the person gave."""
    query: dict[str, str] = {}
    for option, least in (("speed", 0.0), ("tasks", 1), ("agents", 1), ("conflicts", 0.0)):
        value = getattr(arguments, option)
        if value is not None and not least <= value < 1e6:
            raise SwarmError(ErrorKind.USAGE, f"--{option} {value} is out of range", f"write {least:g} or more")
        if value is not None:
            query[option] = f"{value:g}"
    if arguments.conflicts is not None and arguments.conflicts > 1:
        raise SwarmError(ErrorKind.USAGE, f"--conflicts {arguments.conflicts} is out of range", "write a share, 0 to 1")
    model = f"rehearsal:{sample.name}{f'?{urlencode(query)}' if query else ''}"
    arguments.model = [model, *arguments.model]
    if arguments.agents is not None and arguments.workers is None:
        arguments.workers = str(arguments.agents)
    if arguments.check is None:
        arguments.check = sample.check
