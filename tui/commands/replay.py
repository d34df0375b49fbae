"""`swarm-tui replay RUN`: the app on a run's record, or the state at one of its moments as JSON."""

import asyncio
import os
import sys
from argparse import Namespace

from tui.bridge import ErrorKind, JournalReader, RunFolder, SwarmError, config_folder, find_run, seq_of, snapshot_line
from tui.commands.options import settings_of, state_dir
from tui.commands.prepare import require_terminal
from tui.sessions.replay import ReplaySession
from tui.terminal.first_frame import open_app


def replay(arguments: Namespace) -> int:
    """Returns the exit status. Raises SwarmError: no such run, no such moment, an unreadable journal."""
    run = find_run(state_dir(arguments), arguments.run)
    if run.problem:
        message = f"the journal of {run.run} cannot be read: {run.problem}"
        raise SwarmError(ErrorKind.JOURNAL, message, f"look at {run.folder.journal}")
    if arguments.headless:
        sys.stdout.buffer.write(asyncio.run(_state(run.folder, arguments.until)) + b"\n")
        return 0
    require_terminal("print a state without the app: swarm-tui replay RUN --headless --until MOMENT")
    at = asyncio.run(_seq(run.folder, arguments.until)) if arguments.until else 0
    return open_app(
        lambda _: ReplaySession(run.folder, at),
        settings=settings_of(arguments, None).settings,
        themes_folder=config_folder(os.environ) / "themes",
    )


async def _seq(folder: RunFolder, until: str) -> int:
    reader = await JournalReader.open(folder.journal)
    try:
        return await seq_of(reader, until)
    finally:
        await reader.close()


async def _state(folder: RunFolder, until: str) -> bytes:
    reader = await JournalReader.open(folder.journal)
    try:
        return snapshot_line(await reader.snapshot(await seq_of(reader, until)))
    finally:
        await reader.close()
