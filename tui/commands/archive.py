"""`swarm-tui archive RUN`: large bodies of old events out of the journal, into a file that replay still reads."""

import asyncio
import sys
from argparse import Namespace

from tui.bridge import ErrorKind, JournalReader, RunFolder, RunLock, SwarmError, archive, find_run, seq_of
from tui.commands.options import state_dir
from tui.format.numbers import size


def archive_run(arguments: Namespace) -> int:
    """Returns the exit status. Raises SwarmError: no such run, one that is live, a journal that cannot be written."""
    run = find_run(state_dir(arguments), arguments.run)
    if run.problem:
        message = f"the journal of {run.run} cannot be read: {run.problem}"
        raise SwarmError(ErrorKind.JOURNAL, message, f"look at {run.folder.journal}")
    if run.live:
        raise SwarmError(ErrorKind.BUSY, f"{run.run} is live", "stop it first: what is written to cannot be moved")
    lock = RunLock.acquire(run.folder)
    try:
        until = asyncio.run(_seq(run.folder, arguments.until))
        done = archive(run.folder.journal, until)
    finally:
        lock.release()
    if done.file is None:
        sys.stderr.write("nothing to move: no event up to then has a large body in the journal\n")
        return 0
    sys.stdout.write(f"moved {done.bodies} bodies ({size(done.moved)}) to {done.file}\n")
    if not done.shrunk:
        sys.stderr.write("the journal keeps its size for now: there is too little free disk space to write it anew\n")
    return 0


async def _seq(folder: RunFolder, until: str) -> int:
    reader = await JournalReader.open(folder.journal)
    try:
        return await seq_of(reader, until)
    finally:
        await reader.close()
