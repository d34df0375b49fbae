"""One live sandbox as the engine sees it: starts the launcher, sends it requests, notices its end."""

import asyncio
import contextlib
import os
from codecs import getincrementaldecoder
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from engine.domain.answer_text import shortened
from engine.domain.os_text import output_text, utf8_text
from engine.ports.protocols import Output, WorkspaceError, WorkspaceLost
from engine.sandbox.cgroups import Group
from engine.sandbox.inside.frames import pack, unpack
from engine.sandbox.inside.jobs import others
from engine.sandbox.launchers import LauncherProcess, Spawned, Zygote
from engine.sandbox.process_identity import start_time
from engine.sandbox.shared_limits import SharedLimits
from engine.sandbox.unseen import Account, Unseen

MAX_ANSWER = 32 << 20
READY_S = 30.0
GRACE_S = 15.0
"""Seconds beyond a command's own time limit after which a silent sandbox counts as dead."""
FILE_S = 120.0
SEARCH_S = 20.0
CLOSE_S = 5.0
PAUSED = "paused"
"""Why a command is suspended if a user wants it."""


class Start(Struct, frozen=True):
    """How to start a launcher: arguments, and the values of the first frame.

    `namespaces`: killing the started process kills everything; without them the launcher must end its own processes.
    `shared_limits` and `unseen_memory` are told what its commands use. `passed`: descriptors that it inherits, closed
    here afterwards; `group`: the control group of its commands, if any; `zygote`: what forks it; None if it is not
    forked.
    """

    argv: tuple[str, ...]
    config: dict[str, bytes]
    log: Path
    namespaces: bool
    shared_limits: SharedLimits
    unseen_memory: Unseen
    passed: tuple[int, ...] = ()
    group: Group | None = None
    zygote: Zygote | None = None

    async def launch(self, stdin: int, stdout: int) -> LauncherProcess:
        """Raises OSError."""
        with self.log.open("wb") as log:
            stdio = (stdin, stdout, log.fileno())
            if self.zygote is not None:
                return await self.zygote.fork(self.argv, (*stdio, *self.passed))
            return Spawned(self.argv, stdio, self.passed, namespaces=self.namespaces)


class SandboxSession:
    """The launcher of one copy. Use from one event loop.

    It ends with the thread that started it, with this process, or when it is closed. Pending and later requests then
    raise WorkspaceLost.
    """

    def __init__(
        self,
        process: LauncherProcess,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        start: Start,
    ):
        self._process = process
        self._namespaces = start.namespaces
        self._group = start.group
        self._shared_limits = start.shared_limits
        self._unseen_memory = start.unseen_memory
        self._memory = int(start.config["memory"])
        self._patience = int(start.config["patience"])
        self.started = start_time(process.pid)
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[list[bytes]]] = {}
        self._listeners: dict[int, Callable[[bytes], None]] = {}
        self._number = 0
        self._running = 0
        self._frozen: set[str] = set()
        """Why the running command, or the next one, is suspended."""
        self._account: Account | None = None
        """The running command's memory, if it is measured here."""
        self._limit: asyncio.Timeout | None = None
        """The time limit of `run`'s answer."""
        self._left = 0.0
        """Seconds left of it while the command is suspended."""
        self.written: int | None = None
        """Bytes that the last command wrote to disk, as far as the kernel counts them; None if that is unknown."""
        self._spare = 0.0
        """How far time without a CPU may still move the deadline."""
        self._job_number = 0
        """The number of the request whose job is running."""
        self._cpu_told = (0.0, 0.0)
        """The seconds that the command could have run and those that it lost, as the launcher last said."""
        self._lost = ""
        self._ending = False
        self._one_job = asyncio.Lock()
        self._pump = asyncio.create_task(self._receive())

    @classmethod
    async def start(cls, start: Start) -> "SandboxSession":
        """Start the launcher. Raises WorkspaceLost, with the sandbox's output, if it does not come up."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_ANSWER)
        protocol = asyncio.StreamReaderProtocol(reader)
        ours = contextlib.ExitStack()
        theirs = [*start.passed]
        try:
            theirs_in, ours_out = os.pipe()
            theirs.append(theirs_in)
            outgoing = ours.enter_context(os.fdopen(ours_out, "wb", 0))
            ours_in, theirs_out = os.pipe()
            theirs.append(theirs_out)
            incoming = ours.enter_context(os.fdopen(ours_in, "rb", 0))
            ours.callback((await loop.connect_read_pipe(lambda: protocol, incoming))[0].close)
            transport, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, outgoing)
            ours.callback(transport.close)
            process = await start.launch(theirs_in, theirs_out)
        except BaseException as error:
            ours.close()
            if start.group is not None:
                await asyncio.to_thread(start.group.remove)
            if isinstance(error, OSError):
                raise WorkspaceLost(f"the sandbox cannot be started: {error}") from error
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        writer = asyncio.StreamWriter(transport, flow, None, loop)
        session = cls(process, reader, writer, start)
        ready: asyncio.Future[list[bytes]] = loop.create_future()
        session._waiting[0] = ready
        fields = [part for key, value in start.config.items() for part in (key.encode(), value)]
        try:
            writer.write(pack(*fields))
            async with asyncio.timeout(READY_S):
                await ready
        except (WorkspaceLost, TimeoutError, OSError) as error:
            await asyncio.shield(session.close())
            said = output_text(start.log.read_bytes()).strip()[-2000:]
            raise WorkspaceLost(f"the sandbox did not start: {said or error}") from error
        except BaseException:
            session.kill()
            await asyncio.shield(session.close())
            raise
        return session

    @property
    def pid(self) -> int:
        """The id of the started process: killing it kills the whole sandbox."""
        return self._process.pid

    def first_pids(self) -> list[int]:
        """The started process and, with namespaces, the first one inside, which ends after all others there."""
        return self._process.first_pids()

    def command_pids(self) -> list[int]:
        """The processes of the running command and of what it started."""
        ours = self.first_pids()
        return [pid for pid in others(self.pid) if pid not in ours]

    async def run(self, command: str, timeout_s: float, whole: str, on_output: Callable[[str], None]) -> Output:
        """Run one command; cancelling kills it. `whole` receives the whole output if the answer is shortened."""
        async with self._one_job:
            number = self._running = self._next()
            if self._group is None:
                self._account = Account(self, self._memory)
                self._unseen_memory.open(self._account)
            decoder = getincrementaldecoder("utf-8")("backslashreplace")  # a character may come in two parts
            self._listeners[number] = lambda data: on_output(decoder.decode(data))
            self.written = None
            asked = self._ask(
                number, b"run", command.encode("utf-8", "surrogateescape"), b"%.3f" % timeout_s, whole.encode()
            )
            if self._frozen:
                self._ask(self._next(), b"freeze", b"%d" % number).cancel()
            try:
                answer = await self._job(number, asked, timeout_s)
                code, killed, head, tail, cut, path, written, wall, cpu, *waits = answer
                self.written = int(written)
                self._note_cpu(*map(float, waits))
                shown = shortened(output_text(head), output_text(tail), int(cut))
                if (shown.left_out or shown.long) and not int(cut):
                    with contextlib.suppress(WorkspaceError):
                        await self.ask(b"write", whole.encode(), head + tail)
                        path = whole.encode()
                why = output_text(killed)
                self._shared_limits.ended(why)
                return Output(
                    exit=int(code) if code else None,
                    text=shown.told(output_text(path)),
                    cut=shown.left_out,
                    whole=output_text(path),
                    killed=why,
                    wall_s=float(wall),
                    cpu_s=float(cpu),
                    starved_s=self._cpu_told[1],
                )
            except ValueError as error:
                raise self._broken(f"an answer makes no sense: {error}") from error
            finally:
                self._listeners.pop(number, None)
                self._running = 0
                if self._account is not None:
                    self._unseen_memory.close(self._account)
                    self._account = None
                self._shared_limits.memory.forget(self)
                self._shared_limits.processes.forget(self)

    async def freeze(self, why: str = PAUSED) -> None:
        """Suspend the running command, or the next one, with its process tree and its deadline."""
        self._frozen.add(why)
        if self._limit is not None and (when := self._limit.when()) is not None:
            self._left = when - asyncio.get_running_loop().time()
            self._limit.reschedule(None)
        if self._running:
            await self.ask(b"freeze", b"%d" % self._running)

    async def thaw(self, why: str = PAUSED) -> None:
        """Resume a suspended command, unless it is suspended for another reason, too."""
        self._frozen.discard(why)
        if self._frozen:
            return
        if self._running:
            await self.ask(b"thaw", b"%d" % self._running)
        if not self._frozen and self._limit is not None and self._limit.when() is None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._left)

    def end_command(self, why: str) -> None:
        """End the running command, if any; `why` becomes its output's `killed`."""
        if self._running and not self._lost:
            self._ask(self._next(), b"kill", b"%d" % self._running, why.encode()).cancel()

    async def search(self, pattern: str, path: bytes, limit: int, globs: tuple[str, ...], context: int) -> list[bytes]:
        async with self._one_job:
            number = self._next()
            what = (utf8_text(pattern).encode(), path, b"%d" % limit, "\n".join(map(utf8_text, globs)).encode())
            asked = self._ask(number, b"search", *what, b"%d" % context, b"%.1f" % SEARCH_S)
            return await self._job(number, asked, SEARCH_S)

    async def ask(self, what: bytes, *fields: bytes) -> list[bytes]:
        """Run a file operation. Raises WorkspaceError with the launcher's reason."""
        number = self._next()
        return await self._answer(self._ask(number, what, *fields), FILE_S)

    async def _job(self, number: int, asked: "asyncio.Future[list[bytes]]", seconds: float) -> list[bytes]:
        """Wait for the answer of a job that may take `seconds`, and longer while it is suspended or has no CPU."""
        self._job_number, self._spare, self._cpu_told = number, (self._patience - 1) * seconds, (0.0, 0.0)
        try:
            return await self._answer(asyncio.shield(asked), seconds + GRACE_S, moves=True)
        except asyncio.CancelledError:
            # The job ends before the next one starts; even a second cancellation leaves nothing running.
            try:
                self._ask(self._next(), b"kill", str(number).encode(), b"cancelled").cancel()
                await self._answer(asked, GRACE_S)
            except (WorkspaceLost, WorkspaceError):
                pass
            except asyncio.CancelledError:
                self.kill()
            raise
        finally:
            self._job_number, self._limit = 0, None

    async def _answer(self, asked: "asyncio.Future[list[bytes]]", seconds: float, moves: bool = False) -> list[bytes]:
        """Send a request and wait for its answer. `moves`: the time limit is a job's, which may move."""
        try:
            async with asyncio.timeout(None if moves and self._frozen else seconds) as limit:
                if moves:
                    self._limit, self._left = limit, seconds
                state, *fields = await asked
        except TimeoutError as error:
            raise self._broken("it does not answer") from error
        except ValueError as error:
            raise self._broken("an answer is empty") from error
        if state == b"ok":
            return fields
        raise WorkspaceError(output_text(b" ".join(fields)))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _ask(self, number: int, what: bytes, *fields: bytes) -> "asyncio.Future[list[bytes]]":
        if self._lost:
            raise WorkspaceLost(self._lost)
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        future.add_done_callback(lambda _: self._waiting.pop(number, None))
        self._writer.write(pack(str(number).encode(), what, *fields))
        return future

    async def _receive(self) -> None:
        """Read frames from the launcher until it ends. Their content may come from an attacker."""
        reason = "its sandbox ended"
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                if size > MAX_ANSWER:
                    reason = "its sandbox sent too much at once"
                    break
                number, *fields = unpack(await self._reader.readexactly(size))
                at = int(number)
                if fields[:1] == [b"out"]:
                    listener = self._listeners.get(at)
                    if listener is not None and len(fields) == 2:
                        listener(fields[1])
                    continue
                if fields[:1] == [b"uses"]:
                    if at == self._running:
                        self._note_use(*map(int, fields[1:]))
                    continue
                if fields[:1] == [b"cpu"]:
                    if at == self._job_number:
                        self._note_cpu(*map(float, fields[1:]))
                    continue
                future = self._waiting.get(at)
                if future is not None and not future.done():
                    future.set_result(fields)
        except (asyncio.IncompleteReadError, ConnectionError, OSError):
            pass
        except (ValueError, IndexError, TypeError):
            reason = "its sandbox sent what is no answer"
        self._lose(reason)

    def _note_use(self, memory: int, processes: int, shown: int, opaque: int) -> None:
        if self._account is not None:
            self._unseen_memory.note(self._account, memory, shown, opaque=bool(opaque))
        self._shared_limits.memory.note(self, memory, self.end_command)
        self._shared_limits.processes.note(self, processes, self.end_command)

    def _note_cpu(self, ready_s: float, lost_s: float) -> None:
        """Count the time that the command could have run, and extend its deadline by the time in which it had no
        CPU."""
        ready, lost = ready_s - self._cpu_told[0], lost_s - self._cpu_told[1]
        self._cpu_told = ready_s, lost_s
        self._shared_limits.cpu.note(ready, lost)
        late = min(self._spare, lost)
        self._spare -= late
        self._left += late
        if self._limit is not None and not self._limit.expired() and (when := self._limit.when()) is not None:
            self._limit.reschedule(when + late)

    def _broken(self, reason: str) -> WorkspaceLost:
        self._lose(reason)
        return WorkspaceLost(self._lost)

    def _lose(self, reason: str) -> None:
        if not self._lost:
            self._lost = reason
        self.kill()
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(WorkspaceLost(self._lost))
                future.exception()  # already reported, whether or not somebody waits for it

    async def end(self) -> bool:
        """Let the launcher end by itself, then close; returns whether it did, in which case none of its processes is
        left.

        With namespaces, all processes die with the first one inside, and the started process waits for that one.
        """
        self._ending = self._namespaces
        self._writer.close()
        await self._process.wait(CLOSE_S)
        self._ending = False
        by_itself = self._process.ended_by_itself()
        await self.close()
        return by_itself

    def kill(self) -> None:
        """Kill the sandbox with everything in it. Without namespaces the launcher does this when its stdin closes."""
        if not self._namespaces and not self._writer.is_closing():
            self._writer.close()
        elif not self._ending:
            self._process.kill()

    async def close(self) -> None:
        """Kill the sandbox and wait until it is gone."""
        self._lose("the workspace is closed")
        self._writer.close()
        if not await self._process.wait(CLOSE_S):
            self.kill()
            await self._process.wait(None)
        await self._process.close()
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        if self._group is not None:
            await asyncio.to_thread(self._group.remove)
