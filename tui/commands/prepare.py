"""Prepares a new run: inspects the repository, loads the settings that apply to it, and prints warnings."""

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path

from tui import bridge
from tui.bridge import ErrorKind, RunFolder, Settings, SourceRepo, SwarmError, inspect_repo
from tui.commands.options import options_of, settings_of, state_dir
from tui.format.text import one_line

Begin = Callable[["bridge.Opening"], Awaitable["bridge.LiveRun"]]


def prepared(arguments: Namespace, path: Path) -> tuple[SourceRepo, Settings]:
    """The repository and the settings of a new run on it; prints warnings to stderr. Raises SwarmError."""
    loaded = settings_of(arguments, top_of(path))
    source = asyncio.run(inspect_repo(path, loaded.settings.repo.branch))
    for warning in (*loaded.warnings, *source.warnings, *unchecked(source, loaded.settings)):
        sys.stderr.write(f"warning: {one_line(warning)}\n")
    return source, bridge.choose_models(loaded.settings, os.environ)


def starting(arguments: Namespace, source: SourceRepo, settings: Settings, intent: str) -> Begin:
    """Starts the new run. The command then logs to the run's log."""

    async def begin(_: "bridge.Opening") -> "bridge.LiveRun":
        live = await bridge.start_run(
            source, settings, intent=intent, state_root=state_dir(arguments), environ=os.environ
        )
        arguments.log = live.folder.log
        return live

    return begin


def resuming(arguments: Namespace, folder: RunFolder) -> Begin:
    """Resumes the run in `folder`, with the command's options. The command then logs to the run's log."""
    options = options_of(arguments)
    arguments.log = folder.log

    async def begin(opening: "bridge.Opening") -> "bridge.LiveRun":
        def change(stored: Settings) -> Settings:
            return bridge.settings_for_resume(stored, os.environ, options)

        return await bridge.resume_run(folder, os.environ, change, opening)

    return begin


def unchecked(source: SourceRepo, settings: Settings) -> tuple[str, ...]:
    """A warning if no check is configured, with the command that the project's files suggest."""
    if settings.repo.check:
        return ()
    found = asyncio.run(bridge.suggest_check(source))
    how = f"for this project, try --check '{found}'" if found else "set one with --check 'COMMAND'"
    return (f"no check is configured, so green stays empty; {how}",)


def top_of(path: Path) -> Path:
    """The folder whose swarm.toml applies: the top of the work tree, or the folder itself outside of one."""
    here = path.absolute()
    return next((above for above in (here, *here.parents) if (above / ".git").exists()), here)


def require_terminal(instead: str) -> None:
    """Raises SwarmError (usage) without a terminal to open the app in; `instead` is the hint."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SwarmError(ErrorKind.USAGE, "the app needs a terminal", instead)


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), Path("/"))
