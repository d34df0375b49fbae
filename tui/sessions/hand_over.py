"""Detaches a run: starts a process without a screen, and waits until it owns the run."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tui.bridge import ControlClient, ErrorKind, RunFolder, SwarmError

PROGRAM = (sys.executable, "-P", "-m", "tui")
START_S = 120.0
"""Seconds until the new process must own the run. It first removes leftover workspaces, which can take a while."""
POLL_S = 0.05
_TAIL = 4_000


async def hand_over(folder: RunFolder, options: Sequence[str], program: Sequence[str] = PROGRAM) -> int:
    """Start `swarm-tui resume RUN` without a terminal, detached from this process; return its pid once it owns the run.

    Raises SwarmError with the process's own error, from the run's log, if it fails to start.
    """
    begun = folder.log.stat().st_size if folder.log.exists() else 0
    owner = _start([*program, "resume", folder.run, *options], folder.log)
    try:
        async with asyncio.timeout(START_S):
            while not await _owns(folder, owner.pid):
                if owner.poll() is not None:
                    if owner.returncode == 0:
                        break  # it finished the run before the first look
                    raise _cannot(folder, _last_error(folder.log, begun))
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise _cannot(folder, f"process {owner.pid} does not respond") from None
    owner.returncode = (
        owner.returncode if owner.returncode is not None else 0
    )  # keeps Popen from waiting for it or warning about it
    return owner.pid


def _start(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A process that outlives this one. It has no terminal, and its working directory keeps no folder busy."""
    with log.open("ab") as output:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True
        )


async def _owns(folder: RunFolder, pid: int) -> bool:
    try:
        client = await ControlClient.connect(folder.socket)
    except SwarmError:
        return False
    try:
        return (await client.status()).pid == pid
    except SwarmError:
        return False
    finally:
        await client.close()


def _last_error(log: Path, begun: int) -> str:
    """The error that the process wrote to its log after position `begun`."""
    with log.open("rb") as stream:
        stream.seek(begun)
        lines = stream.read()[-_TAIL:].decode(errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[-1] if errors else (lines[-1] if lines else "it wrote no error")


def _cannot(folder: RunFolder, why: str) -> SwarmError:
    return SwarmError(
        ErrorKind.STATE,
        f"cannot detach: {why}",
        f"the run is stopped and nothing is lost; to continue: swarm-tui resume {folder.run}",
    )
