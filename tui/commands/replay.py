"""`swarm-tui replay RUN`: plays a run's journal back in the app, or prints its state at one moment as JSON."""

import asyncio
import sys
from argparse import Namespace

from tui.bridge import JournalReader, RunFolder, snapshot_line
from tui.commands.options import settings_of
from tui.commands.prepare import require_terminal
from tui.commands.recorded_run import opening_on_stderr, recorded_run, seq_at
from tui.commands.show_app import show_app
from tui.sessions.launch import Launch
from tui.sessions.replay import ReplaySession


def replay(arguments: Namespace) -> int:
    """Returns the exit status. Raises SwarmError: no such run, an invalid moment, an unreadable journal."""
    run = recorded_run(arguments)
    if arguments.headless:
        line = asyncio.run(_state(run.folder, seq_at(run.folder, arguments.until)))
        sys.stdout.buffer.write(line + b"\n")
        return 0
    require_terminal("to print a state without the app: swarm-tui replay RUN --headless --until MOMENT")
    at = seq_at(run.folder, arguments.until) if arguments.until else 0
    settings = settings_of(arguments, None).settings
    return show_app(settings.theme, lambda: Launch(lambda _: ReplaySession(run.folder, at), settings))


async def _state(folder: RunFolder, seq: int) -> bytes:
    reader = await JournalReader.open(folder.journal)
    try:
        return snapshot_line(await reader.snapshot(seq, opening_on_stderr()))
    finally:
        await reader.close()
