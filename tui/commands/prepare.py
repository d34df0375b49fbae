"""What a new run needs before it begins: the repo, looked at, and the settings that hold for it."""

import asyncio
import os
import sys
from argparse import Namespace
from pathlib import Path

from tui import bridge
from tui.bridge import ErrorKind, Settings, SourceRepo, SwarmError, inspect_repo
from tui.commands.options import settings_of
from tui.format.text import one_line


def prepared(arguments: Namespace, path: Path) -> tuple[SourceRepo, Settings]:
    """The repo and the settings of a new run on it; warnings go to stderr. Raises SwarmError."""
    loaded = settings_of(arguments, top_of(path))
    source = asyncio.run(inspect_repo(path, loaded.settings.repo.branch))
    for warning in (*loaded.warnings, *source.warnings, *unchecked(source, loaded.settings)):
        sys.stderr.write(f"warning: {one_line(warning)}\n")
    return source, bridge.choose_models(loaded.settings, os.environ)


def unchecked(source: SourceRepo, settings: Settings) -> tuple[str, ...]:
    """A warning when the settings name no check, with the command that the project's files point to."""
    if settings.repo.check:
        return ()
    found = asyncio.run(bridge.suggest_check(source))
    what = f"this project looks checkable with: {found}" if found else "--check 'COMMAND' sets one"
    return (f"no check is configured, so green stays null; {what}",)


def top_of(path: Path) -> Path:
    """The folder whose swarm.toml counts: the work tree's top, or the folder itself when it is in none."""
    here = path.absolute()
    return next((above for above in (here, *here.parents) if (above / ".git").exists()), here)


def require_terminal(instead: str) -> None:
    """Raises SwarmError (usage) where there is no terminal to open the app in; `instead` is the hint."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SwarmError(ErrorKind.USAGE, "there is no terminal to open the app in", instead)


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), Path("/"))
