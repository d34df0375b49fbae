"""A session whose engine runs in this process, in a thread and on a loop of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from tui import bridge
from tui.bridge import ROOT, AgentId, Command, Event, ExitStatus, Pause, RunId, RunState, Snapshot, Stop, Summary
from tui.sessions.live_agent import LiveAgentTracker
from tui.sessions.session import CloseMode
from tui.sessions.threaded import JournalQueries, ThreadedSession, engine_missing

HANDED_OVER = "handed over: it goes on without the screen"


class Folder(Protocol):
    @property
    def run(self) -> RunId: ...

    @property
    def journal(self) -> Path: ...

    @property
    def log(self) -> Path: ...

    @property
    def socket(self) -> Path: ...


class OwnedRun(Protocol):
    """A run that this process owns."""

    @property
    def snapshot(self) -> Snapshot: ...

    @property
    def reader(self) -> JournalQueries: ...

    @property
    def folder(self) -> Folder: ...

    async def run(self) -> Summary: ...

    async def submit(self, command: Command) -> None: ...

    async def diff(self, agent: AgentId) -> str: ...

    def watch(self, agent: AgentId | None, on_text: Callable[[str], None]) -> None: ...

    def on_change(self, listener: Callable[[Event], None]) -> None: ...


HandOver = Callable[[Folder], Awaitable[int]]
"""Starts another process that takes a run over once this one has let go of it; returns its pid."""


class EmbeddedSession(ThreadedSession):
    """Runs what `begin` makes. `hand_over` is what detaching needs; without it the run ends with the screen."""

    def __init__(self, begin: Callable[[], Awaitable[OwnedRun]], hand_over: HandOver | None = None) -> None:
        super().__init__()
        self.no_detach = "" if hand_over is not None else "this run lives in the same process as the screen"
        self._begin = begin
        self._hand_over = hand_over
        self._handing_over = False
        self._live: OwnedRun | None = None
        self._beginning: asyncio.Task[None] | None = None

    # --- the engine's thread ---------------------------------------------------------------------------------

    async def _main(self) -> None:
        self._beginning = asyncio.create_task(self._live_through())
        try:
            await self._beginning
            if self._handing_over:
                await self._detach()
        except asyncio.CancelledError:
            self._status = int(ExitStatus.STOPPED)
        except BaseException as error:
            # Whatever broke the engine must reach the person, not die with this thread.
            self._failure = error
        if self._live is not None:
            self._take()
            if self._failure is None:
                # The run has let go of its own reader; the screen still reads what was said.
                self._reader = await bridge.JournalReader.open(self._live.folder.journal)
        self._over.set()
        if self._failure is None:
            await self._may_end.wait()

    async def _live_through(self) -> None:
        live = await self._begin()
        self._live = live
        self._reader = live.reader
        await self._read_earlier(live.reader, live.snapshot.seq)
        live.on_change(self._happened)
        self._take()
        summary = await live.run()
        self._status = summary.exit_status
        if live.snapshot.state is RunState.STOPPED:
            self.farewell = f"stopped: go on with `swarm-tui resume {live.folder.run}`"

    async def _detach(self) -> None:
        """The run has reached its safe points and is let go of: another process goes on with it."""
        assert self._live is not None
        assert self._hand_over is not None
        if self._live.snapshot.state is not RunState.STOPPED:
            return  # it came to its end meanwhile
        folder = self._live.folder
        pid = await self._hand_over(folder)
        self._status = int(ExitStatus.DONE)
        self.farewell = f"the swarm goes on in process {pid}: look at it with `swarm-tui attach {folder.run}`"

    def _happened(self, event: Event) -> None:
        self._keep(event)
        self._changed.set()

    def _present(self) -> Snapshot | None:
        return self._live.snapshot if self._live is not None else None

    # --- the screen's thread ---------------------------------------------------------------------------------

    def submit(self, command: Command) -> "Future[None]":
        async def submit() -> None:
            if self._live is None or self._over.is_set():
                raise engine_missing()
            await self._live.submit(command)

        return self._ask(submit)

    def diff(self, agent: AgentId) -> "Future[str]":
        async def diff() -> str:
            if self._live is None:
                raise engine_missing()
            return await self._live.diff(agent)

        return self._ask(diff)

    def _begin_tracking(self, tracker: LiveAgentTracker) -> None:
        super()._begin_tracking(tracker)
        if self._live is not None:
            self._live.watch(tracker.agent, tracker.add_text)

    async def _leave(self, mode: CloseMode) -> None:
        self._may_end.set()
        if mode is CloseMode.WAIT or self._over.is_set():
            return
        if self._live is None:
            if self._beginning is not None:
                self._beginning.cancel()
            return
        if mode is CloseMode.DETACH:
            self._handing_over = self._hand_over is not None
            if self._live.snapshot.state in (RunState.PAUSING, RunState.PAUSED):
                await self._live.submit(Pause(ROOT))
            await self._live.submit(Stop(HANDED_OVER))
            return
        if mode is CloseMode.PAUSE:
            # Pausing the root's subtree stays in force when the run is resumed; pausing the run would not.
            await self._live.submit(Pause(ROOT))
        await self._live.submit(Stop())
