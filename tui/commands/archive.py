"""`swarm-tui archive RUN`: moves large old event bodies out of the journal into a file that replay still reads."""

import sys
from argparse import Namespace

from tui.bridge import ErrorKind, RunLock, SwarmError, archive, path_text
from tui.commands.recorded_run import opening_on_stderr, recorded_run, seq_at
from tui.format.numbers import counted, size


def archive_run(arguments: Namespace) -> int:
    """Returns the exit status. Raises SwarmError: no such run, a live run, a journal that cannot be written."""
    run = recorded_run(arguments)
    if run.live:
        raise SwarmError(ErrorKind.BUSY, f"{run.run} is live", f"stop it first: swarm-tui send {run.run} stop")
    lock = RunLock.acquire(run.folder)
    try:
        done = archive(run.folder.journal, seq_at(run.folder, arguments.until), opening_on_stderr())
    finally:
        lock.release()
    if done.file is None:
        sys.stderr.write("nothing to archive: no event in that range has a large body in the journal\n")
        return 0
    sys.stdout.write(f"moved {counted(done.bodies, 'body', 'bodies')} ({size(done.moved)}) to {path_text(done.file)}\n")
    if not done.shrunk:
        sys.stderr.write("the journal file keeps its size: there is too little free disk space to rewrite it\n")
    return 0
