"""`swarm-tui run` and `resume`: a run without the app."""

import asyncio
from argparse import Namespace
from pathlib import Path

from tui.bridge import (
    ErrorKind,
    RunListing,
    Settings,
    SourceRepo,
    SwarmError,
    find_run,
    inspect_repo,
    newest_unfinished,
)
from tui.commands.intent_file import read_intent
from tui.commands.options import state_dir
from tui.commands.prepare import prepared, resuming, starting
from tui.commands.recorded_run import require_readable
from tui.headless.run import run_headless


def run(arguments: Namespace) -> int:
    """Starts a run on a repository; returns the exit status."""
    intent = read_intent(arguments.intent)
    source, settings = prepared(arguments, Path(arguments.repo))
    return start(arguments, source, settings, intent)


def resume(arguments: Namespace) -> int:
    """Continues a run that no process owns; returns the exit status."""
    listing = _to_resume(arguments)
    require_readable(listing)
    if listing.live:
        who = f" in process {listing.pid}" if listing.pid else ""
        raise SwarmError(
            ErrorKind.BUSY,
            f"{listing.run} is live{who}",
            f"to change it: swarm-tui send {listing.run} …; to watch it: swarm-tui attach {listing.run}",
        )
    return run_headless(resuming(arguments, listing.folder), as_json=arguments.json)


def start(arguments: Namespace, source: SourceRepo, settings: Settings, intent: str) -> int:
    """Runs a new swarm without the app until it ends; returns the exit status."""
    return run_headless(starting(arguments, source, settings, intent), as_json=arguments.json)


def _to_resume(arguments: Namespace) -> RunListing:
    root = state_dir(arguments)
    if arguments.run:
        return find_run(root, arguments.run)
    try:
        here = asyncio.run(inspect_repo(Path.cwd())).common_dir
    except SwarmError:
        here = None  # the current folder is in no repository
    found = (newest_unfinished(root, here) if here else None) or newest_unfinished(root)
    if found is None:
        raise SwarmError(ErrorKind.NOT_FOUND, "there is no unfinished run", "to list all runs: swarm-tui runs")
    return found
