"""Detaching: starts the process without a screen that takes a run over, and waits until it has."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tui.bridge import ControlClient, ErrorKind, RunId, SwarmError

PROGRAM = (sys.executable, "-P", "-m", "tui")
START_S = 120.0
"""Seconds that the new owner is given: it sweeps copies that others left, which can take a while."""
LOOK_S = 0.05
_TAIL = 4_000


class Folder(Protocol):
    @property
    def run(self) -> RunId: ...

    @property
    def log(self) -> Path: ...

    @property
    def socket(self) -> Path: ...


async def hand_over(folder: Folder, options: Sequence[str], program: Sequence[str] = PROGRAM) -> int:
    """Start `swarm-tui resume RUN` in a session of its own, with no terminal; returns its pid once it owns the run.

    Raises SwarmError when it could not start: with its own words, which are in the run's log.
    """
    begun = folder.log.stat().st_size if folder.log.exists() else 0
    owner = _start([*program, "resume", folder.run, *options], folder.log)
    try:
        async with asyncio.timeout(START_S):
            while not await _owns(folder, owner.pid):
                if owner.poll() is not None:
                    if owner.returncode == 0:
                        break  # it came to the run's end before anyone looked
                    raise _cannot(folder, _last_error(folder.log, begun))
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise _cannot(folder, f"process {owner.pid} does not answer") from None
    owner.returncode = owner.returncode if owner.returncode is not None else 0  # it is not this process's to wait for
    return owner.pid


def _start(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A process that outlives this one: of no terminal, and holding no folder that a person may want to unmount."""
    with log.open("ab") as output:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True
        )


async def _owns(folder: Folder, pid: int) -> bool:
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
    """What the process wrote as its error since `begun`."""
    with log.open("rb") as stream:
        stream.seek(begun)
        lines = stream.read()[-_TAIL:].decode(errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[-1] if errors else (lines[-1] if lines else "it said nothing")


def _cannot(folder: Folder, why: str) -> SwarmError:
    return SwarmError(
        ErrorKind.STATE,
        f"the run could not be handed over: {why}",
        f"it is stopped at safe points and complete; go on with: swarm-tui resume {folder.run}",
    )
