"""Starts launchers: each as a program of its own, or forked from the zygote, which is quicker and shares memory."""

import asyncio
import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from engine.domain.os_text import output_text
from engine.sandbox.inside.frames import pack
from engine.sandbox.inside.jobs import others
from engine.sandbox.inside.niceness import LAUNCHER, NICE
from engine.sandbox.program import staged_program, zygote_command

FORK_S = 30.0
ENDED_S = 2.0
"""Seconds within which a zygote ends after its descriptors are closed."""
OWN_ENV = {"PATH": os.defpath, "LANG": "C.UTF-8"}
"""The environment of the zygote, and so of each launcher, where it can be read from inside."""


class LauncherProcess(Protocol):
    """A launcher. When it has ended, nothing of its sandbox is left."""

    pid: int
    """Killing this process kills the whole sandbox."""

    def first_pids(self) -> list[int]:
        """The started process and, with namespaces, the first one inside, which ends after all others inside."""

    def kill(self) -> None: ...

    async def wait(self, seconds: float | None) -> bool:
        """Wait for its end. Returns whether it has ended."""

    def ended_by_itself(self) -> bool: ...

    async def close(self) -> None:
        """Wait until everything in its namespace has ended. The process itself has to have ended before."""


class Spawned:
    """A launcher that bubblewrap or this process has started. Raises OSError if it cannot be started."""

    def __init__(self, argv: Sequence[str], stdio: tuple[int, int, int], passed: Sequence[int], *, namespaces: bool):
        stdin, stdout, stderr = stdio
        self._process = subprocess.Popen(  # spawned by a thread that outlives it
            argv,
            env=OWN_ENV,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd="/",
            start_new_session=True,
            pass_fds=passed,
        )
        self.pid = self._process.pid
        self._namespaces = namespaces
        self._inside: int | None = None
        give_way(self.pid)

    def first_pids(self) -> list[int]:
        return [self.pid, *(others(self.pid)[:1] if self._namespaces else ())]

    def kill(self) -> None:
        if self._process.poll() is None:
            if self._namespaces and self._inside is None:
                # The kernel kills the first process inside together with the started one, but a moment later.
                with contextlib.suppress(OSError):  # it has ended
                    for pid in others(self.pid)[:1]:
                        self._inside = os.pidfd_open(pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def wait(self, seconds: float | None) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, seconds)
        return self._process.returncode is not None

    def ended_by_itself(self) -> bool:
        return self._namespaces and self._process.returncode is not None and self._process.returncode >= 0

    async def close(self) -> None:
        if self._inside is not None:
            inside, self._inside = self._inside, None
            try:
                await _readable(inside, FORK_S)
            finally:
                os.close(inside)


class Forked:
    """A launcher that the zygote has forked: the first process of its namespace, which ends after all others inside.

    `handle` is a descriptor of the process.
    """

    def __init__(self, pid: int, handle: int) -> None:
        self.pid = pid
        self._handle = handle
        self._killed = False

    def first_pids(self) -> list[int]:
        return [self.pid]

    def kill(self) -> None:
        if self._handle >= 0:
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def wait(self, seconds: float | None) -> bool:
        return self._handle < 0 or await _readable(self._handle, seconds)

    def ended_by_itself(self) -> bool:
        return not self._killed and (self._handle < 0 or _is_readable(self._handle))

    async def close(self) -> None:
        self.release()

    def release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Zygote:
    """The process from which launchers are forked. It starts with the first one, and again if it has ended.

    `stage` has the program. Use it from one event loop, whose thread outlives all launchers.
    """

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    async def fork(self, argv: Sequence[str], fds: Sequence[int]) -> Forked:
        """Start a launcher over what bubblewrap mounts with `argv`. `fds`: its input, output, log and others, numbered
        from 0. Raises OSError."""
        for _ in range(2):
            with contextlib.suppress(ConnectionError):  # killed before it took the request or answered: ask the next
                return await self._ask(argv, fds)
        return await self._ask(argv, fds)

    async def _ask(self, argv: Sequence[str], fds: Sequence[int]) -> Forked:
        """Raises ConnectionError if the zygote has ended, and OSError if it cannot start a launcher."""
        if self._requests is None or self._process is None or self._process.poll() is not None:
            self._start()
        assert self._requests is not None
        assert self._process is not None
        reply, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:  # sent at once, so that no descriptor is closed or used again before
                socket.send_fds(self._requests, [pack(*map(os.fsencode, argv))[4:]], [*fds, theirs.fileno()])
        except OSError as error:
            reply.close()
            if isinstance(error, ConnectionError):
                self.close()  # it is ending, although its end may not be known yet
            raise
        answer = asyncio.create_task(_started(reply, self._process))
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:  # the launcher ends with its input
            answer.add_done_callback(_discard)
            raise

    def _start(self) -> None:
        self.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, (self._stage / "zygote.log").open("wb") as log:
            self._process = subprocess.Popen(
                zygote_command(),
                env=OWN_ENV,
                cwd=staged_program(self._stage),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self._requests = ours
        give_way(self._process.pid)

    def close(self) -> None:
        """End it, with every launcher that is left."""
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


async def _started(reply: socket.socket, zygote: "subprocess.Popen[bytes]") -> Forked:
    with reply:
        if not await _readable(reply.fileno(), FORK_S):
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        said, handles, _, _ = socket.recv_fds(reply, 256, 1)
    if handles:
        return Forked(int(said), handles[0])
    if not said:  # the process that should have answered is gone
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(zygote.wait, ENDED_S)
            raise ConnectionError("the zygote has ended")
    if said.isdigit():  # it came without its descriptor
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    raise OSError(output_text(said) or "no process was started")


def _discard(answer: "asyncio.Task[Forked]") -> None:
    if not answer.cancelled() and not answer.exception():
        answer.result().kill()
        answer.result().release()


async def _readable(file: int, seconds: float | None) -> bool:
    """Wait until a descriptor can be read; that of a process can once it has ended. Returns whether it can. Only one
    may wait at a time."""
    if _is_readable(file):
        return True
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(file, ready.set)
    try:
        async with asyncio.timeout(seconds):
            await ready.wait()
    except TimeoutError:
        return _is_readable(file)
    finally:
        loop.remove_reader(file)
    return True


def _is_readable(file: int) -> bool:
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(0))


def give_way(pid: int) -> None:
    """Lower the CPU priority of a new session, so that it yields to the program and its screen from the start.

    Where the kernel groups processes by session, many starting sandboxes would each get as much CPU as the whole
    program.
    """
    with contextlib.suppress(OSError):  # no such groups, or too many changes at this moment: the launcher tries, too
        os.setpriority(os.PRIO_PROCESS, pid, LAUNCHER)
        Path(f"/proc/{pid}/autogroup").write_bytes(b"%d" % NICE)
