"""The run that a command names: found in the state folder, with a journal that can be read."""

import asyncio
import sys
from argparse import Namespace

from tui import bridge
from tui.bridge import ErrorKind, RunFolder, RunListing, SwarmError, find_run, path_text
from tui.commands.options import state_dir
from tui.headless.progress import OPENING_S


def recorded_run(arguments: Namespace) -> RunListing:
    """The run that `arguments.run` names. Raises SwarmError: no such run, an unreadable journal."""
    run = find_run(state_dir(arguments), arguments.run)
    require_readable(run)
    return run


def require_readable(run: RunListing) -> None:
    """Raises SwarmError (journal) with the reason when the run's journal cannot be read."""
    if run.problem:
        message = f"cannot read the journal of {run.run}: {run.problem}"
        raise SwarmError(ErrorKind.JOURNAL, message, f"look at {path_text(run.folder.journal)}")


def opening_on_stderr() -> "bridge.Opening":
    """Says on stderr how far a slow opening of the journal has come."""

    def say(at: "bridge.OpeningProgress") -> None:
        sys.stderr.write(f"{at}\n")
        sys.stderr.flush()

    return bridge.Opening(say, OPENING_S)


def seq_at(folder: RunFolder, moment: str) -> int:
    """The last event at a moment of the run; empty: the end. Raises SwarmError (usage)."""
    return asyncio.run(_seq_at(folder, moment))


async def _seq_at(folder: RunFolder, moment: str) -> int:
    reader = await bridge.JournalReader.open(folder.journal)
    try:
        return await bridge.seq_of(reader, moment)
    finally:
        await reader.close()
